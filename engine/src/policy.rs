//! Who is let in, and what passes from who is not.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::certificate::Certificate;
use crate::config::ConfigError;
use crate::identity::PeerId;

/// Ids on an allow list; more are no configuration.
const MAX_ALLOWED: usize = 4096;

/// Authorities that are believed.
const MAX_AUTHORITIES: usize = 8;

/// Steps that one side may ask for.
pub(crate) const MAX_STEPS: usize = 8;

/// A step that a peer must pass to be trusted.
///
/// Steps run in the order of this list, custom ones by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Step {
    /// It answers three pings at the round trip's own speed: proves that the link works both ways.
    Ping,
    /// Both people see six digits and say whether they are the same: proves that nobody stands between the two. Answer
    /// [`Event::CodeReady`](crate::Event::CodeReady) with [`Engine::confirm_code`](crate::Engine::confirm_code).
    Code,
    /// It shows a certificate of one of [`TrustPolicy::authorities`].
    Certificate,
    /// The application decides: answer [`Event::DecisionWanted`](crate::Event::DecisionWanted) with
    /// [`Engine::accept`](crate::Engine::accept) or [`Engine::reject`](crate::Engine::reject). Each side decides for
    /// itself: that one side wants to decide does not make the other do so.
    Decision,
    /// Bytes back and forth under the application's control, by this name: 1 to 32 bytes of lower-case letters,
    /// digits and dashes, and not that of another step. Both sides must know it.
    Custom(String),
}

impl Step {
    /// Its name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Step::Ping => "ping",
            Step::Code => "code",
            Step::Certificate => "certificate",
            Step::Decision => "decision",
            Step::Custom(name) => name,
        }
    }

    /// The step of a name that came from a peer.
    pub(crate) fn named(name: &str) -> Option<Step> {
        let built_in = [Step::Ping, Step::Code, Step::Certificate, Step::Decision];
        let form = (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        built_in
            .into_iter()
            .find(|step| step.name() == name)
            .or_else(|| form.then(|| Step::Custom(name.into())))
    }

    fn is_valid(&self) -> bool {
        Step::named(self.name()).as_ref() == Some(self)
    }
}

/// Who is let in, and what passes from a peer before we have verified it.
///
/// The defaults let in whoever is on the network and answers pings. The block list and the trust decisions of
/// [`Engine::block`](crate::Engine::block) and [`Engine::trust`](crate::Engine::trust) come on top.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustPolicy {
    /// Steps that a peer must pass, on top of the ones it asks for: at most 8. With none, whoever has proven its key
    /// is trusted.
    pub steps: Vec<Step>,
    /// Further steps that this side can take part in if the peer asks for them: at most 8. Pings need not be here, nor
    /// certificates if there is a [`certificate`](Self::certificate).
    pub supported: Vec<Step>,
    /// How long each step may take in which only programs take part. What people at the other side may take before it
    /// comes on top: [`person_timeout`](Self::person_timeout) for a code, and once more for a decision.
    pub step_timeout: Duration,
    /// How long a person may take to compare a code or to decide.
    pub person_timeout: Duration,
    /// Peers that wait for a person at a time; a further one is rejected as [`Busy`](crate::RejectReason::Busy), so
    /// that they do not take all links.
    pub max_waiting: usize,
    /// If set, only these peers pass: at most 4096. Others are told so, and not dialled.
    pub allow: Option<BTreeSet<PeerId>>,
    /// Whose certificates count for [`Step::Certificate`]: at most 8, and at least one if that step is required.
    pub authorities: Vec<PeerId>,
    /// What this side shows in [`Step::Certificate`].
    pub certificate: Option<Certificate>,
    /// Which records pass from a peer that is not verified.
    pub records_before_trust: RecordGate,
    /// Whether texts pass from a peer that is not verified, marked so. If not they wait at the peer.
    pub texts_before_trust: bool,
}

/// Which records pass from a peer that is not verified. The one that it proves its key with always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordGate {
    /// None.
    Closed,
    /// Its own.
    Own,
    /// Its own and those of others that it passes on.
    Open,
}

impl Default for TrustPolicy {
    fn default() -> Self {
        TrustPolicy {
            steps: alloc::vec![Step::Ping],
            supported: Vec::new(),
            step_timeout: Duration::from_secs(30),
            person_timeout: Duration::from_secs(120),
            max_waiting: 16,
            allow: None,
            authorities: Vec::new(),
            certificate: None,
            records_before_trust: RecordGate::Own,
            texts_before_trust: true,
        }
    }
}

impl TrustPolicy {
    /// Lets in whoever has proven its key.
    #[must_use]
    pub fn everyone() -> Self {
        TrustPolicy { steps: Vec::new(), ..TrustPolicy::default() }
    }

    /// Asks for these steps.
    #[must_use]
    pub fn requiring(steps: impl IntoIterator<Item = Step>) -> Self {
        TrustPolicy { steps: steps.into_iter().collect(), ..TrustPolicy::default() }
    }

    /// Lets in these peers only, if they answer pings.
    #[must_use]
    pub fn only(peers: impl IntoIterator<Item = PeerId>) -> Self {
        TrustPolicy { allow: Some(peers.into_iter().collect()), ..TrustPolicy::default() }
    }

    /// Lets in whom one of these authorities vouches for, and shows `certificate` to others.
    #[must_use]
    pub fn vouched_for(
        authorities: impl IntoIterator<Item = PeerId>,
        certificate: Option<Certificate>,
    ) -> Self {
        TrustPolicy {
            authorities: authorities.into_iter().collect(),
            certificate,
            ..TrustPolicy::requiring([Step::Ping, Step::Certificate])
        }
    }

    /// Whether this side can take part in a step that the peer asks for.
    pub(crate) fn supports(&self, step: &Step) -> bool {
        self.steps.contains(step)
            || self.supported.contains(step)
            || *step == Step::Ping
            || (*step == Step::Certificate && self.certificate.is_some())
    }

    /// Whether the allow list, if there is one, has this peer.
    pub(crate) fn allows(&self, peer: &PeerId) -> bool {
        self.allow.as_ref().is_none_or(|allowed| allowed.contains(peer))
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let steps = |steps: &[Step]| steps.len() <= MAX_STEPS && steps.iter().all(Step::is_valid);
        let vouched = !self.steps.contains(&Step::Certificate) || !self.authorities.is_empty();
        if !steps(&self.steps) || !steps(&self.supported) || !vouched {
            return Err(ConfigError::Verification);
        }
        let time = Duration::from_millis(100)..=Duration::from_secs(3600);
        if !time.contains(&self.step_timeout) || !time.contains(&self.person_timeout) {
            return Err(ConfigError::Timeouts);
        }
        let allowed = self.allow.as_ref().map_or(0, BTreeSet::len);
        if allowed > MAX_ALLOWED || self.authorities.len() > MAX_AUTHORITIES || self.max_waiting == 0 {
            return Err(ConfigError::TrustLists);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        for step in [Step::Ping, Step::Code, Step::Certificate, Step::Decision, Step::Custom("badge".into())]
        {
            assert_eq!(Step::named(step.name()), Some(step.clone()));
            assert!(step.is_valid());
        }
        for name in ["", "Ping", "a b", "a_b", &"x".repeat(33)] {
            assert_eq!(Step::named(name), None, "{name:?}");
        }
        assert!(!Step::Custom("code".into()).is_valid(), "a built-in step in disguise");
    }

    #[test]
    fn a_policy_out_of_its_limits_is_refused() {
        let id = |n: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&n.to_le_bytes());
            PeerId::from_bytes(bytes)
        };
        assert_eq!(TrustPolicy::default().validate(), Ok(()));
        let nobody_vouches = TrustPolicy::requiring([Step::Certificate]);
        assert_eq!(nobody_vouches.validate(), Err(ConfigError::Verification));
        assert_eq!(TrustPolicy::only((0..4096).map(id)).validate(), Ok(()));
        assert_eq!(TrustPolicy::only((0..4097).map(id)).validate(), Err(ConfigError::TrustLists));
        assert_eq!(TrustPolicy::vouched_for((0..9).map(id), None).validate(), Err(ConfigError::TrustLists));
        let hasty = TrustPolicy { person_timeout: Duration::ZERO, ..TrustPolicy::default() };
        assert_eq!(hasty.validate(), Err(ConfigError::Timeouts));
    }
}

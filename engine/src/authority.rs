//! From whom tasks are taken, which bootstrap servers are used, and who names this node.

mod state;

use alloc::vec::Vec;

use crate::config::ConfigError;
use crate::identity::PeerId;

pub use self::state::AuthorityState;
#[cfg(feature = "marks")]
pub(crate) use self::state::MAX_EXECUTED;
pub(crate) use self::state::{Assigned, Executed};

/// Authorities that tasks are taken from.
pub const MAX_ACCEPTED: usize = 8;

/// From whom tasks are taken, which bootstrap servers are used, and who names this node.
///
/// The defaults use servers that only pass records on as well as those that are authorities, and take tasks from nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorityPolicy {
    /// Whether bootstrap servers are used that only pass records on and name no authority.
    pub trustless: bool,
    /// Whether bootstrap servers are used that name an authority. Their records are checked as those of others are; for
    /// tasks see [`accepted`](Self::accepted).
    pub authority: bool,
    /// Whether a server must name an authority that is accepted; what others say is not used. Needs
    /// [`authority`](Self::authority), and a key in [`accepted`](Self::accepted) or the [`lock`](Self::lock).
    pub required: bool,
    /// Whether the first authority that a server names is the only one from then on, in later runs too: its tasks are
    /// taken, and servers that name another are not used. With one key in [`accepted`](Self::accepted), that is the one.
    pub lock: bool,
    /// Whose tasks are taken, by whatever way they come: at most [`MAX_ACCEPTED`], and at most one with a
    /// [`lock`](Self::lock). Needs [`authority`](Self::authority).
    pub accepted: Vec<PeerId>,
    /// Who names this node.
    pub identifier: IdentifierPolicy,
    /// Whether somebody chose [`Config::name`](crate::Config::name) for this node. If not it only stands in for a name,
    /// as that of the host may.
    pub named: bool,
}

/// Who names a node: its own side by [`Config::name`](crate::Config::name), or an authority by
/// [`TaskKind::SetIdentifier`](crate::TaskKind::SetIdentifier). A name that an authority gave outlives the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IdentifierPolicy {
    /// Its own side only: an authority's name is refused.
    StrictLocal,
    /// Its own side if somebody there [chose](AuthorityPolicy::named) a name: then an authority's is refused. Else the
    /// authority's counts.
    Local,
    /// Whoever named it last. A name in the configuration that is another than when the authority's came is later.
    LocalAndRemote,
    /// The authority's name counts; until there is one, that of the configuration.
    Remote,
    /// An authority only. Until there is a name, the first 8 characters of the peer id stand in for it. Nobody may have
    /// [chosen](AuthorityPolicy::named) one here.
    StrictRemote,
}

impl Default for AuthorityPolicy {
    fn default() -> Self {
        AuthorityPolicy {
            trustless: true,
            authority: true,
            required: false,
            lock: false,
            accepted: Vec::new(),
            identifier: IdentifierPolicy::Local,
            named: true,
        }
    }
}

impl AuthorityPolicy {
    /// Takes tasks from this authority, besides what the defaults say.
    #[must_use]
    pub fn accepting(authority: PeerId) -> Self {
        AuthorityPolicy { accepted: alloc::vec![authority], ..AuthorityPolicy::default() }
    }

    /// Locks to the first authority that a server names.
    #[must_use]
    pub fn locking() -> Self {
        AuthorityPolicy { lock: true, ..AuthorityPolicy::default() }
    }

    /// Whose tasks are taken when this one was locked to.
    pub(crate) fn believed(&self, locked: Option<&PeerId>) -> Vec<PeerId> {
        match locked {
            Some(locked) if self.lock && self.accepted.is_empty() => alloc::vec![*locked],
            _ => self.accepted.clone(),
        }
    }

    pub(crate) fn validate(&self, servers: u8) -> Result<(), ConfigError> {
        let believes = self.lock || !self.accepted.is_empty();
        let remote = matches!(self.identifier, IdentifierPolicy::Remote | IdentifierPolicy::StrictRemote);
        let checks = [
            (self.authority || !(self.required || believes), ConfigError::AuthorityUnused),
            (!self.required || believes, ConfigError::AuthorityUnknown),
            (servers == 0 || self.trustless || self.authority, ConfigError::NoServerAllowed),
            (self.accepted.len() <= MAX_ACCEPTED, ConfigError::Authorities),
            (!self.lock || self.accepted.len() <= 1, ConfigError::AuthorityLock),
            (!remote || believes, ConfigError::NobodyNames),
            (self.identifier != IdentifierPolicy::StrictRemote || !self.named, ConfigError::NamedHere),
        ];
        checks.into_iter().find(|(good, _)| !good).map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl IdentifierPolicy {
    /// Every policy, from those that let nobody else name the node to those that let nobody here.
    pub const ALL: [IdentifierPolicy; 5] = [
        IdentifierPolicy::StrictLocal,
        IdentifierPolicy::Local,
        IdentifierPolicy::LocalAndRemote,
        IdentifierPolicy::Remote,
        IdentifierPolicy::StrictRemote,
    ];

    /// Its name: one word of lower-case letters and dashes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            IdentifierPolicy::StrictLocal => "strict-local",
            IdentifierPolicy::Local => "local",
            IdentifierPolicy::LocalAndRemote => "local-and-remote",
            IdentifierPolicy::Remote => "remote",
            IdentifierPolicy::StrictRemote => "strict-remote",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> PeerId {
        PeerId::from_bytes([n; 32])
    }

    fn policy() -> AuthorityPolicy {
        AuthorityPolicy::default()
    }

    #[test]
    fn policies_that_mean_something_are_taken() {
        let no_authority = AuthorityPolicy { authority: false, ..policy() };
        let nothing = AuthorityPolicy { trustless: false, ..no_authority.clone() };
        let remote =
            |identifier, named| AuthorityPolicy { identifier, named, ..AuthorityPolicy::accepting(id(1)) };
        let good = [
            policy(),
            no_authority,
            AuthorityPolicy { trustless: false, ..policy() },
            AuthorityPolicy::accepting(id(1)),
            AuthorityPolicy::locking(),
            AuthorityPolicy { lock: true, ..AuthorityPolicy::accepting(id(1)) },
            AuthorityPolicy { required: true, ..AuthorityPolicy::locking() },
            AuthorityPolicy { accepted: (0..8).map(id).collect(), ..policy() },
            AuthorityPolicy { identifier: IdentifierPolicy::LocalAndRemote, ..policy() },
            remote(IdentifierPolicy::Remote, true),
            remote(IdentifierPolicy::StrictRemote, false),
        ];
        for policy in good {
            assert_eq!(policy.validate(1), Ok(()), "{policy:?}");
        }
        assert_eq!(nothing.validate(0), Ok(()), "without servers it means nothing");
    }

    #[test]
    fn policies_that_contradict_themselves_are_refused_each_with_its_reason() {
        let no_authority = AuthorityPolicy { authority: false, ..policy() };
        let refused = [
            (AuthorityPolicy { required: true, ..no_authority.clone() }, ConfigError::AuthorityUnused),
            (AuthorityPolicy { lock: true, ..no_authority.clone() }, ConfigError::AuthorityUnused),
            (
                AuthorityPolicy { accepted: alloc::vec![id(1)], ..no_authority.clone() },
                ConfigError::AuthorityUnused,
            ),
            (AuthorityPolicy { required: true, ..policy() }, ConfigError::AuthorityUnknown),
            (AuthorityPolicy { trustless: false, ..no_authority }, ConfigError::NoServerAllowed),
            (AuthorityPolicy { accepted: (0..9).map(id).collect(), ..policy() }, ConfigError::Authorities),
            (
                AuthorityPolicy { accepted: (0..2).map(id).collect(), ..AuthorityPolicy::locking() },
                ConfigError::AuthorityLock,
            ),
            (AuthorityPolicy { identifier: IdentifierPolicy::Remote, ..policy() }, ConfigError::NobodyNames),
            (
                AuthorityPolicy { identifier: IdentifierPolicy::StrictRemote, ..AuthorityPolicy::locking() },
                ConfigError::NamedHere,
            ),
        ];
        for (policy, error) in refused {
            assert_eq!(policy.validate(1), Err(error), "{policy:?}");
        }
    }

    #[test]
    fn a_lock_leaves_one_authority() {
        let locking = AuthorityPolicy::locking();
        assert_eq!(locking.believed(None), []);
        assert_eq!(locking.believed(Some(&id(2))), [id(2)]);
        let known = AuthorityPolicy { lock: true, ..AuthorityPolicy::accepting(id(1)) };
        assert_eq!(
            (known.believed(None), known.believed(Some(&id(2)))),
            (alloc::vec![id(1)], alloc::vec![id(1)])
        );
        let two = AuthorityPolicy { accepted: (1..3).map(id).collect(), ..policy() };
        assert_eq!(two.believed(Some(&id(7))), [id(1), id(2)], "what was locked to before means nothing now");
    }
}

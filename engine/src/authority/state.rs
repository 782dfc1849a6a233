//! What a node keeps of authorities from run to run.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::config::{Cadence, Config, ConfigError};
use crate::identity::PeerId;
use crate::task::{MAX_TASK_AHEAD, Subject, TaskId, TaskSettings, are_servers, is_name};
use crate::wire::codec;

use super::{AuthorityPolicy, IdentifierPolicy};

/// Tasks that were carried out and have not expired. Beyond it further ones are refused until some expire.
pub(crate) const MAX_EXECUTED: usize = 1024;

/// Bytes that a state may have: each task that was carried out takes 32 for its name, up to 34 for what it is about and
/// up to 9 for each of two numbers.
const MAX_STATE: usize = MAX_EXECUTED * 96 + 4096;

/// What a node keeps of authorities from run to run: which one it locked to, what it was told to be called and to go on
/// with, and which tasks it has carried out, so that none is carried out twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityState {
    pub(crate) locked: Option<PeerId>,
    pub(crate) assigned: Option<Assigned>,
    pub(crate) settings: TaskSettings,
    pub(crate) servers: Vec<String>,
    /// The latest end of those tasks that were forgotten. What ends no later is not carried out, even if the clock went
    /// back.
    pub(crate) floor: u64,
    pub(crate) executed: BTreeMap<TaskId, Executed>,
}

/// A name that an authority gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assigned {
    pub(crate) name: String,
    /// That of the configuration when it came.
    pub(crate) beside: String,
}

/// A task that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Executed {
    pub(crate) expires: u64,
    pub(crate) sequence: u64,
    pub(crate) subject: Option<Subject>,
}

impl AuthorityState {
    /// Reads what [`to_bytes`](Self::to_bytes) gave; `None` if it is damaged.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<AuthorityState> {
        let state: AuthorityState = codec::decode(bytes, MAX_STATE).ok()?;
        let named = |assigned: &Assigned| is_name(&assigned.name) && is_name(&assigned.beside);
        let good = state.executed.len() <= MAX_EXECUTED
            && state.assigned.as_ref().is_none_or(named)
            && (state.servers.is_empty() || are_servers(&state.servers))
            && (state.settings == TaskSettings::default() || state.settings.is_valid());
        good.then_some(state)
    }

    /// Its bytes, for a store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The authority that was locked to.
    #[must_use]
    pub fn locked(&self) -> Option<PeerId> {
        self.locked
    }

    /// The name that an authority gave. Whether it counts is for the [`IdentifierPolicy`] to say.
    #[must_use]
    pub fn assigned_name(&self) -> Option<&str> {
        self.assigned.as_ref().map(|assigned| assigned.name.as_str())
    }

    /// The base URLs of bootstrap servers that an authority gave: up to 8, for the driver to use besides its own. None if
    /// this policy takes tasks from nobody any more.
    #[must_use]
    pub fn servers(&self, policy: &AuthorityPolicy) -> &[String] {
        if self.is_in_force(policy) { &self.servers } else { &[] }
    }

    /// Whether what authorities said still counts: not if tasks are taken from nobody any more.
    fn is_in_force(&self, policy: &AuthorityPolicy) -> bool {
        !policy.believed(self.locked.as_ref()).is_empty()
    }

    /// The configuration of a node that goes on with what authorities said.
    pub(crate) fn configured(&self, mut config: Config, id: &PeerId) -> Config {
        config.name = self.name_of(&config, id);
        if !self.is_in_force(&config.authority) {
            return config;
        }
        // They were good for another configuration.
        self.settings.applied(&config).unwrap_or(config)
    }

    /// The name that counts, for a node whose configuration says this.
    fn name_of(&self, config: &Config, id: &PeerId) -> String {
        let local = || config.name.clone();
        let assigned = self.assigned.as_ref().filter(|_| self.is_in_force(&config.authority));
        let remote = |assigned: Option<&Assigned>| assigned.map(|assigned| assigned.name.clone());
        match config.authority.identifier {
            IdentifierPolicy::StrictLocal => local(),
            IdentifierPolicy::Local if config.authority.named => local(),
            IdentifierPolicy::Local | IdentifierPolicy::Remote => remote(assigned).unwrap_or_else(local),
            IdentifierPolicy::LocalAndRemote => {
                remote(assigned.filter(|assigned| assigned.beside == config.name)).unwrap_or_else(local)
            }
            IdentifierPolicy::StrictRemote => remote(assigned).unwrap_or_else(|| id.short()),
        }
    }

    /// Forgets the tasks that are over. What changed something is remembered for as long again as a task may end ahead:
    /// an older one about the same may still be good.
    pub(crate) fn tidy(&mut self, unix_seconds: u64) {
        let is_over = |task: &Executed| {
            let longer = if task.subject.is_some() { MAX_TASK_AHEAD } else { 0 };
            task.expires.saturating_add(longer) <= unix_seconds
        };
        let over = self.executed.values().filter(|task| is_over(task)).map(|task| task.expires);
        self.floor = over.fold(self.floor, u64::max);
        self.executed.retain(|_, task| !is_over(task));
    }

    /// Whether there is room for one more task.
    pub(crate) fn has_room(&self, unix_seconds: u64) -> bool {
        self.executed.len() < MAX_EXECUTED || self.executed.values().any(|task| task.expires <= unix_seconds)
    }

    /// Notes that a task was carried out. Where there is room for no more, the one that ended first goes.
    pub(crate) fn note(&mut self, id: TaskId, task: Executed) {
        if self.executed.len() >= MAX_EXECUTED
            && let Some((&first, &Executed { expires, .. })) =
                self.executed.iter().min_by_key(|(_, task)| task.expires)
        {
            self.floor = self.floor.max(expires);
            self.executed.remove(&first);
        }
        self.executed.insert(id, task);
    }

    /// Whether a task about the same with a higher sequence was carried out.
    pub(crate) fn has_newer(&self, subject: Option<Subject>, sequence: u64) -> bool {
        let about = |task: &&Executed| subject.is_some() && task.subject == subject;
        self.executed.values().filter(about).any(|task| task.sequence > sequence)
    }
}

impl TaskSettings {
    /// Puts `newer` over these.
    pub(crate) fn merge(&mut self, newer: &TaskSettings) {
        self.beacon_interval_ms = newer.beacon_interval_ms.or(self.beacon_interval_ms);
        self.message_ttl_secs = newer.message_ttl_secs.or(self.message_ttl_secs);
        self.active_links = newer.active_links.or(self.active_links);
    }

    /// The configuration with these settings.
    pub(crate) fn applied(&self, config: &Config) -> Result<Config, ConfigError> {
        let mut config = config.clone();
        if let Some(millis) = self.beacon_interval_ms {
            let interval = core::time::Duration::from_millis(millis.into());
            config.cadence = Cadence::Constant { interval };
        }
        if let Some(secs) = self.message_ttl_secs {
            config.message_ttl = core::time::Duration::from_secs(secs.into());
        }
        if let Some(links) = self.active_links {
            config.active_links = links.into();
        }
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::network::Network;

    fn full() -> AuthorityState {
        let executed = |n: u64| {
            let mut id = [0xff; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            let subject = Some(Subject::Peer(PeerId::from_bytes([n as u8; 32])));
            (TaskId(id), Executed { expires: u64::MAX - n, sequence: u64::MAX, subject })
        };
        AuthorityState {
            locked: Some(PeerId::from_bytes([1; 32])),
            assigned: Some(Assigned { name: "x".repeat(64), beside: "y".repeat(64) }),
            settings: TaskSettings {
                beacon_interval_ms: Some(100),
                message_ttl_secs: None,
                active_links: Some(3),
            },
            servers: alloc::vec!["h".repeat(256); 8],
            floor: 7,
            executed: (0..MAX_EXECUTED as u64).map(executed).collect(),
        }
    }

    #[test]
    fn the_largest_state_goes_there_and_back() {
        let state = full();
        let bytes = state.to_bytes();
        assert!(bytes.len() <= MAX_STATE, "{}", bytes.len());
        assert_eq!(AuthorityState::parse(&bytes), Some(state));
        assert_eq!(
            AuthorityState::parse(&AuthorityState::default().to_bytes()),
            Some(AuthorityState::default())
        );
    }

    #[test]
    fn a_damaged_state_is_none() {
        let bytes = full().to_bytes();
        assert_eq!(AuthorityState::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(AuthorityState::parse(&[&bytes[..], &[0]].concat()), None);
        let nameless = Assigned { name: String::new(), beside: "y".to_string() };
        let state = AuthorityState { assigned: Some(nameless), ..AuthorityState::default() };
        assert_eq!(AuthorityState::parse(&state.to_bytes()), None);
        let state = AuthorityState { servers: alloc::vec!["a b".to_string()], ..AuthorityState::default() };
        assert_eq!(AuthorityState::parse(&state.to_bytes()), None);
    }

    #[test]
    fn what_was_forgotten_stays_over_when_the_clock_goes_back() {
        let task = |expires| Executed { expires, sequence: 1, subject: None };
        let mut state = AuthorityState::default();
        state.executed.extend([(TaskId([1; 32]), task(100)), (TaskId([2; 32]), task(200))]);
        state.tidy(150);
        assert_eq!((state.floor, state.executed.len()), (100, 1));
        state.tidy(50);
        assert_eq!((state.floor, state.executed.len()), (100, 1));
    }

    #[test]
    fn what_is_over_makes_room_and_what_is_not_does_not() {
        let mut state = AuthorityState::default();
        let task = |n: u64| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            (TaskId(id), Executed { expires: 100 + n, sequence: n, subject: Some(Subject::Name) })
        };
        state.executed.extend((0..MAX_EXECUTED as u64).map(task));
        assert!(!state.has_room(99));
        state.tidy(101);
        assert_eq!(
            (state.floor, state.executed.len()),
            (0, MAX_EXECUTED),
            "each may still outdo an older one"
        );
        assert!(state.has_room(101));
        let (id, next) = task(MAX_EXECUTED as u64);
        state.note(id, next);
        assert_eq!((state.floor, state.executed.len()), (100, MAX_EXECUTED));
        state.tidy(101 + MAX_TASK_AHEAD);
        assert_eq!((state.floor, state.executed.len()), (101, MAX_EXECUTED - 1));
    }

    #[test]
    fn each_identifier_policy_picks_its_name() {
        let id = PeerId::from_bytes([9; 32]);
        let assigned = |beside: &str| AuthorityState {
            assigned: Some(Assigned { name: "given".into(), beside: beside.into() }),
            ..AuthorityState::default()
        };
        let name = |identifier, named, state: &AuthorityState| {
            let mut config = Config::new(Network::open("home").unwrap(), "own", 9000);
            config.authority = AuthorityPolicy { identifier, named, ..AuthorityPolicy::accepting(id) };
            state.name_of(&config, &id)
        };
        let (none, given) = (AuthorityState::default(), assigned("own"));
        use IdentifierPolicy::{Local, LocalAndRemote, Remote, StrictLocal, StrictRemote};
        for (policy, named, without, with) in [
            (StrictLocal, false, "own", "own"),
            (Local, true, "own", "own"),
            (Local, false, "own", "given"),
            (LocalAndRemote, true, "own", "given"),
            (Remote, true, "own", "given"),
            (StrictRemote, false, &*id.short(), "given"),
        ] {
            assert_eq!(
                (&*name(policy, named, &none), &*name(policy, named, &given)),
                (without, with),
                "{policy:?}"
            );
        }
        assert_eq!(name(LocalAndRemote, true, &assigned("before")), "own", "its own side named it later");
        assert_eq!(name(Remote, true, &assigned("before")), "given");
        let mut config = Config::new(Network::open("home").unwrap(), "own", 9000);
        config.authority.named = false;
        assert_eq!(given.name_of(&config, &id), "own", "tasks are taken from nobody any more");
    }
}

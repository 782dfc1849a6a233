//! Tasks: what the operator of a plan asks of its nodes, and what liars make of that.

use p2pnet_engine::{AuthorityPolicy, Identity, NetworkTask, PeerId, TaskId, TaskKind, TaskTarget, forge};

use crate::draws::{Draws, seed_bytes};
use crate::world::World;
use crate::world::faults::FaultKind;
use crate::world::plan::Crypto;
use crate::world::trust::BEGINNING;

/// Tasks that an operator asks for.
const TASKS: u64 = 6;
/// How long after the beginning they are good, in seconds.
const GOOD_FOR: u64 = 100_000;

/// The operator's tasks, in the order of their numbers.
#[derive(Default)]
pub(super) struct Operator {
    tasks: Vec<NetworkTask>,
}

impl World {
    /// The key of an operator of this plan; others are nobody's.
    fn operator_key(&self, which: &str) -> Identity {
        self.plan.crypto.identity(seed_bytes(self.plan.seed, which))
    }

    /// From whom a node takes tasks.
    pub(in crate::world) fn authority_policy(&self) -> AuthorityPolicy {
        if !self.plan.operator {
            return AuthorityPolicy::default();
        }
        let mut policy = AuthorityPolicy::accepting(self.operator_key("operator").peer_id());
        policy.lock = self.plan.seed.is_multiple_of(2);
        policy
    }

    /// Has the operator sign what it asks for: nothing that disturbs anybody.
    pub(in crate::world) fn begin_tasks(&mut self) {
        if !self.plan.operator {
            return;
        }
        let draws = &mut Draws::new(self.plan.seed, "operator's tasks");
        let mut tasks = Vec::new();
        for sequence in 1..=TASKS {
            let any = |draws: &mut Draws| {
                let node = draws.below(self.nodes.len() as u64) as usize;
                self.nodes[node].identities[0]
            };
            let target = if draws.chance(0.5) { TaskTarget::Everyone } else { TaskTarget::Peer(any(draws)) };
            let kind = match draws.below(4) {
                0 => TaskKind::RequestPublicKey,
                1 => TaskKind::PingPeer { peer: any(draws) },
                2 => TaskKind::Synchronize,
                _ => TaskKind::Heartbeat,
            };
            tasks.push(self.operators_task("operator", false, target, sequence, GOOD_FOR, kind));
        }
        self.wide.operator.tasks = tasks;
    }

    fn operators_task(
        &self,
        by: &str,
        elsewhere: bool,
        target: TaskTarget,
        sequence: u64,
        good_for: u64,
        kind: TaskKind,
    ) -> NetworkTask {
        let crypto = self.plan.crypto;
        let network = if elsewhere { crypto.elsewhere() } else { crypto.network() };
        let issued = NetworkTask::issue(
            &self.operator_key(by),
            forge::tag(&network),
            target,
            sequence,
            BEGINNING + good_for,
            kind,
        );
        issued.expect("it is within its limits")
    }

    /// What an honest server passes on to a peer, and whom it names as its operator.
    pub(super) fn tasks_for(&self, peer: &PeerId) -> (Vec<Vec<u8>>, Option<PeerId>) {
        if !self.plan.operator {
            return (Vec::new(), None);
        }
        let theirs = self.wide.operator.tasks.iter().filter(|task| task.target().includes(peer));
        (theirs.map(NetworkTask::to_bytes).collect(), Some(self.operator_key("operator").peer_id()))
    }

    /// What a liar says that the operator asks for, all of which would do harm. It has what the operator ever signed: tasks
    /// for others, for another network, and some that are over.
    pub(super) fn false_tasks(&mut self, dice: &mut Draws) -> Vec<Vec<u8>> {
        let mut tasks = Vec::new();
        for _ in 0..if self.plan.operator { 1 + dice.below(6) } else { 0 } {
            self.tally.count(FaultKind::FalseTask);
            let any = |dice: &mut Draws| {
                let node = dice.below(self.nodes.len() as u64) as usize;
                self.nodes[node].peer
            };
            let kind = match dice.below(5) {
                0 => TaskKind::BlockPeer { peer: any(dice) },
                1 => TaskKind::RemovePeer { peer: any(dice) },
                2 => TaskKind::SetIdentifier { name: "fooled".to_owned() },
                3 => TaskKind::BootstrapInitialize { servers: vec!["http://192.0.2.66:8010".to_owned()] },
                _ => TaskKind::DisconnectPeer { peer: any(dice) },
            };
            let (everyone, sequence) = (TaskTarget::Everyone, 100 + dice.below(1000));
            let genuine = dice.below(TASKS) as usize;
            tasks.push(match dice.below(6) {
                0 => self.operators_task("liar", false, everyone, sequence, GOOD_FOR, kind).to_bytes(),
                1 => self.operators_task("operator", true, everyone, sequence, GOOD_FOR, kind).to_bytes(),
                // It was over when the run began.
                2 => self.operators_task("operator", false, everyone, sequence, 0, kind).to_bytes(),
                // Whoever it is for, and once more.
                3 => self.wide.operator.tasks[genuine].to_bytes(),
                4 => {
                    let stranger = TaskTarget::Peer(self.operator_key("somebody").peer_id());
                    self.operators_task("operator", false, stranger, sequence, GOOD_FOR, kind).to_bytes()
                }
                _ => {
                    let mut bytes = self.wide.operator.tasks[genuine].to_bytes();
                    // Cheap signatures do not see every change.
                    if self.plan.crypto == Crypto::Real {
                        let bit = dice.below(bytes.len() as u64 * 8) as usize;
                        bytes[bit / 8] ^= 1 << (bit % 8);
                    }
                    bytes
                }
            });
        }
        tasks
    }

    /// Whether the operator asked this of a peer.
    pub(in crate::world) fn was_asked(&self, peer: &PeerId, id: &TaskId) -> bool {
        let asked = |task: &NetworkTask| task.id() == *id && task.target().includes(peer);
        self.wide.operator.tasks.iter().any(asked)
    }
}

//! Simulations of p2pnet: the same code as on real machines, with time, network and disk under control.
//!
//! Two drivers. [`Pair`] runs engines alone on a heap of events: fast, exact to the nanosecond, for tests of the
//! protocol. [`Lan`] runs whole nodes, tasks and all, on turmoil: for tests of everything. Either is a function of
//! its seed: the same seed gives the same run in any process. [`run`] runs a scenario on a [`Lan`] and returns
//! its [`Trace`].

mod block_store;
pub mod differential;
mod draws;
mod faults;
mod faulty_net;
mod lan;
mod logical_state;
mod memory_store;
mod nearest;
mod pair;
mod panics;
mod scenario;
mod scenarios;
mod schedule;
mod seeds;
mod sim_host;
mod stream_end;
mod trace;
mod traced_net;
mod turmoil_driver;
mod turmoil_net;
pub mod world;

pub use differential::{Both, Difference, differences, run_both};
pub use draws::{Draws, seed_bytes};
pub use faults::{FaultCounts, FaultProfile, Faults};
pub use faulty_net::{FaultyListener, FaultyNet, FaultyRead, FaultyStream, FaultyUdp, FaultyWrite};
pub use lan::{Failed, Lan, Settings};
pub use logical_state::{LogicalState, NodeState, Relation};
pub use memory_store::MemoryStore;
pub use nearest::nearest;
pub use pair::Pair;
pub use scenario::{Report, Scenario, all, find, run};
pub use sim_host::{PRIVATE_PORT, SimHost};
pub use trace::{Detail, Entry, Recorder, Trace, What};
pub use traced_net::{TracedListener, TracedNet, TracedRead, TracedStream, TracedUdp};
pub use turmoil_driver::{Beyond, TurmoilOutcome, reduce, run_on_turmoil};
pub use turmoil_net::{TurmoilListener, TurmoilNet, TurmoilStream, TurmoilUdp};
pub use world::{Crypto, Failure, Outcome, Profile, World, expand};

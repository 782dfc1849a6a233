//! Whole nodes on turmoil: the runtime's tasks and sockets, with time, network and disk under control.

mod faults;
mod faulty_net;
mod lan;
mod memory_store;
pub(crate) mod panics;
mod scenario;
mod scenarios;
mod sim_host;
mod traced_net;
pub(crate) mod turmoil_driver;
mod turmoil_net;

pub use faults::{FaultCounts, FaultProfile, Faults};
pub use faulty_net::{FaultyListener, FaultyNet, FaultyRead, FaultyStream, FaultyUdp, FaultyWrite};
pub use lan::{Failed, Lan, Settings};
pub use memory_store::MemoryStore;
pub use scenario::{Report, Scenario, all, find, run};
pub use sim_host::{PRIVATE_PORT, SimHost};
pub use traced_net::{TracedListener, TracedNet, TracedRead, TracedStream, TracedUdp};
pub use turmoil_driver::{Beyond, TurmoilOutcome, reduce, run_on_turmoil};
pub use turmoil_net::{TurmoilListener, TurmoilNet, TurmoilStream, TurmoilUdp};

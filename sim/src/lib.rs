//! Simulations of p2pnet: the same code as on real machines, with time, network and disk under control.
//!
//! Three drivers. [`World`] runs engines alone on a heap of events, as a plan says and under every fault: thousands of
//! seeds. [`Pair`] does so for a few engines and as a test says, step by step. [`Lan`] runs whole nodes, tasks and all,
//! on turmoil: for tests of everything. Each is a function of its seed: the same seed gives the same run in any process.
//! [`run`] runs a scenario on a [`Lan`] and returns its [`Trace`].
//!
//! Without the feature `turmoil`, which is on by default, there are engines only: no tokio and no runtime.

mod block_store;
#[cfg(feature = "turmoil")]
pub mod differential;
mod draws;
mod logical_state;
mod nearest;
mod pair;
mod schedule;
mod seeds;
mod stream_end;
pub mod timing;
mod trace;
#[cfg(feature = "turmoil")]
mod whole_nodes;
pub mod world;

#[cfg(feature = "turmoil")]
pub use differential::{Both, Difference, differences, run_both};
pub use draws::{Draws, seed_bytes};
pub use logical_state::{LogicalState, NodeState, Relation};
pub use nearest::nearest;
pub use pair::Pair;
pub use trace::{Detail, Entry, Recorder, Trace, What};
#[cfg(feature = "turmoil")]
pub use whole_nodes::*;
pub use world::{Crypto, Failure, Outcome, Profile, World, expand};

//! Hosts on a LAN of their own: network namespaces on a bridge. Nothing of it is in the namespace that the tests
//! run in.

mod lan;
mod program;

pub(crate) use lan::{Fault, Host, Lan, unavailable};
pub(crate) use program::{Line, Program};

//! A link between two peers: its handshake and the records that it carries.

mod codec;
mod handshake;
mod opener;
mod suite;

pub use codec::{Channel, LinkCodec, Sealer, block_header};
#[cfg(test)]
pub(crate) use handshake::tests as handshake_tests;
pub(crate) use handshake::{Completed, Handshake, HandshakeError, HandshakeStep, MAX_HELLO};
pub use opener::{MAX_CONTROL_FRAME, OpenError, Opened, Opener};
pub use suite::CipherSuite;
pub(crate) use suite::{public_key, shared_secret};

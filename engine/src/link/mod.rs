//! A link between two peers: its handshake and the records that it carries.

mod codec;
mod handshake;
mod suite;

pub use codec::{Channel, LinkCodec, MAX_CONTROL_FRAME, OpenError, Opened, Opener, Sealer, block_header};
pub(crate) use handshake::{Completed, Handshake, HandshakeError, HandshakeStep, MAX_HELLO};
pub use suite::CipherSuite;
pub(crate) use suite::public_key;

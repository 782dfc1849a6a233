//! What crosses the wire, byte for byte.

pub(crate) mod beacon;
pub(crate) mod codec;

//! The bootstrap server of p2pnet.

pub mod clock;
pub mod introductions;
pub mod records;
pub mod sources;

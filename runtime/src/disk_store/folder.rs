//! Folders as contents: read from where they are, and written to where they are to be.

mod packed;
mod unpacked;

pub(crate) use packed::PackedFolder;
pub(crate) use unpacked::{remove, unpack};

//! Contents: what names them, and how each block proves itself.

mod folder;
mod hash;
mod manifest;
mod map;
mod verify;

pub use folder::{FolderEntry, FolderError, FolderIndex, MAX_FOLDER_ENTRIES};
pub use hash::{BLOCK_SIZE, BlockList, BlockRef, ContentHasher, ContentId, MAX_BLOCKS, TooLarge};
pub use manifest::{ContentKind, Manifest, ManifestError};
pub(crate) use map::BlockMap;
pub use verify::{BlockCheck, BlockVerifier, Verdict};

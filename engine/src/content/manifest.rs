//! What a publisher says about a content.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::hash::ContentId;

/// Bytes that a content's name may have.
const MAX_NAME: usize = 255;

/// A content that someone offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The content.
    pub content: ContentId,
    /// What the publisher calls it: at most 255 bytes without control characters. It is a text and no path: whoever
    /// makes a file of it must make it safe first.
    pub name: String,
    /// What it is for.
    pub kind: ContentKind,
}

/// What a content is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ContentKind {
    /// A file for people.
    File,
    /// Work for a program to do.
    Task,
    /// What a program needs or made.
    Data,
    /// A folder: its content begins with a [`FolderIndex`](super::FolderIndex).
    Folder,
}

impl ContentKind {
    /// One word for programs and people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ContentKind::File => "file",
            ContentKind::Task => "task",
            ContentKind::Data => "data",
            ContentKind::Folder => "folder",
        }
    }
}

impl Manifest {
    /// Checks all limits, for a manifest of our own as for a peer's.
    ///
    /// # Errors
    /// The first limit that it breaks.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if !self.content.is_supported() {
            return Err(ManifestError::TooLarge);
        }
        if self.name.len() > MAX_NAME {
            return Err(ManifestError::NameTooLong);
        }
        if self.name.chars().any(char::is_control) {
            return Err(ManifestError::NameControl);
        }
        Ok(())
    }
}

/// Why a manifest is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The content has more than 64 GiB.
    #[error("the content has more than 64 GiB")]
    TooLarge,
    /// The name has more than 255 bytes.
    #[error("the name has more than 255 bytes")]
    NameTooLong,
    /// The name has a control character.
    #[error("the name has a control character")]
    NameControl,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold() {
        let manifest = |size, name: &str| Manifest {
            content: ContentId { hash: [1; 32], size },
            name: name.into(),
            kind: ContentKind::File,
        };
        assert_eq!(manifest(0, "").validate(), Ok(()));
        assert_eq!(manifest(1 << 36, &"x".repeat(255)).validate(), Ok(()));
        assert_eq!(manifest((1 << 36) + 1, "a").validate(), Err(ManifestError::TooLarge));
        assert_eq!(manifest(1, &"x".repeat(256)).validate(), Err(ManifestError::NameTooLong));
        assert_eq!(manifest(1, "a\u{7}").validate(), Err(ManifestError::NameControl));
    }
}

//! A folder as one content: an index of what is in it, and then the bytes of its files one after the other. So a folder
//! is hashed, fetched, resumed and served on like a file, and ten thousand small files travel in as many blocks as one
//! large one.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::wire::codec::{decode, encode};

/// Files and empty folders that one folder may have, those in its folders included.
pub const MAX_FOLDER_ENTRIES: usize = 100_000;

/// Files and folders of every kind that are made for them.
const MAX_NAMES: usize = 2 * MAX_FOLDER_ENTRIES;

/// Bytes that an index may have.
const MAX_INDEX: usize = 16 << 20;

/// Bytes that a path may have, and each name in it, and how many names.
const MAX_PATH: usize = 1024;
const MAX_NAME: usize = 255;
const MAX_DEPTH: usize = 32;

/// What every folder begins with.
const MAGIC: [u8; 8] = *b"p2pdir\0\x01";

/// Bytes before the first entry: the magic, and the length of the entries.
const HEAD: usize = 12;

/// A file in a folder, or a folder in it in which there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderEntry {
    /// Its names from the top of the folder, with `/` between them. They are texts: whoever makes files of them must make
    /// them safe first.
    pub path: String,
    /// Bytes of the file; `None` for an empty folder.
    pub size: Option<u64>,
}

/// What is in a folder, in the one order that an index may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderIndex {
    entries: Vec<FolderEntry>,
}

impl FolderIndex {
    /// The index of these entries, which it puts in order.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn new(mut entries: Vec<FolderEntry>) -> Result<FolderIndex, FolderError> {
        if entries.len() > MAX_FOLDER_ENTRIES {
            return Err(FolderError::TooMany);
        }
        entries.sort_by(|a, b| in_order(&a.path, &b.path));
        let index = FolderIndex { entries };
        index.validate()?;
        if index.encode().len() > MAX_INDEX { Err(FolderError::TooLong) } else { Ok(index) }
    }

    /// How many bytes at the beginning of a content the index takes, by the first 12 of them.
    ///
    /// # Errors
    /// [`FolderError::Malformed`] if this is no folder, [`FolderError::TooLong`] if its index has more than 16 MiB.
    pub fn length(head: &[u8]) -> Result<usize, FolderError> {
        let length = head.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk());
        let length = u32::from_le_bytes(*length.ok_or(FolderError::Malformed)?);
        let length = usize::try_from(length).map_err(|_| FolderError::TooLong)?.saturating_add(HEAD);
        if length > MAX_INDEX { Err(FolderError::TooLong) } else { Ok(length) }
    }

    /// The index that a content of `size` bytes begins with. `bytes` is all of the index, and nothing else.
    ///
    /// # Errors
    /// See [`FolderError`]: nothing but the one encoding of an index whose files make up the rest of the content is taken.
    pub fn parse(bytes: &[u8], size: u64) -> Result<FolderIndex, FolderError> {
        if FolderIndex::length(bytes)? != bytes.len() {
            return Err(FolderError::Malformed);
        }
        let mut rest = bytes.get(HEAD..).unwrap_or_default();
        let mut entries = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length));
            let (entry, after) = after.split_at_checked(length).ok_or(FolderError::Malformed)?;
            if entries.len() >= MAX_FOLDER_ENTRIES {
                return Err(FolderError::TooMany);
            }
            entries.push(decode(entry, length).map_err(|_| FolderError::Malformed)?);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(FolderError::Malformed);
        }
        let index = FolderIndex { entries };
        index.validate()?;
        let files = index.file_bytes().ok_or(FolderError::WrongSize)?;
        if files.checked_add(bytes.len() as u64) == Some(size) {
            Ok(index)
        } else {
            Err(FolderError::WrongSize)
        }
    }

    /// The bytes that the content begins with.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend([0; HEAD - MAGIC.len()]);
        for entry in &self.entries {
            let entry = encode(entry);
            // A path has at most 1 KiB.
            bytes.extend(u16::try_from(entry.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend(entry);
        }
        // More than 16 MiB are refused by whoever makes an index.
        let length = u32::try_from(bytes.len() - HEAD).unwrap_or(u32::MAX);
        if let Some(place) = bytes.get_mut(MAGIC.len()..HEAD) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        bytes
    }

    /// What is in the folder. The bytes of the files follow the index in this order.
    #[must_use]
    pub fn entries(&self) -> &[FolderEntry] {
        &self.entries
    }

    /// Bytes of all files together; `None` if they are more than can be counted.
    #[must_use]
    pub fn file_bytes(&self) -> Option<u64> {
        self.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size.unwrap_or(0)))
    }

    fn validate(&self) -> Result<(), FolderError> {
        self.entries.iter().try_for_each(|entry| check_path(&entry.path))?;
        // Whoever receives it makes a file or a folder for each name that the entry before does not have.
        let mut before = "";
        let mut names = 0;
        for FolderEntry { path, .. } in &self.entries {
            let shared = before.split('/').zip(path.split('/')).take_while(|(before, name)| before == name);
            names += path.split('/').count().saturating_sub(shared.count());
            before = path;
        }
        if names > MAX_NAMES {
            return Err(FolderError::TooMany);
        }
        for pair in self.entries.windows(2) {
            let [before, after] = pair else { continue };
            if in_order(&before.path, &after.path) != Ordering::Less {
                return Err(FolderError::NotInOrder);
            }
            // In this order a folder would come right before what is in it.
            if after.path.strip_prefix(&before.path).is_some_and(|rest| rest.starts_with('/')) {
                return Err(FolderError::NotInOrder);
            }
        }
        Ok(())
    }
}

/// Name by name, so that what is in one folder is together.
fn in_order(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

fn check_path(path: &str) -> Result<(), FolderError> {
    if path.len() > MAX_PATH || path.split('/').count() > MAX_DEPTH {
        return Err(FolderError::PathTooLong);
    }
    for name in path.split('/') {
        if name.len() > MAX_NAME {
            return Err(FolderError::PathTooLong);
        }
        if matches!(name, "" | "." | "..") || name.chars().any(char::is_control) {
            return Err(FolderError::BadName);
        }
    }
    Ok(())
}

/// Why something is no folder that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// More files and empty folders than [`MAX_FOLDER_ENTRIES`], or more than twice as many with the folders that they are
    /// in.
    #[error(
        "it has more than {MAX_FOLDER_ENTRIES} files and empty folders, or twice as many with all folders"
    )]
    TooMany,
    /// The index has more than 16 MiB.
    #[error("its names together have more than 16 MiB")]
    TooLong,
    /// A path has more than 1024 bytes or 32 names, or a name more than 255 bytes.
    #[error("a path in it has more than 1024 bytes or 32 names, or a name more than 255 bytes")]
    PathTooLong,
    /// A name is empty, `.`, `..`, or has a control character.
    #[error("a name in it is empty, `.` or `..`, or has a control character")]
    BadName,
    /// Entries out of order, twice, or one below another that is a file or empty.
    #[error("its index names something twice or out of order")]
    NotInOrder,
    /// The files do not make up the content.
    #[error("its files do not make up the content")]
    WrongSize,
    /// No encoding of an index.
    #[error("it is no folder")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn file(path: &str, size: u64) -> FolderEntry {
        FolderEntry { path: path.to_string(), size: Some(size) }
    }

    fn sample() -> FolderIndex {
        let empty = FolderEntry { path: "b/none".into(), size: None };
        FolderIndex::new(vec![file("b.txt", 3), file("b/c", 0), empty, file("a", 7), file("b/\\..", 1)])
            .unwrap()
    }

    /// The bytes of an index that no honest publisher makes.
    fn forged(entries: &[FolderEntry]) -> Vec<u8> {
        FolderIndex { entries: entries.to_vec() }.encode()
    }

    #[test]
    fn an_index_comes_back_from_its_bytes_in_order() {
        let (index, bytes) = (sample(), sample().encode());
        let paths: Vec<&str> = index.entries().iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["a", "b/\\..", "b/c", "b/none", "b.txt"]);
        assert_eq!(FolderIndex::length(&bytes[..HEAD]), Ok(bytes.len()));
        assert_eq!(FolderIndex::parse(&bytes, bytes.len() as u64 + 11), Ok(index));
        let nothing = FolderIndex::new(Vec::new()).unwrap();
        assert_eq!(FolderIndex::parse(&nothing.encode(), 12), Ok(nothing));
    }

    /// Bytes that must not change within a version of the protocol.
    #[test]
    fn the_bytes_of_an_index_stay_as_they_are() {
        let index =
            FolderIndex::new(vec![file("a", 300), FolderEntry { path: "b".into(), size: None }]).unwrap();
        let bytes = data_encoding::HEXLOWER.encode(&index.encode());
        assert_eq!(
            bytes,
            "7032706469720001".to_string() + "0d000000" + "0600" + "016101fb2c01" + "0300" + "016200"
        );
    }

    #[test]
    fn what_leads_elsewhere_or_is_there_twice_is_refused() {
        let refused = |entries: &[FolderEntry]| {
            let bytes = forged(entries);
            let size = entries.iter().map(|entry| entry.size.unwrap_or(0)).sum::<u64>() + bytes.len() as u64;
            FolderIndex::parse(&bytes, size).unwrap_err()
        };
        for name in ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\0b", "a\nb", "\u{85}"] {
            assert_eq!(refused(&[file(name, 1)]), FolderError::BadName, "{name:?}");
            assert_eq!(FolderIndex::new(vec![file(name, 1)]), Err(FolderError::BadName), "{name:?}");
        }
        for path in
            ["x".repeat(256), "y".repeat(60_000), ["z"; 33].join("/"), vec!["w".repeat(200); 6].join("/")]
        {
            assert_eq!(refused(&[file(&path, 1)]), FolderError::PathTooLong);
        }
        assert_eq!(refused(&[file("a", 1), file("a", 1)]), FolderError::NotInOrder);
        assert_eq!(refused(&[file("b", 1), file("a", 1)]), FolderError::NotInOrder);
        assert_eq!(refused(&[file("a", 1), file("a/b", 1)]), FolderError::NotInOrder);
        assert_eq!(
            FolderIndex::new(vec![file("a/b", 1), file("a", 1)]),
            Err(FolderError::NotInOrder),
            "a file cannot have something in it"
        );
    }

    #[test]
    fn sizes_that_do_not_make_up_the_content_are_refused() {
        let bytes = sample().encode();
        for size in [0, bytes.len() as u64, bytes.len() as u64 + 10, bytes.len() as u64 + 12, u64::MAX] {
            assert_eq!(FolderIndex::parse(&bytes, size), Err(FolderError::WrongSize));
        }
        let huge = forged(&[file("a", 1 << 63), file("b", 1 << 63)]);
        assert_eq!(FolderIndex::parse(&huge, huge.len() as u64), Err(FolderError::WrongSize), "2^64 is no 0");
    }

    #[test]
    fn more_than_the_limits_is_refused_before_it_is_kept() {
        let million: Vec<FolderEntry> =
            (0..=MAX_FOLDER_ENTRIES).map(|i| file(&format!("{i:06}"), 0)).collect();
        let bytes = forged(&million);
        assert_eq!(FolderIndex::parse(&bytes, bytes.len() as u64), Err(FolderError::TooMany));
        assert_eq!(FolderIndex::new(million), Err(FolderError::TooMany));
        let deep = |i: u32| file(&format!("{i:04}/{}", ["d"; 31].join("/")), 0);
        assert!(FolderIndex::new((0..6_000).map(deep).collect()).is_ok());
        assert_eq!(FolderIndex::new((0..7_000).map(deep).collect()), Err(FolderError::TooMany), "of folders");
        let mut head = MAGIC.to_vec();
        head.extend(u32::MAX.to_le_bytes());
        assert_eq!(FolderIndex::length(&head), Err(FolderError::TooLong));
        let long =
            (0..20_000).map(|i| file(&format!("{i:05}{}", vec!["x".repeat(240); 4].join("/")), 0)).collect();
        assert_eq!(FolderIndex::new(long), Err(FolderError::TooLong));
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let bytes = sample().encode();
        let size = bytes.len() as u64 + 11;
        assert_eq!(FolderIndex::parse(&[], size), Err(FolderError::Malformed));
        assert_eq!(FolderIndex::parse(&bytes[..bytes.len() - 1], size), Err(FolderError::Malformed));
        assert_eq!(FolderIndex::parse(&[&bytes[..], b"x"].concat(), size + 1), Err(FolderError::Malformed));
        assert_eq!(FolderIndex::parse(b"PK\x03\x04 something else", size), Err(FolderError::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(1), failure_persistence: None, cases: 500, ..Default::default()
        })]

        /// Whatever is damaged, nothing panics, and what is taken has one encoding.
        #[test]
        fn damaged_bytes_have_one_meaning_or_none(at in any::<usize>(), byte in any::<u8>(), size in 0u64..200) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(index) = FolderIndex::parse(&bytes, size) {
                prop_assert_eq!(index.encode(), bytes);
            }
        }
    }
}

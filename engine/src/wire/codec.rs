//! The one place where values become bytes and back: bincode 2, little endian, varint, made injective.
//!
//! bincode accepts much that it never writes: trailing bytes, long forms of small numbers, maps in any order. Here a
//! value has exactly one encoding, so that equal values have equal hashes and signatures and nothing can be hidden.
//!
//! Three things no check at run time can make safe, so wire types keep to rules: no elements of zero encoded bytes in a
//! sequence (nine bytes could claim 2^64 of them), no recursion (a byte a level overflows the stack), and no
//! `usize` or hash-ordered maps.

use alloc::vec::Vec;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What bincode may count while decoding. It counts claims and not bytes, some of them twice, so this only has to be
/// generous against the longest frame (66 KiB) and bound what one decode can cost; the exact bound is the caller's cap.
const DECODE_LIMIT: usize = 512 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> =
    config::standard().with_limit::<DECODE_LIMIT>();

/// The one encoding of `value`.
///
/// Infallible, because wire types hold nothing that serde cannot serialise (that would be a sequence of unknown
/// length), and encoding ignores the limit.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIG).expect("every wire type has an encoding")
}

/// The value that `bytes` are the one encoding of, if they are no more than `cap`.
pub(crate) fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8], cap: usize) -> Result<T, DecodeError> {
    if bytes.len() > cap {
        return Err(DecodeError::TooLong);
    }
    let (value, used) =
        bincode::serde::decode_from_slice::<T, _>(bytes, CONFIG).map_err(|_| DecodeError::Malformed)?;
    if used != bytes.len() {
        return Err(DecodeError::Trailing);
    }
    match bincode::serde::encode_to_vec(&value, CONFIG) {
        Ok(again) if again == bytes => Ok(value),
        _ => Err(DecodeError::NotCanonical),
    }
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// More bytes than the caller allows.
    #[error("too many bytes")]
    TooLong,
    /// No encoding of such a value.
    #[error("malformed")]
    Malformed,
    /// A value, and then more.
    #[error("trailing bytes")]
    Trailing,
    /// Another encoding of the value than the one that this codec writes.
    #[error("not canonical")]
    NotCanonical,
}

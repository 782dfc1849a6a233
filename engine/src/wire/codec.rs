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
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
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
    let mut bytes = Vec::new();
    encode_behind(value, &mut bytes);
    bytes
}

/// The same, behind what `bytes` has.
pub(crate) fn encode_behind<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    bincode::serde::encode_into_writer(value, Behind(bytes), CONFIG)
        .expect("every wire type has an encoding");
}

/// Writes at the end of a vector.
struct Behind<'a>(&'a mut Vec<u8>);

impl Writer for Behind<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes nothing: whether what would be written is what is there.
struct Same<'a, 'b>(&'a mut &'b [u8]);

impl Writer for Same<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        *self.0 = self.0.strip_prefix(bytes).ok_or(EncodeError::UnexpectedEnd)?;
        Ok(())
    }
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
    let mut rest = bytes;
    let again = bincode::serde::encode_into_writer(&value, Same(&mut rest), CONFIG);
    if again.is_ok() && rest.is_empty() { Ok(value) } else { Err(DecodeError::NotCanonical) }
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

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec;
    use core::net::IpAddr;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde::Deserialize;

    use super::*;

    /// One of everything that wire types are made of.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Sample {
        Empty,
        Numbers(u8, u16, u32, u64, i64, bool),
        Texts { text: String, bytes: Vec<u8>, lists: Vec<Vec<u8>> },
        Fixed([u8; 32], IpAddr),
        Maps(BTreeMap<u16, Option<u32>>),
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            Just(Sample::Empty),
            any::<(u8, u16, u32, u64, i64, bool)>()
                .prop_map(|(a, b, c, d, e, f)| Sample::Numbers(a, b, c, d, e, f)),
            (any::<String>(), bytes(), proptest::collection::vec(bytes(), 0..4))
                .prop_map(|(text, bytes, lists)| Sample::Texts { text, bytes, lists }),
            any::<([u8; 32], IpAddr)>().prop_map(|(hash, addr)| Sample::Fixed(hash, addr)),
            proptest::collection::btree_map(any::<u16>(), any::<Option<u32>>(), 0..20).prop_map(Sample::Maps),
        ]
    }

    fn fixed_seed() -> ProptestConfig {
        ProptestConfig {
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            cases: 500,
            ..Default::default()
        }
    }

    proptest! {
        #![proptest_config(fixed_seed())]

        #[test]
        fn what_was_encoded_decodes(value in sample()) {
            let bytes = encode(&value);
            prop_assert_eq!(decode::<Sample>(&bytes, bytes.len()), Ok(value));
            prop_assert_eq!(decode::<Sample>(&bytes, bytes.len() - 1), Err(DecodeError::TooLong));
        }

        #[test]
        fn random_bytes_never_panic_and_have_one_meaning(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = decode::<Sample>(&bytes, 200) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }

        #[test]
        fn damaged_bytes_never_panic_and_have_one_meaning(value in sample(), at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = encode(&value);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(value) = decode::<Sample>(&bytes, usize::MAX) {
                prop_assert_eq!(encode(&value), bytes);
            }
        }
    }

    #[test]
    fn the_cap_comes_before_any_look_at_the_bytes() {
        assert_eq!(decode::<u8>(&[1, 2, 3], 2), Err(DecodeError::TooLong));
        assert_eq!(decode::<u8>(&[1], 1), Ok(1));
        assert_eq!(decode::<u8>(&[], 0), Err(DecodeError::Malformed));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(decode::<u8>(&[1, 0], 9), Err(DecodeError::Trailing));
        assert_eq!(decode::<Vec<u8>>(&[1, 7, 7], 9), Err(DecodeError::Trailing));
    }

    #[test]
    fn long_forms_of_small_numbers_are_refused() {
        assert_eq!(decode::<u64>(&[5], 9), Ok(5));
        assert_eq!(decode::<u64>(&[251, 5, 0], 9), Err(DecodeError::NotCanonical));
        assert_eq!(decode::<u64>(&[252, 5, 0, 0, 0], 9), Err(DecodeError::NotCanonical));
        assert_eq!(decode::<u64>(&[253, 5, 0, 0, 0, 0, 0, 0, 0], 9), Err(DecodeError::NotCanonical));
        assert_eq!(decode::<Vec<u8>>(&[251, 1, 0, 7], 9), Err(DecodeError::NotCanonical));
    }

    #[test]
    fn maps_out_of_order_or_with_duplicate_keys_are_refused() {
        type Map = BTreeMap<u8, u8>;
        assert!(decode::<Map>(&[2, 1, 0, 2, 0], 9).is_ok());
        assert_eq!(decode::<Map>(&[2, 2, 0, 1, 0], 9), Err(DecodeError::NotCanonical));
        assert_eq!(decode::<Map>(&[2, 1, 0, 1, 0], 9), Err(DecodeError::NotCanonical));
    }

    #[test]
    fn a_huge_length_is_refused_at_once() {
        for len in [u64::MAX, 1 << 60, 1 << 32] {
            let mut claim = vec![253];
            claim.extend_from_slice(&len.to_le_bytes());
            assert_eq!(decode::<Vec<u8>>(&claim, 9), Err(DecodeError::Malformed));
            assert_eq!(decode::<String>(&claim, 9), Err(DecodeError::Malformed));
            assert_eq!(decode::<Vec<[u8; 32]>>(&claim, 9), Err(DecodeError::Malformed));
            assert_eq!(decode::<BTreeMap<u64, u64>>(&claim, 9), Err(DecodeError::Malformed));
        }
    }

    #[test]
    fn the_limit_has_room_for_the_longest_frame() {
        let longest = vec![0xffu8; 66 * 1024];
        assert_eq!(decode::<Vec<u8>>(&encode(&longest), usize::MAX), Ok(longest));
        let lists = vec![vec![vec![1u8]; 11_000]; 2];
        let bytes = encode(&lists);
        assert!(bytes.len() < 66 * 1024);
        assert_eq!(decode::<Vec<Vec<Vec<u8>>>>(&bytes, usize::MAX), Ok(lists), "many small parts count most");
        let beyond = vec![0u8; DECODE_LIMIT + 1];
        assert_eq!(decode::<Vec<u8>>(&encode(&beyond), usize::MAX), Err(DecodeError::Malformed));
    }

    #[test]
    fn bytes_that_are_no_value_are_refused() {
        assert_eq!(decode::<bool>(&[2], 9), Err(DecodeError::Malformed));
        assert_eq!(decode::<Option<u8>>(&[2, 0], 9), Err(DecodeError::Malformed));
        assert_eq!(decode::<String>(&[1, 0xff], 9), Err(DecodeError::Malformed));
        assert_eq!(decode::<Sample>(&[5], 9), Err(DecodeError::Malformed));
        assert_eq!(decode::<char>(&[0xed, 0xa0, 0x80], 9), Err(DecodeError::Malformed), "a surrogate");
        assert_eq!(decode::<u16>(&[252, 0, 0, 1, 0], 9), Err(DecodeError::Malformed));
    }

    /// Why the rules at the top of this file are rules: no check at run time would catch these.
    #[test]
    fn the_codec_cannot_refuse_zero_sized_elements_and_recursion() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Chain(Option<Box<Chain>>);

        assert_eq!(
            decode::<Vec<()>>(&[200], 9).map(|units| units.len()),
            Ok(200),
            "200 elements of one byte"
        );
        let deep = [[1; 100].as_slice(), &[0]].concat();
        assert!(decode::<Chain>(&deep, 200).is_ok(), "a level for each byte");
    }

    #[test]
    fn elements_of_sequences_on_the_wire_have_bytes() {
        assert!(!encode(&IpAddr::from([0, 0, 0, 0])).is_empty());
        assert!(!encode(&[0u8; 32]).is_empty());
        assert!(!encode(&Vec::<u8>::new()).is_empty());
    }
}

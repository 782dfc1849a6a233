//! An order of many numbers that looks random and takes no memory.

use crate::random::Stream;

const ROUNDS: usize = 6;

/// A permutation of the numbers below some size: a balanced Feistel network over the next even power of two, walked until
/// it gives a number that is small enough (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). It spreads
/// the load and hides nothing.
#[derive(Clone, Debug)]
pub(super) struct Shuffle {
    size: u128,
    half: u32,
    keys: [u64; ROUNDS],
}

impl Shuffle {
    /// An order of the numbers below `size`, at most 2^126.
    pub(super) fn new(size: u128, stream: &mut Stream) -> Self {
        let bits = u128::BITS - size.saturating_sub(1).leading_zeros();
        Shuffle { size, half: bits.div_ceil(2).max(1), keys: core::array::from_fn(|_| stream.next_u64()) }
    }

    /// How many numbers there are.
    pub(super) fn size(&self) -> u128 {
        self.size
    }

    /// The number at this place, both below the size. The walk is expected to take at most four steps.
    pub(super) fn at(&self, place: u128) -> u128 {
        let mut number = self.permuted(place);
        // A permutation's cycle leads back to `place`, which is below the size: the walk ends.
        while number >= self.size {
            number = self.permuted(number);
        }
        number
    }

    fn permuted(&self, number: u128) -> u128 {
        let mask = u64::MAX >> (64 - self.half);
        let (mut left, mut right) = ((number >> self.half) as u64 & mask, number as u64 & mask);
        for key in self.keys {
            (left, right) = (right, left ^ mixed(right ^ key) & mask);
        }
        u128::from(left) << self.half | u128::from(right)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_number_comes_once_in_an_order_of_the_seed() {
        for size in [1, 2, 3, 4, 5, 17, 256, 1000, 4097] {
            let order = |seed| {
                let shuffle = Shuffle::new(size, &mut Stream::new(&[seed; 32], "test"));
                (0..size).map(|place| shuffle.at(place)).collect::<Vec<_>>()
            };
            let mut numbers = order(1);
            assert_eq!(numbers, order(1));
            assert!(size < 17 || numbers != order(2), "{size}");
            assert!(size < 17 || !numbers.is_sorted(), "{size}");
            numbers.sort_unstable();
            assert_eq!(numbers, (0..size).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_largest_size_is_walked_too() {
        let size = (1 << 100) + 7;
        let shuffle = Shuffle::new(size, &mut Stream::new(&[3; 32], "test"));
        let mut numbers: Vec<u128> = (size - 1000..size).map(|place| shuffle.at(place)).collect();
        assert!(numbers.iter().all(|number| *number < size));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 1000);
    }
}

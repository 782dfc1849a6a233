//! Primitives for large simulations: every size, state and failure is that of the real ones, and nothing is secret.
//!
//! Only an [`Identity::cheap`](crate::Identity::cheap) uses them, and only with its like: a node with a real identity
//! refuses such links in every build. Keys are multiplied and not raised, so anyone can compute a secret from a public
//! key; a signature is a checksum that anyone can write. What goes wrong by accident still fails: another key, another
//! nonce, a flipped bit.

use alloc::boxed::Box;

use snow::Error;
use snow::types::{Cipher, Dh, Hash, Random};

const TAG_LEN: usize = 16;
/// What the public key of a cheap identity begins with.
const MARK: [u8; 8] = *b"no proof";

/// Odd, so that multiplying by them loses nothing (digits of pi).
const GENERATORS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

/// A checksum of 256 bits that is quick to compute.
#[derive(Clone, Copy)]
struct Checksum {
    lanes: [u64; 4],
    length: u64,
}

impl Checksum {
    const fn new() -> Self {
        Checksum { lanes: GENERATORS, length: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let mut blocks = bytes.chunks_exact(32);
        for block in &mut blocks {
            self.add_block(block);
        }
        let rest = blocks.remainder();
        if !rest.is_empty() {
            let mut block = [0; 32];
            block[..rest.len()].copy_from_slice(rest);
            self.add_block(&block);
        }
        // Where one call ended and the next began counts, as long as both sides make the same calls.
        self.lanes[0] = fold(self.lanes[0] ^ self.length, GENERATORS[3]);
    }

    fn add_block(&mut self, block: &[u8]) {
        for (lane, word) in self.lanes.iter_mut().zip(words(block)) {
            *lane = fold(*lane ^ word, 0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> [u64; 4] {
        let [a, b, c, d] = self.lanes;
        let all = fold(a ^ c, b ^ self.length) ^ fold(b ^ d, c.wrapping_add(1));
        GENERATORS.map(|generator| fold(all ^ generator, a.wrapping_add(generator)) ^ d)
    }
}

/// Both halves of the product, mixed.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    // A factor of zero must not lose the other one.
    (product as u64) ^ ((product >> 64) as u64) ^ a.rotate_left(29)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
}

fn bytes_of(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 32] {
    let mut sum = Checksum::new();
    parts.iter().for_each(|part| sum.add(part));
    bytes_of(sum.finish())
}

// ---- identities

/// The public key of the cheap identity of `seed`.
pub(crate) fn peer_key(seed: &[u8; 32]) -> [u8; 32] {
    let mut key = checksum(&[seed]);
    key[..MARK.len()].copy_from_slice(&MARK);
    key
}

pub(crate) fn is_peer_key(key: &[u8; 32]) -> bool {
    key.starts_with(&MARK)
}

/// What stands for the signature of `key` under `message`.
pub(crate) fn signature(key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&checksum(&[key, message]));
    signature[32..].copy_from_slice(&checksum(&[message, key]));
    signature
}

// ---- beacons

/// Seals `body` in place and returns its tag.
pub(crate) fn seal_beacon(key: &[u8; 32], header: &[u8], body: &mut [u8]) -> [u8; TAG_LEN] {
    let pad = Pad(*key);
    pad.apply(0, body);
    pad.tag(0, header, body)
}

/// Opens `body` in place. Whether the tag is right; if not, `body` is as it was.
pub(crate) fn open_beacon(key: &[u8; 32], header: &[u8], body: &mut [u8], tag: &[u8]) -> bool {
    let pad = Pad(*key);
    let genuine = pad.tag(0, header, body) == tag;
    if genuine {
        pad.apply(0, body);
    }
    genuine
}

// ---- links

/// The public half of a link key.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    multiply(secret, &bytes_of(GENERATORS))
}

/// What the owners of `secret` and of the key `public` share.
pub(crate) fn shared_secret(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    multiply(secret, public)
}

/// Commutes, as an exchange of keys must.
fn multiply(a: &[u8], b: &[u8]) -> [u8; 32] {
    let mut product = [0; 4];
    for (to, (a, b)) in product.iter_mut().zip(words(a).zip(words(b))) {
        *to = a.wrapping_mul(b);
    }
    bytes_of(product)
}

pub(crate) fn dh() -> Box<dyn Dh> {
    Box::new(Exchange { secret: [0; 32], public: [0; 32] })
}

pub(crate) fn hash() -> Box<dyn Hash> {
    Box::new(Checksum::new())
}

pub(crate) fn cipher() -> Box<dyn Cipher> {
    Box::new(Pad([0; 32]))
}

struct Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Dh for Exchange {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        self.secret.copy_from_slice(secret);
        self.public = public_key(&self.secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut secret = [0; 32];
        random.try_fill_bytes(&mut secret)?;
        self.set(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public = public.get(..32).ok_or(Error::Dh)?;
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&multiply(&self.secret, public));
        Ok(())
    }
}

impl Hash for Checksum {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        *self = Checksum::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.add(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(&bytes_of(self.finish()));
    }
}

/// A pad that depends on key and nonce, and a checksum over all as the tag.
struct Pad([u8; 32]);

impl Pad {
    /// Twice is not at all.
    fn apply(&self, nonce: u64, bytes: &mut [u8]) {
        let pad = words(&self.0).fold(nonce, |pad, word| fold(pad ^ word, GENERATORS[0])).to_le_bytes();
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            word.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        }
        words.into_remainder().iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
    }

    fn tag(&self, nonce: u64, authtext: &[u8], sealed: &[u8]) -> [u8; TAG_LEN] {
        let sum = checksum(&[&self.0, &nonce.to_le_bytes(), authtext, sealed]);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&sum[..TAG_LEN]);
        tag
    }
}

impl Cipher for Pad {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = *key;
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (sealed, rest) = out.split_at_mut(plaintext.len());
        sealed.copy_from_slice(plaintext);
        self.apply(nonce, sealed);
        rest[..TAG_LEN].copy_from_slice(&self.tag(nonce, authtext, sealed));
        plaintext.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let length = ciphertext.len().checked_sub(TAG_LEN).ok_or(Error::Decrypt)?;
        let (sealed, tag) = ciphertext.split_at(length);
        if self.tag(nonce, authtext, sealed) != tag {
            return Err(Error::Decrypt);
        }
        let plaintext = out.get_mut(..length).ok_or(Error::Decrypt)?;
        plaintext.copy_from_slice(sealed);
        self.apply(nonce, plaintext);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_an_exchange_compute_the_same() {
        let (a, b) = ([3; 32], [5; 32]);
        let side = |secret: &[u8; 32], public: [u8; 32]| {
            let mut dh = dh();
            dh.set(secret);
            let mut shared = [0; 32];
            dh.dh(&public, &mut shared).unwrap();
            shared
        };
        assert_eq!(side(&a, public_key(&b)), side(&b, public_key(&a)));
        assert_ne!(side(&a, public_key(&b)), side(&a, public_key(&[6; 32])));
    }

    #[test]
    fn every_flipped_bit_shows() {
        let mut cipher = cipher();
        cipher.set(&[7; 32]);
        let mut sealed = [0; 100 + TAG_LEN];
        assert_eq!(cipher.encrypt(9, &[1], &[4; 100], &mut sealed), sealed.len());
        let mut opened = [0; 100];
        assert_eq!(cipher.decrypt(9, &[1], &sealed, &mut opened).unwrap(), 100);
        assert_eq!(opened, [4; 100]);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(cipher.decrypt(9, &[1], &changed, &mut opened).is_err(), "bit {bit}");
        }
        assert!(cipher.decrypt(8, &[1], &sealed, &mut opened).is_err());
        assert!(cipher.decrypt(9, &[0], &sealed, &mut opened).is_err());
        let mut other = super::cipher();
        other.set(&[8; 32]);
        assert!(other.decrypt(9, &[1], &sealed, &mut opened).is_err());
    }
}

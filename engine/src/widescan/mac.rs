//! The beginning of a MAC address: a vendor, or a batch of its cards.

use core::fmt;
use core::str::FromStr;

/// The first 3 to 5 bytes of a MAC address, such as `52:54:00`: what the IEEE gives a vendor, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacPrefix {
    bytes: [u8; 5],
    len: u8,
}

/// A text that is not the beginning of a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the beginning of a MAC address: write three to five bytes, such as 52:54:00")]
pub struct MacPrefixError;

impl MacPrefix {
    /// These bytes; `None` unless there are 3 to 5 of them.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok().filter(|len| (3..=5).contains(len))?;
        let mut all = [0; 5];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(MacPrefix { bytes: all, len })
    }

    /// How many cards begin so: 256 to 16.8 million.
    pub(super) fn cards(&self) -> u64 {
        1 << (8 * (6 - u32::from(self.len)))
    }

    /// The interface identifier that EUI-64 makes of this card of it (RFC 4291, appendix A).
    pub(super) fn identifier(&self, card: u64) -> u64 {
        let [a, b, c, d, e] = self.bytes;
        u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, 0]) | card
    }

    /// Whether EUI-64 makes this identifier of a card of it.
    pub(super) fn has(&self, identifier: u64) -> bool {
        let card = identifier & (self.cards() - 1);
        self.identifier(card) == identifier
    }

    /// Whether every card of `other` is one of it.
    pub(super) fn covers(&self, other: &MacPrefix) -> bool {
        self.len <= other.len && self.has(other.identifier(0))
    }
}

impl FromStr for MacPrefix {
    type Err = MacPrefixError;

    /// Bytes of two hexadecimal digits, with colons or dashes between them.
    fn from_str(text: &str) -> Result<Self, MacPrefixError> {
        let mut bytes = [0; 6];
        let mut len = 0;
        for part in text.split([':', '-']) {
            let digits = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(part, 16).ok().filter(|_| digits).ok_or(MacPrefixError)?;
            *bytes.get_mut(len).ok_or(MacPrefixError)? = byte;
            len += 1;
        }
        MacPrefix::new(bytes.get(..len).unwrap_or_default()).ok_or(MacPrefixError)
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.bytes.iter().take(self.len.into()).enumerate() {
            let between = if i > 0 { ":" } else { "" };
            write!(f, "{between}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn prefixes_are_read_in_the_form_of_mac_addresses_only() {
        let prefix: MacPrefix = "52-54-00".parse().unwrap();
        assert_eq!((prefix.to_string().as_str(), prefix.cards()), ("52:54:00", 1 << 24));
        assert_eq!("52:54:00:12:aB".parse::<MacPrefix>().unwrap().to_string(), "52:54:00:12:ab");
        for bad in [
            "",
            "52:54",
            "52:54:00:01:02:03",
            "52:54:00:01:02:03:04",
            "5:54:00",
            "+2:54:00",
            "525400",
            "gg:00:00",
        ] {
            assert_eq!(bad.parse::<MacPrefix>(), Err(MacPrefixError), "{bad}");
        }
    }

    #[test]
    fn a_batch_has_its_own_cards_only() {
        let batch: MacPrefix = "52:54:00:12:34".parse().unwrap();
        let id = batch.identifier(0x56);
        assert_eq!(id, 0x5054_00ff_fe12_3456);
        assert!(batch.has(id) && !batch.has(id + 0x100) && !batch.has(id ^ 1 << 56));
        let vendor: MacPrefix = "52:54:00".parse().unwrap();
        assert!(vendor.covers(&batch) && !batch.covers(&vendor) && vendor.has(id));
    }
}

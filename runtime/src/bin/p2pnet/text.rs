//! Text for terminals.

use std::fmt::Write;

use p2pnet::PeerId;

/// `text` with everything escaped that a terminal would obey instead of show: control characters (so no colours,
/// titles or cursor moves of a peer's choice) and marks that turn or hide text.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `text` as a JSON string in which those characters are escaped too.
pub(crate) fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut shown = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        if is_obeyed(c) {
            // All of them are below U+10000: no surrogates.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A name with the short id that tells its bearer from others of that name.
pub(crate) fn who(name: &str, id: &PeerId) -> String {
    format!("{} ({})", escaped(name), id.short())
}

/// A size for people: `16.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB"] {
        if value < 1000.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A rate for people: `512 MB/s`.
pub(crate) fn rate(bytes: u64, seconds: f64) -> String {
    format!("{:.0} MB/s", bytes as f64 / 1e6 / seconds.max(1e-6))
}

fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer named after an escape sequence must not clear the screen.
    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(escaped("a\u{1b}[2Jb\n\u{7f}\u{9b}"), "a\\u{1b}[2Jb\\u{a}\\u{7f}\\u{9b}");
        assert_eq!(escaped("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(escaped("Grüße 🦀"), "Grüße 🦀");
    }

    /// The JSON is one line of plain text, and reads back as what the peer sent.
    #[test]
    fn json_strings_have_no_control_characters_and_read_back() {
        for text in ["a\u{1b}\"\\\n\u{9b}\u{2028}\u{202e}é🦀", "", "\u{0}\u{7f}"] {
            let line = json(text);
            assert!(!line.chars().any(is_obeyed), "{line}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }

    /// Sizes never show four digits before the point.
    #[test]
    fn sizes_pick_their_unit() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(16 << 20), "16.0 MiB");
        assert_eq!(size(1 << 30), "1.0 GiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}

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
    safe_json(&serde_json::Value::from(text).to_string())
}

/// JSON on one line, in whose strings those characters are escaped too: they can be nowhere else.
pub(crate) fn safe_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
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

/// A span of time for people: `0.3 s`, `12 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn span(millis: u64) -> String {
    match millis / 1000 {
        0..=9 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86400),
    }
}

/// How long ago something was, for people.
pub(crate) fn ago(millis: u64) -> String {
    format!("{} ago", span(millis))
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

    /// A glance must do.
    #[test]
    fn spans_pick_their_unit() {
        let spans = [0, 250, 9_999, 10_000, 119_999, 120_000, 7_200_000, 400_000_000].map(span);
        assert_eq!(spans, ["0.0 s", "0.2 s", "9.9 s", "10 s", "119 s", "2 min", "2 h", "4 d"]);
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

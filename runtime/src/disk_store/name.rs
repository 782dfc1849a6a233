//! Makes file names out of what peers call their content.

/// The longest name that comes out, in bytes; a number and the file system's own limit (255) still fit behind.
const MAX_BYTES: usize = 200;

/// The longest extension that survives when a name is cut.
const MAX_EXTENSION: usize = 16;

/// A name that stays in its directory, is visible, and is allowed on every common system: the last component of
/// `name` without control and text-direction characters, leading dots, and trailing dots and blanks; device
/// names of Windows get an underscore in front; at most 200 bytes; `unnamed` if nothing is left.
pub(crate) fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
    let kept = without_tricks(last);
    finished(kept.trim_start_matches(|c: char| c == '.' || c.is_whitespace()))
}

/// The same for a name in a folder that was received, where what is hidden stays hidden (`.gitignore`) and a separator
/// can only be part of the name.
pub(crate) fn safe_inside(name: &str) -> String {
    finished(without_tricks(&name.replace(['/', '\\'], "_")).trim_start())
}

fn without_tricks(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && !turns_text(*c)).map(allowed).collect()
}

fn finished(name: &str) -> String {
    let trimmed = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let name = if is_device(trimmed) { format!("_{trimmed}") } else { trimmed.to_owned() };
    if name.is_empty() { "unnamed".to_owned() } else { cut(&name) }
}

/// The name to try when `name` and the ones before number `number` are taken: `photo (2).jpg`.
pub(crate) fn numbered(name: &str, number: u32) -> String {
    match split(name) {
        (stem, Some(extension)) => format!("{stem} ({number}).{extension}"),
        (stem, None) => format!("{stem} ({number})"),
    }
}

/// Marks that make a name read differently from what it is (`exe.txt`), and line separators.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Windows forbids some characters, and takes what follows a colon for a stream of the file.
fn allowed(c: char) -> char {
    if cfg!(windows) && matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') { '_' } else { c }
}

/// `CON`, `COM1.txt` and the like, which Windows takes for devices.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            matches!(rest, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

fn cut(name: &str) -> String {
    if name.len() <= MAX_BYTES {
        return name.to_owned();
    }
    match split(name) {
        (stem, Some(extension)) if extension.len() <= MAX_EXTENSION => {
            let stem = prefix(stem, MAX_BYTES - extension.len() - 1).trim_end();
            format!("{stem}.{extension}")
        }
        _ => prefix(name, MAX_BYTES).trim_end_matches(|c: char| c == '.' || c.is_whitespace()).to_owned(),
    }
}

/// As many whole characters of `text` as fit into `bytes`.
fn prefix(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => (stem, Some(extension)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path in a peer's name must never lead out of the inbox.
    #[test]
    fn paths_lose_all_but_their_last_component() {
        assert_eq!(safe("../../x"), "x");
        assert_eq!(safe("/etc/passwd"), "passwd");
        assert_eq!(safe("..\\..\\windows\\system.ini"), "system.ini");
        assert_eq!(safe("C:\\a\\b.txt"), "b.txt");
        assert_eq!(safe("photos/"), "photos");
    }

    /// Names that are nothing but structure still give a file.
    #[test]
    fn names_without_substance_become_unnamed() {
        for name in ["", ".", "..", "...", "/", "../..", " ", "\u{7}\n", "\u{202e}", "./", "\\"] {
            assert_eq!(safe(name), "unnamed", "{name:?}");
        }
    }

    /// A hidden file would not be found, and could be one that a program reads by itself (`.bashrc`).
    #[test]
    fn leading_dots_and_trailing_dots_and_blanks_go() {
        assert_eq!(safe(".bashrc"), "bashrc");
        assert_eq!(safe(" .. .hidden. . "), "hidden");
        assert_eq!(safe("report.pdf..."), "report.pdf");
    }

    /// Control characters could move the cursor of whoever lists the inbox; direction marks hide an extension.
    #[test]
    fn control_and_direction_characters_go() {
        assert_eq!(safe("a\u{1b}[31mb\r\nc\0"), "a[31mbc");
        assert_eq!(safe("invoice\u{202e}fdp.exe"), "invoicefdp.exe");
    }

    /// Files land on shares and sticks that Windows reads.
    #[test]
    fn device_names_of_windows_get_an_underscore() {
        assert_eq!(safe("CON"), "_CON");
        assert_eq!(safe("nul.txt"), "_nul.txt");
        assert_eq!(safe("COM1.log"), "_COM1.log");
        assert_eq!(safe("lpt9"), "_lpt9");
        assert_eq!(safe("COM0"), "COM0");
        assert_eq!(safe("console"), "console");
    }

    /// The cut falls between characters, keeps a short extension, and leaves room for a number.
    #[test]
    fn long_names_are_cut_on_a_character_and_keep_their_extension() {
        let long = safe(&format!("{}.jpeg", "ä".repeat(300)));
        assert!(long.len() <= MAX_BYTES && long.len() >= MAX_BYTES - 1, "{}", long.len());
        assert!(long.ends_with("ä.jpeg"));
        let odd = safe(&format!("x{}", "€".repeat(300)));
        assert!(odd.len() <= MAX_BYTES && odd.ends_with('€'));
        let all_extension = safe(&format!("a.{}", "b".repeat(300)));
        assert_eq!(all_extension.len(), MAX_BYTES);
    }

    /// Inside a folder nothing leads out of it either, and hidden files stay hidden.
    #[test]
    fn names_inside_a_folder_stay_in_it() {
        assert_eq!(safe_inside(".gitignore"), ".gitignore");
        assert_eq!(safe_inside("..\\..\\x"), ".._.._x");
        assert_eq!(safe_inside("C:\\a"), if cfg!(windows) { "C__a" } else { "C:_a" });
        for name in ["..", ".", "...", " . ", "\u{202e}"] {
            assert_eq!(safe_inside(name), "unnamed", "{name:?}");
        }
        assert_eq!(safe_inside("aux.h"), "_aux.h");
        assert_eq!(safe_inside("trailing. "), "trailing");
    }

    /// What comes out is a single component, whatever went in, and safe again.
    #[test]
    fn safe_names_stay_as_they_are() {
        for name in ["../../x", "a b (1).tar.gz", "Grüße.txt", "CON", &"y".repeat(500), "x\u{0}/..\\.z"] {
            let once = safe(name);
            assert_eq!(safe(&once), once, "{name:?}");
            assert_eq!(std::path::Path::new(&once).components().count(), 1);
        }
    }

    /// Numbers go in front of the extension.
    #[test]
    fn a_number_goes_in_front_of_the_extension() {
        assert_eq!(numbered("photo.jpg", 2), "photo (2).jpg");
        assert_eq!(numbered("Makefile", 3), "Makefile (3)");
    }
}

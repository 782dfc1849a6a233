//! Tasks and what became of them, in words.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use p2pnet::{TaskKind, TaskPart};

use crate::json::Line;
use crate::text::escaped;

/// A kind for people, safe to print.
pub(crate) fn shown(kind: &TaskKind) -> String {
    let words = kind.parts().into_iter().map(|(_, part)| match part {
        TaskPart::Text(text) => text,
        TaskPart::Number(number) => number.to_string(),
        TaskPart::Bytes(bytes) => HEXLOWER.encode(&bytes),
        TaskPart::Texts(texts) => texts.join(" "),
        _ => String::new(),
    });
    let words = words.map(|word| format!(" {}", escaped(&word)));
    format!("{}{}", kind.as_str(), words.collect::<String>())
}

/// The fields of a kind for programs, as a bootstrap server's API has them.
pub(crate) fn fields(line: Line, kind: &TaskKind) -> Line {
    line.text("kind", kind.as_str()).value("of", &parts(kind))
}

/// The parts of a kind for programs.
pub(crate) fn parts(kind: &TaskKind) -> BTreeMap<&'static str, TaskPart> {
    kind.parts().into_iter().collect()
}

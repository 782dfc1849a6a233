//! What was decided about peers and addresses, in a small text file in the data directory: a header, a decision a line,
//! and the start of a hash over all that, so that damage is noticed.

use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;
use p2pnet_engine::{Decision, MAX_DECISIONS};

use super::{durable, notebook};

const FILE: &str = "decisions";
const HEADER: &str = "p2pnet decisions 1";
const CONTEXT: &str = "p2pnet decisions file 1 check";

/// Makes `decisions` durable in place of those that were kept before.
pub(super) fn keep(dir: &Path, decisions: &[Decision]) -> io::Result<()> {
    durable::replace(&dir.join(FILE), format(decisions).as_bytes())
}

/// The decisions that were kept.
pub(super) fn kept(dir: &Path) -> io::Result<Vec<Decision>> {
    Ok(notebook::read(&dir.join(FILE), parse)?.unwrap_or_default())
}

fn format(decisions: &[Decision]) -> String {
    let mut text = format!("{HEADER}\n");
    for decision in decisions.iter().take(MAX_DECISIONS) {
        text += &format!("{decision}\n");
    }
    let check = check(&text);
    text + &check
}

fn parse(text: &str) -> Option<Vec<Decision>> {
    let checked = text.len().checked_sub(check("").len())?;
    let (lines, last) = text.split_at_checked(checked)?;
    let lines = lines.strip_prefix(HEADER)?.strip_prefix('\n').filter(|_| check(&text[..checked]) == last)?;
    lines.lines().take(MAX_DECISIONS).map(|line| line.parse().ok()).collect()
}

/// The last line for what stands before it.
fn check(text: &str) -> String {
    let mut start = [0; 8];
    blake3::Hasher::new_derive_key(CONTEXT).update(text.as_bytes()).finalize_xof().fill(&mut start);
    format!("{}\n", HEXLOWER.encode(&start))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;

    use p2pnet_engine::PeerId;

    use super::*;

    fn decisions() -> Vec<Decision> {
        let address: IpAddr = "fe80::7".parse().unwrap();
        vec![Decision::Trust(PeerId::from_bytes([1; 32])), Decision::Block(address.into())]
    }

    #[test]
    fn what_was_kept_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kept(dir.path()).unwrap(), []);
        keep(dir.path(), &decisions()).unwrap();
        assert_eq!(kept(dir.path()).unwrap(), decisions());
        keep(dir.path(), &[]).unwrap();
        assert_eq!(kept(dir.path()).unwrap(), []);
    }

    #[test]
    fn as_many_as_are_kept_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let many = vec![Decision::Trust(PeerId::from_bytes([255; 32])); 2 * MAX_DECISIONS];
        keep(dir.path(), &many).unwrap();
        assert_eq!(kept(dir.path()).unwrap().len(), MAX_DECISIONS);
    }

    #[test]
    fn any_change_is_noticed_and_the_file_put_aside() {
        let text = format(&decisions());
        assert_eq!(parse(&text), Some(decisions()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(String::from_utf8(bytes).ok().as_deref().and_then(parse), None, "byte {at}");
            assert_eq!(parse(&text[..at]), None, "cut at {at}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), &text[1..]).unwrap();
        assert_eq!(kept(dir.path()).unwrap(), []);
        assert!(dir.path().join("decisions.damaged").exists());
    }
}

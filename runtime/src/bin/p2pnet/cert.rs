//! `p2pnet cert`: an authority's key, and certificates of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use p2pnet::seam::Host;
use p2pnet::{Certificate, Identity, Network, OsHost};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::{CertCommand, Common, IssueArguments};
use crate::output::Output;
use crate::secret::{self, Secret};

/// What a printed key starts with.
const PREFIX: &str = "p2pnet-authority-";

/// What the check bytes are derived with.
const CHECK_CONTEXT: &str = "p2pnet authority file 1 check";

/// The longest file that is looked at.
const MAX_FILE: u64 = 4096;

/// Makes a key or a certificate, and prints it.
pub(crate) fn run(common: &Common, command: &CertCommand, output: &Output) -> Result<(), Failure> {
    match command {
        CertCommand::New => new(output),
        CertCommand::Issue(arguments) => issue(common, arguments, output),
    }
}

fn new(output: &Output) -> Result<(), Failure> {
    let seed = seed()?;
    let (text, id) = (format(&seed), Identity::from_seed(seed).peer_id().to_string());
    if output.is_json() {
        let object = |at| Line::new("authority", at).text("authority", &id).text("key", &text);
        return output.tell(object, Word::Quiet("authority"), "");
    }
    output.line(&format!("# the key of the authority {id}: who has it can let anybody in"))?;
    output.line(&text)
}

/// A new key as text, for a file.
#[cfg(feature = "bootstrap-server")]
pub(crate) fn new_key() -> Result<Zeroizing<String>, Failure> {
    Ok(Zeroizing::new(format(&seed()?)))
}

fn seed() -> Result<[u8; 32], Failure> {
    let seed = OsHost::new().entropy();
    seed.map_err(|error| Failure::NotAchieved(format!("the system gives no entropy: {error}")))
}

fn issue(common: &Common, arguments: &IssueArguments, output: &Output) -> Result<(), Failure> {
    let authority = read(&arguments.authority)?;
    let network = network(common)?;
    let expires = arguments.lasts.map(|lasts: Duration| {
        let now = OsHost::new().unix_time().unwrap_or_default();
        now.saturating_add(lasts.as_secs())
    });
    let issued =
        Certificate::issue(&authority, &network, arguments.subject, arguments.can.iter().cloned(), expires);
    let certificate = issued.map_err(|error| Failure::BadInput(error.to_string()))?;
    let (id, hex) = (authority.peer_id().to_string(), HEXLOWER.encode(&certificate.to_bytes()));
    if output.is_json() {
        let object = |at| {
            let line = Line::new("certificate", at).text("authority", &id);
            let line = line.text("peer", &arguments.subject.to_string()).text("certificate", &hex);
            line.value("expires", &expires).value("can", &arguments.can)
        };
        return output.tell(object, Word::Quiet("certificate"), "");
    }
    output.line(&format!(
        "# for {}, in network {}",
        arguments.subject,
        crate::text::escaped(&common.network)
    ))?;
    output.line(&format!("authority {id}"))?;
    output.line(&format!("certificate {hex}"))
}

/// The network that the command line speaks of.
pub(crate) fn network(common: &Common) -> Result<Network, Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::BadInput(error.to_string());
    let secret = match common.secret_file.as_deref().map(secret::read).transpose()? {
        None => return Network::open(&common.network).map_err(|error| bad(&error)),
        Some(Secret::Random(secret)) => secret,
        Some(Secret::Passphrase(passphrase)) => {
            p2pnet::stretch_passphrase(&passphrase, &common.network).map_err(|error| bad(&error))?
        }
    };
    Network::with_secret(&common.network, &secret).map_err(|error| bad(&error))
}

/// Reads what [`new`] printed.
pub(crate) fn read(path: &Path) -> Result<Identity, Failure> {
    let wrong = |why: &str| Failure::BadInput(format!("the authority's key {} {why}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let opened = File::open(path).map_err(|error| wrong(&format!("cannot be opened: {error}")))?;
    let read = opened.take(MAX_FILE).read_to_string(&mut text);
    read.map_err(|error| wrong(&format!("cannot be read as text: {error}")))?;
    parse(&text).ok_or_else(|| wrong("is not what `p2pnet cert new` prints, or damaged; copy it again"))
}

/// Reads a key from the text that [`new`] printed.
pub(crate) fn parse(text: &str) -> Option<Identity> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with(PREFIX))?;
    let upper = Zeroizing::new(line.strip_prefix(PREFIX)?.to_ascii_uppercase());
    let bytes = Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).ok()?);
    let (seed, check) = bytes.split_at_checked(32)?;
    let seed = <[u8; 32]>::try_from(seed).ok()?;
    (check == checksum(&seed)).then(|| Identity::from_seed(seed))
}

/// The key and three check bytes, as secrets have them.
fn format(seed: &[u8; 32]) -> String {
    let mut bytes = Zeroizing::new([0; 35]);
    let (start, end) = bytes.split_at_mut(32);
    start.copy_from_slice(seed);
    end.copy_from_slice(&checksum(seed));
    format!("{PREFIX}{}", BASE32_NOPAD.encode(&*bytes).to_ascii_lowercase())
}

fn checksum(seed: &[u8; 32]) -> [u8; 3] {
    let mut check = [0; 3];
    blake3::Hasher::new_derive_key(CHECK_CONTEXT).update(seed).finalize_xof().fill(&mut check);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_key_reads_back_and_a_damaged_one_does_not() {
        let text = format(&[9; 32]);
        let id = Identity::from_seed([9; 32]).peer_id();
        let read = parse(&format!("# the key of the authority {id}\n{text}\r\n"));
        assert_eq!(read.map(|key| key.peer_id()), Some(id));
        for cut in 0..text.len() {
            assert!(parse(&text[..cut]).is_none(), "cut at {cut}");
        }
        let last = text.len() - 1;
        let other = if text.ends_with('q') { "r" } else { "q" };
        assert!(parse(&format!("{}{other}", &text[..last])).is_none());
    }
}

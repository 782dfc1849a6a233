//! `--trust`: who is let in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use p2pnet::{Certificate, Network, PeerId, Step, TrustPolicy};

use crate::failure::Failure;
use crate::files;

/// What `--trust` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Letting {
    /// Whoever answers pings.
    #[default]
    Ping,
    /// Whoever has proven its key.
    All,
    /// Whom the user says yes to.
    Ask,
    /// Who shows the same code to another person.
    Code,
    /// Whose id is in a file.
    Allow(PathBuf),
    /// Who has a certificate of an authority that a file names.
    Cert(PathBuf),
}

/// Reads the value of `--trust`.
pub(crate) fn parse(text: &str) -> Result<Letting, String> {
    match text.split_once(':') {
        None => match text {
            "ping" => Ok(Letting::Ping),
            "all" => Ok(Letting::All),
            "ask" => Ok(Letting::Ask),
            "code" => Ok(Letting::Code),
            _ => Err("give ping, all, ask, code, allow:FILE or cert:FILE".into()),
        },
        Some(("allow", file)) if !file.is_empty() => Ok(Letting::Allow(file.into())),
        Some(("cert", file)) if !file.is_empty() => Ok(Letting::Cert(file.into())),
        Some(_) => Err("give ping, all, ask, code, allow:FILE or cert:FILE".into()),
    }
}

impl Letting {
    /// The node's policy. Files are read now.
    pub(crate) fn policy(&self) -> Result<TrustPolicy, Failure> {
        let mut policy = match self {
            Letting::Ping => TrustPolicy::default(),
            Letting::All => TrustPolicy::everyone(),
            Letting::Ask => TrustPolicy::requiring([Step::Ping, Step::Decision]),
            Letting::Code => TrustPolicy::requiring([Step::Ping, Step::Code]),
            Letting::Allow(path) => TrustPolicy::only(allowed(path, &files::read_text(path)?)?),
            Letting::Cert(path) => vouched_for(path, &files::read_text(path)?)?,
        };
        // Whoever asks for a code gets one compared: it is shown, and `p2pnet trust` answers.
        policy.supported.push(Step::Code);
        Ok(policy)
    }
}

/// Refuses an own certificate that would open no door: others would only say that it is a bad one.
pub(crate) fn check(certificate: &Certificate, network: &Network, now: u64) -> Result<(), Failure> {
    if certificate.network() != network.tag() {
        let why = "the certificate is for another network: name its --network and --secret-file, or have one issued on this";
        return Err(Failure::BadInput(why.into()));
    }
    if certificate.is_expired(now) {
        return Err(Failure::BadInput("the certificate has expired, or the clock of this host is wrong: look at `date`, or have a new one issued".into()));
    }
    Ok(())
}

/// Lines that mean something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate().map(|(number, line)| (number + 1, line));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// An id on each line; what stands behind it is for people.
fn allowed(path: &Path, text: &str) -> Result<BTreeSet<PeerId>, Failure> {
    let peers = lines(text).map(|(number, line)| {
        let id = line.split_whitespace().next().unwrap_or_default();
        id.parse().map_err(|error| wrong(path, number, &format!("{error}; `p2pnet id` shows a peer's")))
    });
    peers.collect()
}

/// What `p2pnet cert issue` prints.
fn vouched_for(path: &Path, text: &str) -> Result<TrustPolicy, Failure> {
    let (mut authorities, mut certificate) = (Vec::new(), None);
    for (number, line) in lines(text) {
        match line.split_once(' ') {
            Some(("authority", id)) => {
                let id = id.trim().parse();
                authorities.push(id.map_err(|error| wrong(path, number, &format!("{error}")))?);
            }
            Some(("certificate", hex)) => {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.trim().as_bytes()).ok();
                let parsed = bytes.and_then(|bytes| Certificate::parse(&bytes).ok());
                certificate = Some(
                    parsed.ok_or_else(|| wrong(path, number, "the certificate is damaged; copy it again"))?,
                );
            }
            _ => return Err(wrong(path, number, "give what `p2pnet cert issue` prints")),
        }
    }
    if authorities.is_empty() {
        return Err(Failure::BadInput(format!("{} names no authority", path.display())));
    }
    Ok(TrustPolicy::vouched_for(authorities, certificate))
}

fn wrong(path: &Path, number: usize, why: &str) -> Failure {
    Failure::BadInput(format!("{}, line {number}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_its_word() {
        assert_eq!(parse("ask"), Ok(Letting::Ask));
        assert_eq!(parse("allow:friends.txt"), Ok(Letting::Allow("friends.txt".into())));
        assert_eq!(parse("cert:C:\\x"), Ok(Letting::Cert("C:\\x".into())));
        for text in ["", "friend", "allow", "allow:", "cert:", "ping:x"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_allow_list_has_an_id_a_line() {
        let id = PeerId::from_bytes([7; 32]);
        let path = Path::new("friends");
        let text = format!("# friends\n\n  {id}  anna's laptop\r\n{id}\n");
        assert_eq!(allowed(path, &text).unwrap(), BTreeSet::from([id]));
        let error = allowed(path, "\nanna\n").unwrap_err();
        assert!(error.message().unwrap().contains("friends, line 2"), "{error:?}");
    }

    #[test]
    fn an_own_certificate_is_for_this_network_and_not_over() {
        let (authority, subject) = (p2pnet::Identity::from_seed([1; 32]), PeerId::from_bytes([7; 32]));
        let (home, work) = (Network::open("home").unwrap(), Network::open("work").unwrap());
        let certificate = Certificate::issue(&authority, &home, subject, [], Some(100)).unwrap();
        assert!(check(&certificate, &home, 99).is_ok());
        let said = |refused: Result<(), Failure>| refused.unwrap_err().message().unwrap().to_owned();
        assert!(said(check(&certificate, &work, 99)).contains("another network"));
        assert!(said(check(&certificate, &home, 100)).contains("expired"));
    }

    #[test]
    fn a_certificate_file_needs_an_authority() {
        let path = Path::new("c");
        let id = PeerId::from_bytes([7; 32]);
        assert!(vouched_for(path, &format!("authority {id}\n")).unwrap().certificate.is_none());
        for text in ["", "certificate 00", "authority x", "hello"] {
            assert!(vouched_for(path, text).is_err(), "{text:?}");
        }
    }
}

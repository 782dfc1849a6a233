//! Certificates: an authority vouches for a peer.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity, PeerId};
use crate::network::Network;
use crate::wire::codec;

/// Bytes that a certificate may have, signature included.
pub const MAX_CERTIFICATE: usize = 512;

/// Capabilities that a certificate may name.
const MAX_CAPABILITIES: usize = 8;
const SIGNATURE_LEN: usize = 64;
const DOMAIN: &str = "p2pnet v1 certificate";

/// An authority's word for a peer: on this network it is one of ours, and may do this.
///
/// An authority is an [`Identity`] that need not run anywhere. The capabilities mean what the application takes them
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    body: Body,
    signature: [u8; SIGNATURE_LEN],
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    network: [u8; 8],
    subject: PeerId,
    issuer: PeerId,
    capabilities: Vec<String>,
    expires: Option<u64>,
}

impl Certificate {
    /// Vouches for `subject` on `network` with these capabilities (at most 8, each 1 to 32 lower-case letters, digits
    /// and dashes), until `expires` seconds after the start of 1970.
    ///
    /// # Errors
    ///
    /// If the capabilities are out of their limits.
    pub fn issue(
        issuer: &Identity,
        network: &Network,
        subject: PeerId,
        capabilities: impl IntoIterator<Item = String>,
        expires: Option<u64>,
    ) -> Result<Certificate, CertificateError> {
        Certificate::issue_on(issuer, network.tag(), subject, capabilities, expires)
    }

    /// Like [`issue`](Self::issue), on the network whose records carry this tag: who issues need not know its secret.
    ///
    /// # Errors
    ///
    /// If the capabilities are out of their limits.
    pub fn issue_on(
        issuer: &Identity,
        network: [u8; 8],
        subject: PeerId,
        capabilities: impl IntoIterator<Item = String>,
        expires: Option<u64>,
    ) -> Result<Certificate, CertificateError> {
        let capabilities: Vec<String> = capabilities.into_iter().take(MAX_CAPABILITIES + 1).collect();
        let body = Body { network, subject, issuer: issuer.peer_id(), capabilities, expires };
        body.check()?;
        let signature = issuer.sign(DOMAIN, &codec::encode(&body));
        Ok(Certificate { body, signature })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave. Checks its form and not its signature.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<Certificate, CertificateError> {
        let split = bytes.len().checked_sub(SIGNATURE_LEN).ok_or(CertificateError::Malformed)?;
        let (encoded, signature) = bytes.split_at_checked(split).ok_or(CertificateError::Malformed)?;
        let body: Body = codec::decode(encoded, MAX_CERTIFICATE - SIGNATURE_LEN)
            .map_err(|_| CertificateError::Malformed)?;
        body.check()?;
        let signature = signature.try_into().map_err(|_| CertificateError::Malformed)?;
        Ok(Certificate { body, signature })
    }

    /// Its bytes, at most [`MAX_CERTIFICATE`]: the encoded fields, then the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = codec::encode(&self.body);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// The [tag](Network::tag) of the network that it is for.
    #[must_use]
    pub fn network(&self) -> [u8; 8] {
        self.body.network
    }

    /// Whom it is for.
    #[must_use]
    pub fn subject(&self) -> PeerId {
        self.body.subject
    }

    /// Who vouches.
    #[must_use]
    pub fn issuer(&self) -> PeerId {
        self.body.issuer
    }

    /// What the subject may do.
    #[must_use]
    pub fn capabilities(&self) -> &[String] {
        &self.body.capabilities
    }

    /// Until when it is good, in seconds since the start of 1970.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        self.body.expires
    }

    /// Whether it is over at `unix_seconds`.
    #[must_use]
    pub fn is_expired(&self, unix_seconds: u64) -> bool {
        self.body.expires.is_some_and(|expires| expires <= unix_seconds)
    }

    /// Whether it says of `subject` on `network` what one of `authorities` has signed.
    #[must_use]
    pub fn is_good(&self, network: &Network, subject: &PeerId, authorities: &[PeerId]) -> bool {
        self.body.network == network.tag()
            && self.body.subject == *subject
            && authorities.contains(&self.body.issuer)
            && identity::verify(&self.body.issuer, DOMAIN, &codec::encode(&self.body), &self.signature)
    }
}

impl Body {
    fn check(&self) -> Result<(), CertificateError> {
        let named = |name: &String| {
            (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let good = self.capabilities.len() <= MAX_CAPABILITIES && self.capabilities.iter().all(named);
        if good { Ok(()) } else { Err(CertificateError::Capabilities) }
    }
}

/// Why there is no such certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are none.
    #[error("this is not a certificate, or it is damaged")]
    Malformed,
    /// The capabilities are out of their limits.
    #[error("at most 8 capabilities, each 1 to 32 lower-case letters, digits and dashes")]
    Capabilities,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn network() -> Network {
        Network::open("home").unwrap()
    }

    fn certificate() -> (Identity, PeerId, Certificate) {
        let (authority, subject) = (Identity::from_seed([7; 32]), Identity::from_seed([8; 32]).peer_id());
        let names = ["print".to_string(), "scan-2".to_string()];
        let certificate = Certificate::issue(&authority, &network(), subject, names, Some(1_000)).unwrap();
        (authority, subject, certificate)
    }

    #[test]
    fn a_certificate_goes_there_and_back() {
        let (authority, subject, certificate) = certificate();
        let bytes = certificate.to_bytes();
        assert!(bytes.len() <= MAX_CERTIFICATE);
        assert_eq!(Certificate::parse(&bytes), Ok(certificate.clone()));
        assert!(certificate.is_good(&network(), &subject, &[authority.peer_id()]));
        assert_eq!(certificate.capabilities(), ["print", "scan-2"]);
        let names = certificate.capabilities().to_vec();
        let again = Certificate::issue_on(&authority, network().tag(), subject, names, Some(1_000));
        assert_eq!(again, Ok(certificate.clone()));
        assert!(!certificate.is_expired(999) && certificate.is_expired(1_000));
    }

    #[test]
    fn it_is_good_for_its_subject_its_network_and_of_a_believed_authority_only() {
        let (authority, subject, certificate) = certificate();
        let other = Identity::from_seed([9; 32]).peer_id();
        let elsewhere = Network::with_secret("home", &[1; 32]).unwrap();
        assert!(!certificate.is_good(&network(), &other, &[authority.peer_id()]));
        assert!(!certificate.is_good(&elsewhere, &subject, &[authority.peer_id()]));
        assert!(!certificate.is_good(&network(), &subject, &[other]));
        assert!(!certificate.is_good(&network(), &subject, &[]));
    }

    #[test]
    fn any_change_is_noticed() {
        let (authority, subject, certificate) = certificate();
        let bytes = certificate.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let good = Certificate::parse(&changed)
                .is_ok_and(|changed| changed.is_good(&network(), &subject, &[authority.peer_id()]));
            assert!(!good, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Certificate::parse(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn the_largest_certificate_fits() {
        let (authority, subject, _) = certificate();
        let names = (0..8).map(|n| alloc::format!("{n}{}", "x".repeat(31)));
        let largest = Certificate::issue(&authority, &network(), subject, names, Some(u64::MAX)).unwrap();
        assert!(largest.to_bytes().len() <= MAX_CERTIFICATE, "{}", largest.to_bytes().len());
        let many = (0..9).map(|n| n.to_string());
        let issued = Certificate::issue(&authority, &network(), subject, many, None);
        assert_eq!(issued, Err(CertificateError::Capabilities));
        let wrong = Certificate::issue(&authority, &network(), subject, ["A".to_string()], None);
        assert_eq!(wrong, Err(CertificateError::Capabilities));
    }
}

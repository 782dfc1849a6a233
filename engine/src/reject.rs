//! Why a peer is not let in.

use serde::{Deserialize, Serialize};

/// Why a peer is not let in. Both sides know: it is said in the last frame of the link. The order is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RejectReason {
    /// It asks for a step that this side cannot take part in.
    Unsupported,
    /// It did not pass a custom step.
    Failed,
    /// A step took too long.
    TimedOut,
    /// It said something that its step has no place for, or too much.
    Misbehaved,
    /// It is on the block list, or its address is.
    Blocked,
    /// It is not on the allow list.
    NotAllowed,
    /// The six digits differ, or it did not keep to what it had committed to.
    CodeMismatch,
    /// It has no certificate.
    NoCertificate,
    /// Its certificate is damaged, forged, for somebody else or another network, or of an authority that is not
    /// believed.
    BadCertificate,
    /// Its certificate is no longer good.
    CertificateExpired,
    /// A person or program said no.
    Declined,
    /// Trust in it was taken back.
    Distrusted,
    /// It was rejected too often in a row and has to wait.
    TooOften,
    /// Too many others wait for a person.
    Busy,
}

impl RejectReason {
    /// One word for programs and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::Unsupported => "unsupported",
            RejectReason::Failed => "failed",
            RejectReason::TimedOut => "timed_out",
            RejectReason::Misbehaved => "misbehaved",
            RejectReason::Blocked => "blocked",
            RejectReason::NotAllowed => "not_allowed",
            RejectReason::CodeMismatch => "code_mismatch",
            RejectReason::NoCertificate => "no_certificate",
            RejectReason::BadCertificate => "bad_certificate",
            RejectReason::CertificateExpired => "certificate_expired",
            RejectReason::Declined => "declined",
            RejectReason::Distrusted => "distrusted",
            RejectReason::TooOften => "too_often",
            RejectReason::Busy => "busy",
        }
    }

    /// A few words for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            RejectReason::Unsupported => "one side asks for a step that the other cannot take part in",
            RejectReason::Failed => "the application's own step was not passed",
            RejectReason::TimedOut => "verification took too long",
            RejectReason::Misbehaved => "something was said that has no place in verification",
            RejectReason::Blocked => "blocked",
            RejectReason::NotAllowed => "not on the allow list",
            RejectReason::CodeMismatch => "the codes differ",
            RejectReason::NoCertificate => "no certificate was shown",
            RejectReason::BadCertificate => "the certificate is not good here",
            RejectReason::CertificateExpired => "the certificate has expired, or a clock is wrong",
            RejectReason::Declined => "declined",
            RejectReason::Distrusted => "trust was taken back",
            RejectReason::TooOften => "rejected too often in a row",
            RejectReason::Busy => "too many others are waiting",
        }
    }
}

//! How a command ends when it does not succeed.

use std::io;

/// Why a command did not do what it was asked to, with one line for people that says what to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, or what it names, is wrong. Exit code 2.
    BadInput(String),
    /// It was tried and did not come about. Exit code 1.
    NotAchieved(String),
    /// The doctor found what keeps peers from meeting, and has said it. Exit code 3.
    CauseFound,
    /// The user broke off a transfer. Exit code 130, as shells have it for an interrupted program.
    Interrupted,
    /// Nobody reads standard output any more, so there is nobody to tell: the program ends quietly. Exit code 0,
    /// or 1 if a transfer is broken off by it.
    OutputClosed {
        /// Whether a transfer was under way.
        in_transfer: bool,
    },
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::BadInput(_) => 2,
            Failure::NotAchieved(_) => 1,
            Failure::CauseFound => 3,
            Failure::Interrupted => 130,
            Failure::OutputClosed { in_transfer } => u8::from(*in_transfer),
        }
    }

    /// The same, in a command that exists for a transfer.
    pub(crate) fn in_transfer(self) -> Failure {
        match self {
            Failure::OutputClosed { .. } => Failure::OutputClosed { in_transfer: true },
            other => other,
        }
    }

    /// What to tell the user, if anything.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Failure::BadInput(message) | Failure::NotAchieved(message) => Some(message),
            Failure::Interrupted => Some("interrupted"),
            Failure::CauseFound | Failure::OutputClosed { .. } => None,
        }
    }
}

/// For errors of commands to a node that did nothing wrong.
impl From<p2pnet::CommandError> for Failure {
    fn from(error: p2pnet::CommandError) -> Failure {
        Failure::NotAchieved(error.to_string())
    }
}

/// For a running node that was asked in vain.
impl From<p2pnet::control::ControlError> for Failure {
    fn from(error: p2pnet::control::ControlError) -> Failure {
        Failure::NotAchieved(error.to_string())
    }
}

/// For what a running node says of a request.
impl From<p2pnet::control::Refusal> for Failure {
    fn from(refusal: p2pnet::control::Refusal) -> Failure {
        match refusal.kind {
            p2pnet::control::RefusalKind::BadInput => Failure::BadInput(refusal.message),
            _ => Failure::NotAchieved(refusal.message),
        }
    }
}

/// For errors of writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::OutputClosed { in_transfer: false };
        }
        Failure::NotAchieved(format!("cannot write to standard output: {error}"))
    }
}

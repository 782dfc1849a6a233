//! Planted bugs: switches for tests only, so that every check can be shown to fail.
//!
//! Without the feature `planted`, which nothing but tests may enable, the switches are the constant `false` and the
//! branches behind them are gone. With it [`Config::planted`](crate::Config::planted) names the one bug that an engine
//! has.

/// Whether this engine has been given the bug.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($engine:expr, $bug:ident) => {
        $engine.config.planted == Some(crate::planted::Bug::$bug)
    };
}

#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($engine:expr, $bug:ident) => {
        false
    };
}

pub(crate) use planted;

#[cfg(feature = "planted")]
macro_rules! catalogue {
    ($($name:ident = $id:literal: $sentence:literal,)*) => {
        /// A bug that an engine can be given.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Bug {
            $(#[doc = $sentence] $name,)*
        }

        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];

            /// Its name on a command line.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Bug::$name => $id,)* }
            }

            /// What an engine with it does wrong.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Bug::$name => $sentence,)* }
            }

            /// The bug of this id.
            #[must_use]
            pub fn find(id: &str) -> Option<Bug> {
                Bug::ALL.iter().copied().find(|bug| bug.id() == id)
            }
        }
    };
}

#[cfg(feature = "planted")]
catalogue! {
    KeepBothLinks = "keep-both-links": "Of two links to one peer neither is ever given up.",
    CutTheWinner = "cut-the-winner": "Of two links to one peer the winner is cut as well.",
    EachKeepsItsOwn = "each-keeps-its-own": "Of two links to one peer each side keeps the one that it dialled and drops the other.",
    EventsDoNotAlternate = "events-do-not-alternate": "A reconnect that the application has not seen is told as a second connect.",
    UntrustedTextAsTrusted = "untrusted-text-as-trusted": "A text of a peer that is not verified is marked as trusted.",
    FailedStepPasses = "failed-step-passes": "A peer that does not pass a custom step is let in all the same.",
    EnhancedBeforeTrust = "enhanced-before-trust": "Frames that are for verified peers only pass from any peer.",
    NeverCompares = "never-compares": "Neighbours never compare what they hold: only what is new is told.",
    FloorsForgotten = "floors-forgotten": "Nothing is remembered of a peer that said goodbye.",
    MessageTwice = "message-twice": "A message that comes again is delivered again.",
    MessageUnsigned = "message-unsigned": "The signature of a message that was passed on is not checked.",
    MessagesNotResent = "messages-not-resent": "A message that was not acknowledged is not sent again.",
    ReportsDropped = "reports-dropped": "Nobody passes on who has taken a message to all.",
    TextTwice = "text-twice": "A text that comes again is delivered again.",
    ForgedRecord = "forged-record": "The signature of a record is not checked.",
    BadBlock = "bad-block": "A block of the right length passes whatever is in it.",
    NeverRedial = "never-redial": "A peer whose link was lost is never dialled again.",
    BeaconStorm = "beacon-storm": "Every beacon is answered, answers included.",
    NoReoffer = "no-reoffer": "Contents are offered to a peer once and not after a reconnect.",
    UnboundedTable = "unbounded-table": "The table of peers grows beyond its limit.",
    DeafToSilence = "deaf-to-silence": "A link is never lost however long it is silent.",
    RestlessLinks = "restless-links": "A link that is well is dropped when it has been silent for a second, and dialled anew.",
    PanicOnFrame = "panic-on-frame": "A withdrawal of content that is being fetched causes a panic.",
    OneDeadlineAtATime = "one-deadline-at-a-time": "Of all that is due only the first is handled.",
    Amplifier = "amplifier": "A datagram that is no beacon is answered ten times.",
    SilentAfterBurst = "silent-after-burst": "After the first three beacons none follows.",
    NewerRecordIgnored = "newer-record-ignored": "A record that is newer within its run is not taken.",
    LeaverKept = "leaver-kept": "A goodbye is heard and does not end anything.",
    RecordsBeforeTrust = "records-before-trust": "Records of others are taken from a peer that is not verified.",
    AnyLinkKey = "any-link-key": "The key that a handshake proves need not be the one that the record names.",
    TheirStepsOnly = "their-steps-only": "A peer is verified by the steps that it asks for, and not by our own.",
    UnsignedGoodbye = "unsigned-goodbye": "A goodbye is believed without its subject's signature.",
    UnmeteredSignatures = "unmetered-signatures": "Strangers' signatures are checked however many come.",
    AimsAnywhere = "aims-anywhere": "Addresses that a record names are dialled wherever they are.",
    FloodCutsLinks = "flood-cuts-links": "When many strangers connect a link that is in use makes room.",
    NoPulse = "no-pulse": "A silent peer is not asked by datagrams, and asking ones are not answered.",
    RumourBelieved = "rumour-believed": "Who is asked for a peer that another does not hear takes it for lost.",
    CodeOfNoncesOnly = "code-of-nonces-only": "The short code is the same on every link on which the same is said.",
    AnyCode = "any-code": "Whoever has compared the short code lets the peer in, the same or not.",
    AnyIssuer = "any-issuer": "A certificate is good whoever has signed it.",
    CodeDecides = "code-decides": "Who has compared the short code is not asked to decide any more.",
    SilentRejection = "silent-rejection": "Who is not let in is told that the link was closed, and not why.",
    TextsNotResent = "texts-not-resent": "A text is sent once, whether it is acknowledged or not.",
    AnyTask = "any-task": "A task is carried out whoever has signed it.",
    AnswersAnySearch = "answers-any-search": "A search is answered, though the node did not ask to be found by one.",
    AnyNetwork = "any-network": "What a bootstrap server tells of is taken whatever network it is of.",
}

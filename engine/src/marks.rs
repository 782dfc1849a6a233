//! Coverage marks: which of the branches that matter a run has taken.
//!
//! Without the feature `marks` nothing of this is compiled. With it each engine counts for itself, and nothing that it
//! puts out changes.

/// Notes that the branch in which it stands was taken by this engine.
///
/// It names the field, so it may stand where another part of the engine is borrowed.
#[cfg(feature = "marks")]
macro_rules! mark {
    ($engine:expr, $mark:ident) => {
        $engine.marks.hit(crate::marks::Mark::$mark)
    };
}

#[cfg(not(feature = "marks"))]
macro_rules! mark {
    ($engine:expr, $mark:ident) => {};
}

pub(crate) use mark;

#[cfg(feature = "marks")]
macro_rules! catalogue {
    ($($name:ident: $sentence:literal,)*) => {
        /// A branch of the engine that a thorough set of runs must take.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Mark {
            $(#[doc = $sentence] $name,)*
        }

        impl Mark {
            /// Every mark there is, so that one that no run has taken is known by its name.
            pub const ALL: &[Mark] = &[$(Mark::$name,)*];

            /// Its name, as in the source.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Mark::$name => stringify!($name),)* }
            }

            /// What happened when it is taken.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Mark::$name => $sentence,)* }
            }
        }
    };
}

#[cfg(feature = "marks")]
catalogue! {
    // Discovery.
    OwnDatagramHeard: "A datagram of our own came back.",
    BeaconRepeated: "A beacon came that is not newer than the last one of its instance.",
    CounterOutranked: "A beacon far behind the last one of its instance had a newer record: somebody else had sealed that one.",
    BeaconFromElsewhere: "A genuine beacon came from outside the interface's own subnet.",
    OtherVersionMet: "A place that speaks another version was noted for the application.",
    SearchAnswered: "A search from afar was answered, as the node had asked to be found.",
    FoundBySearch: "Somebody answered a search of ours.",
    ReplySent: "A newcomer got a reply of its own.",
    ReplyLeftToOthers: "A newcomer in a crowd was not answered, since others do.",
    RungSpent: "A rung had no budget left for a datagram.",
    RememberedCalled: "A beacon went straight to where peers were met before.",
    PeersRemembered: "Whom we met was given to the store.",
    FloorsRemembered: "Floors were given to the store for the next run.",
    MemoryNotKept: "The store could not keep what the next run should know, and is told it anew later.",
    MetMadeRoom: "More peers were met than are remembered, and one made room.",
    Scanned: "A step of the scan was taken.",
    ProbeAnswered: "A probe was answered by the rung that it asked for.",
    CadenceSnappedBack: "Something changed, and the next beacon came sooner.",
    AskedToBeDialled: "A peer that could not be dialled was asked to dial us.",
    AskedToDial: "A peer asked us to dial it.",
    CloneReported: "Another run under our own key was told to the application.",
    ReplyDeferred: "Newcomers came too fast for a reply each: one broadcast answers them.",
    InstanceForgotten: "The table of heard instances was full and the one heard longest ago made room.",
    TransmitDropped: "Too many datagrams waited to be polled and the oldest was dropped.",
    // Records.
    RecordExpiredOnArrival: "A record came that was too old already.",
    RecordOfOtherInstance: "A beacon carried a record of another instance.",
    RecordRefreshed: "The record that is held came again, younger.",
    RecordStale: "A record came that is older than what is held.",
    FloorRefused: "A record came that lies below the floor of a peer that left or expired.",
    FloorLifted: "A peer that had left or expired came back with a newer record.",
    FloorEvicted: "The table of floors was full and one made room.",
    SignatureRateLimited: "Strangers' records came faster than signatures may be checked.",
    SignatureForged: "A record came that its subject did not sign.",
    Superseded: "Outranked too often by another run under our own key, we gave way.",
    IdentityReclaimed: "The other run under our key was silent for long, so we claim it again.",
    PeerSought: "In a crowd a peer drawn at random was dialled, since links were missing.",
    AwayTried: "In a crowd a peer that seemed to be away was tried all the same.",
    LinkTrimmed: "A link that nobody needed was given up.",
    CloneOutranked: "A record of our own key that is not older than ours made us jump above it.",
    PeerRestarted: "A record of a newer incarnation replaced the one that was held.",
    PeerGone: "A farewell ended a run of a peer.",
    PeerEvicted: "The table of peers was full and one without a link made room.",
    TableFull: "The table of peers was full and nobody could make room.",
    PeerExpired: "A peer without a link was forgotten because its record was too old.",
    IntroductionRefused: "A neighbour told of somebody for whom neither the table nor its own share had room.",
    FarewellOfAnEarlierRun: "A farewell ended records of an earlier run, and the peer is there in a newer one.",
    NewsGathered: "Several news went out in one frame.",
    NewsInTheAir: "In a crowd a neighbour need not be told of a beacon that it must have heard.",
    ComparesLater: "Who starts in a crowd compares what it holds when its burst is over.",
    NewsCrossed: "A neighbour told what was about to be told to it.",
    CollectionsEqual: "A neighbour compared what it holds, and both hold the same.",
    CollectionsDiffer: "A neighbour compared what it holds, and it is not what we hold.",
    ToldThatGone: "A neighbour listed a peer that is gone and was told so.",
    OfferNotWanted: "A neighbour offered records of peers for whom there is no room.",
    RoundsSnappedBack: "Something was new, and the next comparison came sooner.",
    ComparesTooOften: "A neighbour asked for more comparisons than it may.",
    // Dials.
    DialCourtesy: "A dial to a peer waits because the peer has the smaller id.",
    DialHeldOff: "A dial was put off because both were parted on purpose.",
    DialRaced: "Another address of a peer was dialled beside the one before.",
    DialNoRoom: "A dial was due but too many dials or links are there already.",
    DialTimedOut: "The driver did not answer a dial in time.",
    DialUnneeded: "A dial was dropped because its peer is linked by another way.",
    RememberedDialled: "A peer of an earlier run was dialled beyond the LAN.",
    NearerDialled: "A linked peer was dialled by a nearer path than its link takes.",
    TargetLinked: "An address by hand was left alone because its peer is linked.",
    TargetLost: "A confirmed link to an address by hand was lost and the address is dialled again.",
    AnotherLinkedAlready: "Where one peer was hoped for another answered that has a link, so the new one was dropped.",
    AnotherAnswered: "A dial to a peer was answered by another one.",
    RedialLate: "A dial was repeated after the first minute, at growing intervals.",
    NetworkChanged: "Peers without a link are dialled anew because the network may be another.",
    // Handshakes.
    LinkFromTooMany: "A stream was refused because too many were opened within a short time.",
    HalfOpenEvicted: "Too many strangers were shaking hands and the oldest link was cut.",
    HandshakeReplayed: "A recorded first handshake message came again.",
    HandshakeBroken: "A handshake failed.",
    HandshakeTimedOut: "A handshake took too long.",
    HelloRefused: "A handshake ended well but what it carried was not believed.",
    StaleHelloShown: "A peer that lost its memory was shown its own newer record.",
    StaleHelloLearnt: "We were shown a newer record of our own.",
    SpareLinkDropped: "A peer had too many links and one that is not used was dropped.",
    ConfirmTimedOut: "The first frame on an authenticated link took too long.",
    // Links.
    LinksFull: "A newcomer's link was closed because there are as many as allowed.",
    CrowdOver: "There were more peers than links are allowed, and are no more: all are dialled.",
    PlaceTakenBack: "All places for links were taken and an address that held many gave one back to a newcomer.",
    DuplicateDecided: "Two links to one peer were confirmed and we decided which stays.",
    DuplicateAwaited: "Two links to one peer were confirmed and the peer decides which stays.",
    NewcomerWon: "Of two links to one peer the newcomer stays.",
    GaveWay: "The peer gave one link up for another and we followed.",
    MissingTold: "The peer wanted to keep a link that is gone here and was told so.",
    KeptAfterAll: "The link that we wanted to keep is not there at the peer: the other one stays.",
    SurvivorTookOver: "The used link was lost and another one to that peer took its place.",
    NewerRunTookOver: "A link of a newer incarnation replaced a link of an older one.",
    DrainEnded: "A link that lost was ended by us because the peer did not.",
    LinkPinged: "A silent link was asked for a sign of life.",
    LinkLostToSilence: "A link was lost to silence.",
    LinkStalled: "A link carried nothing though its peer lives, and another was dialled beside it.",
    StalledGivenUp: "Another link took the place of one that carried nothing.",
    LinkTimedOut: "A link carried nothing for so long that it was given up, though its peer lives.",
    // Life.
    UnsoughtLives: "A peer whose link broke was heard since, and no other link to it is wanted.",
    PeerQuiet: "A peer became quiet: its link was silent in spite of pings, or broke.",
    PeerSuspect: "A peer became suspect: it answered no probe.",
    PeerLost: "A peer was lost: nobody heard it for too long.",
    PulseAsked: "A silent peer was asked for a pulse by a datagram.",
    PulseGiven: "A peer that does not hear us on its link was given a pulse.",
    PulseFelt: "A silent peer answered by a datagram, so it lives.",
    PulseForged: "A pulse came that is not of the peer and run that it should be of.",
    OthersAsked: "Others were asked whether they hear a suspect.",
    ErrandRun: "A peer was asked for a pulse because another does not hear it.",
    VouchedFor: "Another said that it hears a peer that we do not.",
    DoubtedOurselves: "We heard nobody at all and doubted ourselves before others.",
    GraceAfterStall: "We were stopped ourselves: nobody is blamed for the silence.",
    LinksDoubted: "The clock jumped and every link was asked whether it lives.",
    FirstFrameWrong: "A link's first frame was no confirmation, or a later one was.",
    FrameMalformed: "A frame could not be decoded.",
    FrameBeforeTrust: "A frame came that passes only from a verified peer, and the peer was none.",
    QueueOverflowed: "So much waited for a link that it was closed.",
    AnswerDropped: "An answer was dropped because too much waits for the link.",
    // Trust.
    VerificationPassed: "All steps of a peer's verification passed.",
    VerificationMovedLink: "A peer's verification went on over another link.",
    VerificationStalled: "A verification ran out of time while we were stopped, and got its time again.",
    VerificationTimedOut: "A step of a verification ran out of time.",
    StepMisplaced: "A message of a built-in step came that has no place in it.",
    CodeShown: "Both sides of a pair had the short code.",
    CodeBroken: "A nonce was not the one that was committed to.",
    CodeAbandoned: "A link ended while a person compared the short code.",
    TooManyWait: "A peer was rejected because too many wait for a person.",
    DecisionAsked: "The application was asked to decide about a peer.",
    DecisionKnown: "A peer was let in without asking, because it was decided before.",
    PersonSaidYes: "A person let a peer in.",
    PersonSaidNo: "A person did not let a peer in.",
    CertificateTaken: "A peer showed a certificate that is good.",
    CertificateRefused: "A peer showed no certificate, or none that is good.",
    CertificateRanOut: "The certificate of a linked peer expired.",
    TurnedAway: "A peer proved its key and was not even verified: blocked, not allowed, or rejected too often.",
    RejectedInARow: "A peer was rejected for the third time or more without trust in between.",
    Distrusted: "Trust in a linked peer was taken back.",
    Blocked: "A peer or an address was blocked.",
    BlockedRecordRefused: "The record of a blocked peer came and was not taken.",
    BlockedStreamRefused: "A stream from a blocked address was refused.",
    BlockedDatagramRefused: "A datagram from a blocked address was dropped.",
    StepEarly: "A message for a step came before that step began.",
    StepUnknown: "A peer asked for a step, or sent a message for one, that we cannot run.",
    StepFlooded: "A peer sent more messages for a step than may wait.",
    StepFailed: "The application rejected a peer by a step.",
    TheirSessionLate: "What a peer said of an earlier session came late and did not count.",
    Trusted: "Both sides have verified each other.",
    OthersRecordBeforeTrust: "A peer that is not verified passed on a record of somebody else.",
    // Texts.
    TextResent: "A text was sent again.",
    TextRepeated: "A text came a second time and was only acknowledged.",
    TextAhead: "A text came before the one that precedes it.",
    TextBaseJumped: "Texts that an earlier run of ours had acknowledged were skipped.",
    TextFromEarlierRun: "A text of an earlier incarnation of the peer came late.",
    TextDropped: "A text was not taken because too many wait for the application.",
    TextsLost: "A peer left the table with texts that it never acknowledged.",
    // Messages.
    MessageResent: "A message was sent again.",
    MessageRepeated: "A message came a second time and was only acknowledged.",
    MessageAhead: "A message came whose predecessor had found no room.",
    MessageBaseJumped: "Messages that were settled before were skipped.",
    MessageOfEarlierRun: "A message of an earlier incarnation of its sender came late.",
    MessageNoRoom: "A message was not taken because too much waits for the application.",
    MessageAskedAgain: "A peer that had no room for messages has some now.",
    MessageExpired: "A message was given up because it was too old.",
    MailboxOverflowed: "The oldest message for a peer that is away made room for a new one.",
    GossipRepeated: "A message that was passed on had come before.",
    GossipNoRoom: "A message that was passed on was not taken because too much waits for the application.",
    MessageForged: "A message or a recap that was passed on was not signed by its origin.",
    MessageOfUnwelcome: "A message was passed on from somebody who is blocked or not allowed.",
    Grafted: "A message that did not come by itself was asked for.",
    GraftedInVain: "A message was asked for that is not held any more.",
    Pruned: "A neighbour has messages sooner from others.",
    RecapSent: "The origin of messages asked who has taken them.",
    RecapRepeated: "A recap had come before, or came too soon.",
    ReportWaits: "Nobody is there to pass on who has taken messages.",
    // Content.
    ServerLied: "A bootstrap server passed on a record or a task that was not signed by who should have.",
    ServerFailed: "A bootstrap server could not be reached, or its answer was none.",
    OfferRepeated: "An offer came for content that is complete here already.",
    OfferOfDeclined: "An offer came again for content that was declined.",
    ListPartBad: "A part of a block list has a length that cannot be.",
    ListPartStray: "A part of a block list came that does not continue what is held.",
    ListUnproven: "A block list does not prove its content.",
    BlockBad: "A block came that is not the one that was asked for.",
    BlockUnexpected: "A block came that nobody expected.",
    BlockLate: "A good block came after it was given up.",
    BlockAskedTwice: "A block that one source owes was asked of another as well.",
    BlockCancelled: "A peer took back its request for a block that had not gone yet.",
    SourceAdded: "A transfer that has a source was given another one.",
    SourceOverdue: "A source kept a transfer waiting that has others.",
    OnlyTakersLeft: "Nobody offers a content any more, and those who fetch it as well may still get what is missing.",
    TakersNamed: "Those who fetch one content were told of each other.",
    MapReceived: "A peer that fetches a content as well said which blocks it has.",
    ServedOn: "A content was fetched, and is there for others who fetch it.",
    SourceStruck: "A source sent something wrong or nothing in time.",
    SourceGivenUp: "A source is not asked for a content any more.",
    SourceSwitched: "A transfer that had lost its source goes on with one.",
    SourceAbsent: "A transfer has no source now but hopes for one.",
    TransferResumed: "A content was opened of which an earlier try had left something.",
    SourceForgiven: "A transfer that waits for a source in vain asks again those whom it had given up.",
    NoSourceLeft: "A transfer failed because nobody is left to serve it.",
    WindowRefilled: "A block was written and more were asked for.",
    StoreSlow: "The store was slow and the source was not blamed.",
    TransferPaused: "The store had no room, and a transfer waits for some.",
    StoreFailed: "The store could not do what a transfer needs.",
    // The end.
    Farewell: "A farewell was broadcast.",
    EventsCoalesced: "A peer went and came back before the application looked.",
    DepartureKept: "A peer left the table before the application was told that it went.",
}

/// How often each mark was taken, by one engine or by several.
#[cfg(feature = "marks")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

#[cfg(feature = "marks")]
impl Default for Marks {
    /// None was taken.
    fn default() -> Self {
        Marks::new()
    }
}

#[cfg(feature = "marks")]
impl Marks {
    pub(crate) const fn new() -> Self {
        Marks([0; Mark::ALL.len()])
    }

    pub(crate) fn hit(&mut self, mark: Mark) {
        if let Some(count) = self.0.get_mut(mark as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds what another engine, or an earlier run, has counted.
    pub fn add(&mut self, other: &Marks) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }

    /// How often `mark` was taken.
    #[must_use]
    pub fn count(&self, mark: Mark) -> u64 {
        self.0.get(mark as usize).copied().unwrap_or(0)
    }

    /// Every mark and how often it was taken, in the order of the catalogue.
    pub fn iter(&self) -> impl Iterator<Item = (Mark, u64)> + '_ {
        Mark::ALL.iter().copied().zip(self.0)
    }
}

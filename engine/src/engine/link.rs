//! What the engine keeps for one link: where it stands, what waits for it, when it was last heard.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;

use crate::content::BlockRef;
use crate::event::Party;
use crate::identity::PeerId;
use crate::input::InterfaceId;
use crate::link::Handshake;
use crate::path::Scope;
use crate::record::Instance;
use crate::time::Timestamp;
use crate::wire::Frame;
use crate::wire::codec::encode_behind;

/// One byte stream and its state.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stage: Stage,
    /// The other end.
    pub(crate) address: SocketAddr,
    pub(crate) interface: Option<InterfaceId>,
    /// Whether we dialled it.
    pub(crate) dialled: bool,
    /// Whether our relay took it for us.
    pub(crate) relayed: bool,
    /// Whom we hope to find, while we dial; who it is, once authenticated.
    pub(crate) peer: Option<PeerId>,
    /// The address given by hand that this dial serves.
    pub(crate) target: Option<SocketAddr>,
    /// The dialler's count of its dials.
    pub(crate) dial: u64,
    pub(crate) last_heard: Timestamp,
    pub(crate) last_ping: Timestamp,
    /// Who ends it on purpose.
    pub(crate) ended_by: Option<Party>,
    pub(crate) queue: LinkQueue,
}

/// How far a link has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The driver is connecting it.
    Dialling,
    /// Noise messages go back and forth.
    Handshaking { since: Timestamp, handshake: Box<Handshake> },
    /// The peer has proven its key. `confirmed` once a frame of its came through, which proves that it has
    /// authenticated us as well.
    Open { session: Session, since: Timestamp, confirmed: bool },
    /// It lost against another link to the same peer: what still comes is taken until the peer ends it.
    Draining { session: Session },
}

/// What a finished handshake established.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The hash of the handshake.
    pub(crate) transcript: [u8; 32],
    /// The incarnation that the peer presented, and which run of it that is.
    pub(crate) incarnation: u64,
    pub(crate) instance: Instance,
    /// The incarnation that we presented.
    pub(crate) own_incarnation: u64,
    /// The verification steps that the peer wants to be run.
    pub(crate) steps: Vec<alloc::string::String>,
}

impl Link {
    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.stage {
            Stage::Open { session, .. } | Stage::Draining { session, .. } => Some(session),
            Stage::Dialling | Stage::Handshaking { .. } => None,
        }
    }

    /// Whether it competes to be its peer's link.
    pub(crate) fn is_confirmed(&self) -> bool {
        matches!(self.stage, Stage::Open { confirmed: true, .. })
    }

    /// The order by which two confirmed links of one pair compete, the greatest wins: the newer incarnations, the
    /// smaller id's first; then the nearer path; then the one that the smaller id dialled; among links of one dialler
    /// its later dial. Both sides compute the same but for the path, which the smaller id judges. `smaller` when we have
    /// it.
    pub(crate) fn rank(&self, smaller: bool, path: Scope) -> (u64, u64, Reverse<Scope>, bool, u64) {
        let (own, theirs) =
            self.session().map_or((0, 0), |session| (session.own_incarnation, session.incarnation));
        let (first, second) = if smaller { (own, theirs) } else { (theirs, own) };
        (first, second, Reverse(path), self.dialled == smaller, self.dial)
    }
}

/// What waits to go out on one link.
///
/// Frames wait until the driver says that the link can take bytes, then move to the outbox, control before
/// blocks. Nothing leaves the outbox but by `poll_link`.
#[derive(Debug, Default)]
pub(crate) struct LinkQueue {
    /// Handshake bytes to be written as they are.
    pub(crate) raw: Vec<u8>,
    /// Frames that may be taken.
    pub(crate) outbox: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// The places of records that the peer wants and that have not gone yet.
    pub(crate) wanted: BTreeSet<u64>,
    blocks: VecDeque<BlockRef>,
    budget: usize,
}

/// The bytes of a frame's length, before it.
const LENGTH: usize = 4;

/// Most frames, and their lengths, are shorter.
const USUAL_FRAME: usize = 256;

/// How many blocks a peer may ask for before any was sent. It never asks for more than its own window.
const MAX_BLOCKS_WAITING: usize = 256;

impl LinkQueue {
    /// Queues a frame unless that makes more than `limit` bytes wait; says whether it did.
    #[must_use]
    pub(crate) fn push(&mut self, frame: &Frame, limit: usize) -> bool {
        let mut framed = Vec::with_capacity(USUAL_FRAME);
        framed.extend_from_slice(&[0; LENGTH]);
        encode_behind(frame, &mut framed);
        let len = framed.len() - LENGTH;
        if self.waiting_bytes + len > limit {
            return false;
        }
        framed[..LENGTH].copy_from_slice(&(len as u32).to_le_bytes());
        self.waiting_bytes += framed.len();
        self.waiting.push_back(framed);
        true
    }

    /// Queues a block; says whether there was room.
    #[must_use]
    pub(crate) fn push_block(&mut self, block: BlockRef) -> bool {
        let room = self.blocks.len() < MAX_BLOCKS_WAITING;
        if room && !self.blocks.contains(&block) {
            self.blocks.push_back(block);
        }
        room
    }

    /// Takes a block back that has not gone yet; says whether there was one.
    pub(crate) fn cancel_block(&mut self, block: BlockRef) -> bool {
        let before = self.blocks.len();
        self.blocks.retain(|waiting| *waiting != block);
        self.blocks.len() < before
    }

    pub(crate) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
    }

    /// Moves what the budget allows; returns the blocks that go now.
    pub(crate) fn pump(&mut self) -> Vec<BlockRef> {
        while self.budget > 0 {
            let Some(frame) = self.waiting.pop_front() else { break };
            self.take_frame(&frame);
        }
        let mut blocks = Vec::new();
        while self.budget > 0 {
            let Some(block) = self.blocks.pop_front() else { break };
            let len = block.content.block_len(block.index).unwrap_or(0).max(1);
            self.budget = self.budget.saturating_sub(len);
            blocks.push(block);
        }
        blocks
    }

    /// Moves every frame, whatever the budget: the link is about to be closed.
    pub(crate) fn flush(&mut self) {
        while let Some(frame) = self.waiting.pop_front() {
            self.take_frame(&frame);
        }
    }

    /// Whether nothing waits to go out.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.blocks.is_empty() && self.wanted.is_empty()
    }

    /// How many bytes of frames wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_bytes
    }

    /// Takes over what waits on a link that is given up.
    pub(crate) fn adopt(&mut self, other: &mut LinkQueue) {
        self.waiting_bytes += core::mem::take(&mut other.waiting_bytes);
        self.waiting.append(&mut other.waiting);
    }

    fn take_frame(&mut self, frame: &[u8]) {
        self.waiting_bytes -= frame.len();
        self.budget = self.budget.saturating_sub(frame.len());
        self.outbox.extend_from_slice(frame);
    }
}

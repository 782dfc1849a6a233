//! One stream of a [`Pair`](super::Pair): two ends with their codecs and queues.

use std::collections::VecDeque;

use p2pnet_engine::{BlockVerifier, Channel, LinkId, LinkOutput, Opener, Sealer, Timestamp};

use super::streams::StreamEvent;

/// Bytes of a block between which control frames get their turn.
const BULK_PIECE: usize = 64 * 1024;
/// Blocks that a link may be asked for at once; engines keep a smaller limit of their own.
const MAX_EXPECTED: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Dialler,
    Acceptor,
}

/// One stream: two ends, of which each goes away on its own.
pub(super) struct Conn {
    pub(super) dialler: usize,
    pub(super) acceptor: usize,
    pub(super) ends: [Option<End>; 2],
    /// What a partition holds up, on its way to each side.
    pub(super) held: [VecDeque<StreamEvent>; 2],
}

/// One side of a stream: what the runtime's link task holds.
pub(super) struct End {
    pub(super) link: LinkId,
    pub(super) established: bool,
    pub(super) sealer: Option<Sealer>,
    pub(super) opener: Option<Opener>,
    pub(super) verifier: BlockVerifier,
    /// Handshake bytes and control frames, to be written in this order.
    pub(super) control: VecDeque<(LinkOutput, Vec<u8>)>,
    /// Blocks under way: header and data, and how much of them is written.
    pub(super) bulk: VecDeque<(Vec<u8>, usize)>,
    /// Bytes of both queues.
    pub(super) queued: usize,
    /// The writer is busy until then.
    pub(super) free_at: Timestamp,
    /// The engine has closed it; it ends when the control queue is empty.
    pub(super) closing: bool,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

impl Conn {
    pub(super) fn node(&self, side: Side) -> usize {
        match side {
            Side::Dialler => self.dialler,
            Side::Acceptor => self.acceptor,
        }
    }

    pub(super) fn end(&mut self, side: Side) -> Option<&mut End> {
        self.ends[side as usize].as_mut()
    }

    /// The numbers of its links on `i` and on `j`, if it is between them and open on both sides.
    pub(super) fn links_between(&self, i: usize, j: usize) -> Option<(LinkId, LinkId)> {
        let open = |end: &Option<End>| {
            end.as_ref().filter(|end| end.established && !end.closing).map(|end| end.link)
        };
        let (dialler, acceptor) = (open(&self.ends[0])?, open(&self.ends[1])?);
        match (self.dialler, self.acceptor) {
            nodes if nodes == (i, j) => Some((dialler, acceptor)),
            nodes if nodes == (j, i) => Some((acceptor, dialler)),
            _ => None,
        }
    }

    pub(super) fn is_of(&self, node: usize) -> bool {
        self.dialler == node || self.acceptor == node
    }
}

impl End {
    pub(super) fn new(link: LinkId, established: bool) -> Self {
        End {
            link,
            established,
            sealer: None,
            opener: None,
            verifier: BlockVerifier::new(MAX_EXPECTED),
            control: VecDeque::new(),
            bulk: VecDeque::new(),
            queued: 0,
            free_at: Timestamp::ZERO,
            closing: false,
        }
    }

    /// The next piece that the writer writes: control before bulk. Also how much that takes off the queues.
    pub(super) fn next_piece(&mut self) -> Option<(Vec<u8>, usize)> {
        let mut sealed = Vec::new();
        if let Some((kind, bytes)) = self.control.pop_front() {
            match (kind, &mut self.sealer) {
                (LinkOutput::Raw, _) => sealed.extend_from_slice(&bytes),
                (LinkOutput::Frames, Some(sealer)) => sealer.seal(Channel::Control, &bytes, &mut sealed),
                (LinkOutput::Frames, None) => panic!("{}: frames before LinkReady", self.link),
            }
            return Some((sealed, bytes.len()));
        }
        if self.closing {
            return None;
        }
        let sealer = self.sealer.as_mut()?;
        let (block, written) = self.bulk.front_mut()?;
        let end = block.len().min(*written + BULK_PIECE);
        sealer.seal(Channel::Bulk, &block[*written..end], &mut sealed);
        let length = end - *written;
        *written = end;
        if end == block.len() {
            self.bulk.pop_front();
        }
        Some((sealed, length))
    }
}

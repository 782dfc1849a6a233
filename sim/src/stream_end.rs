//! One side of a simulated stream: codec, verifier and queues, as the runtime's link task holds them.

use std::collections::VecDeque;

use p2pnet_engine::{BlockVerifier, Channel, LinkId, LinkOutput, Opener, Sealer, Timestamp};

/// Bytes of a block between which control frames get their turn.
const BULK_PIECE: usize = 64 * 1024;
/// Blocks that a link may be asked for at once; engines keep a smaller limit of their own.
const MAX_EXPECTED: usize = 64;
/// Bytes that a writer takes before it asks for no more.
pub(crate) const WRITE_QUEUE: usize = 256 * 1024;

/// Which side of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Dialler,
    Acceptor,
}

/// One side of a stream: what the runtime's link task holds.
pub(crate) struct End {
    pub(crate) link: LinkId,
    pub(crate) established: bool,
    pub(crate) sealer: Option<Sealer>,
    pub(crate) opener: Option<Opener>,
    pub(crate) verifier: BlockVerifier,
    /// Handshake bytes and control frames, to be written in this order.
    pub(crate) control: VecDeque<(LinkOutput, Vec<u8>)>,
    /// Blocks under way: header and data, and how much of them is written.
    pub(crate) bulk: VecDeque<(Vec<u8>, usize)>,
    /// Bytes of both queues.
    pub(crate) queued: usize,
    /// The writer is busy until then.
    pub(crate) free_at: Timestamp,
    /// The engine has closed it; it ends when the control queue is empty.
    pub(crate) closing: bool,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

impl End {
    pub(crate) fn new(link: LinkId, established: bool) -> Self {
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
    pub(crate) fn next_piece(&mut self) -> Option<(Vec<u8>, usize)> {
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

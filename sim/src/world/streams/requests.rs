//! What engines ask of their links.

use std::time::Duration;

use p2pnet_engine::{Action, BlockRef, LinkEnd, LinkId, LinkOutput, StoreRequest, block_header};

use crate::trace::What;
use crate::world::disk::Job;
use crate::world::record::Mark;
use crate::world::{Happening, World};

use super::StreamEvent;

/// How long the runtime tries to write a link's last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl World {
    pub(in crate::world) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Dial { link, address, .. } => self.begin_dial(node, link, address),
            Action::Announce { server, record, want, .. } => self.announce(node, server, record, want),
            Action::Permit { address } => self.permit(node, address),
            Action::LinkReady { link, codec } => {
                let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
                if let Some(end) = self.end(conn, side) {
                    let (sealer, opener) = codec.split();
                    (end.sealer, end.opener) = (Some(sealer), Some(opener));
                    self.after(Duration::ZERO, Happening::Stream(StreamEvent::Read { conn, side }));
                }
            }
            Action::Close { link } => {
                if let Some(&(conn, side)) = self.nodes[node].links.get(&link) {
                    self.hang_up(conn, side, LinkEnd::Eof);
                }
            }
            Action::Finish { link, raw, frames } => {
                let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
                if let Some(end) = self.end(conn, side) {
                    end.closing = true;
                    for (kind, bytes) in [(LinkOutput::Raw, raw), (LinkOutput::Frames, frames)] {
                        if !bytes.is_empty() {
                            end.queued += bytes.len();
                            end.control.push_back((kind, bytes));
                        }
                    }
                    self.after(LAST_WORDS, Happening::Stream(StreamEvent::GiveUp { conn, side }));
                    self.write(conn, side);
                }
            }
            Action::ExpectBlock { link, block, check } => {
                if let Some(end) = self.end_of(node, link)
                    && !end.verifier.expect(block, check)
                {
                    self.violated(
                        "bounds",
                        Some(node),
                        format!("{link} expects more blocks than any window"),
                    );
                }
            }
            Action::ForgetBlock { link, block } => {
                if let Some(end) = self.end_of(node, link) {
                    end.verifier.forget(&block);
                }
            }
            Action::SendBlock { link, block } => {
                if self.end_of(node, link).is_some() {
                    // It is only a reference and the writer puts control before it: as in the runtime, the link is
                    // granted its budget again, or the next frame would wait for the block's disk.
                    self.nodes[node].written.insert(link);
                    self.disk(node, Job::Read(link, block));
                }
            }
            Action::Store(request) => match request {
                StoreRequest::Open { manifest } => self.disk(node, Job::Open(manifest)),
                StoreRequest::Finish { content } => self.disk(node, Job::Finish(content)),
                StoreRequest::KeepList { content, list } => self.disk(node, Job::KeepList(content, list)),
                StoreRequest::Close { content } => self.disk(node, Job::Close(content)),
                StoreRequest::Abandon { content } => self.disk(node, Job::Abandon(content)),
                StoreRequest::SaveIncarnation { incarnation } => self.disk(node, Job::Save(incarnation)),
                StoreRequest::Remember { anew, changes } => self.disk(node, Job::Remember { anew, changes }),
                StoreRequest::SaveDecisions { decisions } => self.disk(node, Job::Decide(decisions)),
                StoreRequest::SaveAuthority { state } => self.disk(node, Job::SaveAuthority(state)),
                other => self.violated("no-panic", Some(node), format!("unknown request {other:?}")),
            },
            other => self.violated("no-panic", Some(node), format!("unknown action {other:?}")),
        }
    }

    pub(in crate::world) fn drain_link(&mut self, node: usize, link: LinkId) {
        let mut bytes = Vec::new();
        while let Some(kind) =
            self.nodes[node].engine.as_mut().and_then(|engine| engine.poll_link(link, &mut bytes))
        {
            self.overhear(node, link, kind, &mut bytes);
            self.note(Mark::Wrote, Some(node), &bytes, |_| What::Wrote {
                to: format!("{link}"),
                bytes: bytes.len(),
            });
            match self.end_of(node, link) {
                Some(end) => {
                    end.queued += bytes.len();
                    end.control.push_back((kind, std::mem::take(&mut bytes)));
                }
                None => bytes.clear(),
            }
        }
        if let Some(&(conn, side)) = self.nodes[node].links.get(&link) {
            self.write(conn, side);
        }
    }

    /// A block was read for a link.
    pub(in crate::world) fn block_read(&mut self, node: usize, link: LinkId, block: &BlockRef, data: &[u8]) {
        let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
        if let Some(end) = self.end(conn, side) {
            let header = block_header(block);
            let mut bytes = header.to_vec();
            bytes.extend_from_slice(data);
            end.bulk.push_back((bytes, 0));
            self.write(conn, side);
        }
    }
}

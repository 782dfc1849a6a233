//! A node's disk: what is durable, what is only written, and what fails.

use std::collections::VecDeque;
use std::time::Duration;

use p2pnet_engine::{
    AuthorityState, BlockList, BlockRef, ContentId, Decision, LinkId, Manifest, Memory, MemoryChange,
    StoreFailure, StoreReply,
};

use crate::block_store::BlockStore;
use crate::draws::{comes_true, draw};

use super::Domain;
use super::faults::FaultKind;

/// What a node keeps, and how its disk behaves now.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) store: BlockStore,
    /// The last incarnation that is durable.
    pub(super) incarnation: u64,
    /// What the next run is to know, durable.
    pub(super) memory: Memory,
    /// What was decided about peers, durable.
    pub(super) decisions: Vec<Decision>,
    /// What it keeps of authorities, durable.
    pub(super) authority: AuthorityState,
    pub(super) full: bool,
    pub(super) rotten: bool,
    /// It names files before they are durable: a planted bug.
    pub(super) hasty: bool,
    /// The share of requests that fails.
    pub(super) errors: f64,
    /// What each request takes.
    pub(super) delay: Duration,
    pub(super) slowdown: Duration,
    /// Requests of which the first is being worked on: a disk does one after the other.
    queue: VecDeque<Job>,
    requests: u64,
}

/// A request that the disk is working on.
#[derive(Clone, Debug)]
pub(super) enum Job {
    Open(Manifest),
    Write(BlockRef, Vec<u8>),
    Finish(ContentId),
    KeepList(ContentId, BlockList),
    Close(ContentId),
    Abandon(ContentId),
    Save(u64),
    Remember { anew: bool, changes: Vec<MemoryChange> },
    Decide(Vec<Decision>),
    SaveAuthority(AuthorityState),
    Read(LinkId, BlockRef),
}

/// What came of a request.
pub(super) enum Done {
    Reply(StoreReply),
    /// A block that was read for a link.
    Block(LinkId, BlockRef, Vec<u8>),
    Nothing,
}

impl Disk {
    /// An empty disk that takes so long for each request.
    pub(super) fn empty(delay: Duration) -> Self {
        Disk { delay, ..Disk::default() }
    }

    /// Takes a request. If the disk is idle, how long this one takes.
    pub(super) fn ask(&mut self, job: Job) -> Option<Duration> {
        // A write that is under way can be torn.
        if let Job::Write(block, data) = &job {
            self.store.begin_write(*block, data);
        }
        self.queue.push_back(job);
        self.next().filter(|_| self.queue.len() == 1)
    }

    /// The request that is done now.
    pub(super) fn finished(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    /// How long the next request takes, if there is one: as the disk is now, and not as it was when that came.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.front().map(|_| self.delay + self.slowdown)
    }

    /// Nobody waits for what was asked.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
    }

    /// Does what was asked. Also which fault came in between.
    pub(super) fn work(&mut self, seed: u64, node: usize, job: Job) -> (Done, Option<FaultKind>) {
        self.requests += 1;
        let fails = comes_true(draw(seed, Domain::Disk as u64, node as u64, self.requests), self.errors);
        let error = match job {
            Job::Read(..) | Job::Close(_) | Job::Abandon(_) => None,
            _ if self.full => Some((StoreFailure::Full, FaultKind::DiskFull)),
            _ => None,
        };
        let error = error.or(fails.then_some((StoreFailure::Io, FaultKind::DiskError)));
        let fault = error.map(|(_, kind)| kind);
        let failed = error.map_or(Ok(()), |(failure, _)| Err(failure));
        let done = match job {
            Job::Open(manifest) => {
                let content = manifest.content;
                let result = failed.map(|()| self.store.open(content));
                Done::Reply(StoreReply::Opened { content, result })
            }
            Job::Write(block, data) => {
                let result = failed.and_then(|()| self.store.write(block, data));
                Done::Reply(StoreReply::Written { block, result })
            }
            Job::Finish(content) => {
                let result = failed.and_then(|()| self.store.finish(&content));
                Done::Reply(StoreReply::Finished { content, result })
            }
            Job::KeepList(content, list) => {
                if failed.is_ok() {
                    self.store.keep_list(content, list);
                }
                Done::Nothing
            }
            Job::Close(content) => {
                self.store.close(&content);
                Done::Nothing
            }
            Job::Abandon(content) => {
                self.store.abandon(&content);
                Done::Nothing
            }
            Job::Save(incarnation) => {
                if failed.is_ok() {
                    self.incarnation = self.incarnation.max(incarnation);
                }
                Done::Nothing
            }
            Job::Remember { anew, changes } => {
                if failed.is_ok() {
                    self.memory.apply(anew, changes);
                }
                Done::Reply(StoreReply::Remembered { result: failed })
            }
            Job::Decide(decisions) => {
                if failed.is_ok() {
                    self.decisions = decisions;
                }
                Done::Nothing
            }
            Job::SaveAuthority(state) => {
                if failed.is_ok() {
                    self.authority = state;
                }
                Done::Nothing
            }
            Job::Read(link, block) => match self.store.read(block).filter(|_| failed.is_ok()) {
                Some(mut data) => {
                    let rotten = self.rotten && !data.is_empty();
                    if rotten {
                        data[0] ^= 1;
                        return (Done::Block(link, block, data), Some(FaultKind::BitRot));
                    }
                    Done::Block(link, block, data)
                }
                None => Done::Reply(StoreReply::Unreadable { link, block }),
            },
        };
        (done, fault)
    }

    /// The power goes: what was not synced is torn. Says how many contents are.
    pub(super) fn crash(&mut self) -> u64 {
        self.stop();
        self.store.tear(self.hasty)
    }

    /// Everything works again.
    pub(super) fn heal(&mut self) {
        (self.full, self.rotten, self.errors, self.slowdown) = (false, false, 0.0, Duration::ZERO);
    }
}

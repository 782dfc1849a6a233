//! The process of a node: it starts, asks its disk, and ends.

use p2pnet_engine::{CipherSuite, Config, Engine, OfferPolicy, Restored, Seeds, Step};

use crate::draws::seed_bytes;
use crate::trace::What;

use super::build::make_small;
use super::checks::Seen;
use super::disk::{Done, Job};
#[cfg(feature = "planted")]
use super::planting;
use super::record::Mark;
use super::{Happening, World, workload};

impl World {
    /// Starts a node that does not run, with an incarnation above its last one.
    pub(super) fn start(&mut self, i: usize) {
        if self.nodes[i].runs() || self.nodes[i].left {
            return;
        }
        let (host, now, outsider) = (self.nodes[i].host, self.now, self.is_outsider(i));
        self.hosts[host].up = true;
        let node = &mut self.nodes[i];
        node.starts += 1;
        node.disk.incarnation += 1;
        node.incarnation = node.disk.incarnation;
        (node.started_at, node.sent, node.received) = (now, 0, 0);
        let network = if outsider { node.crypto.elsewhere() } else { node.crypto.network() };
        let mut config = Config::new(network, node.name.clone(), node.port);
        if node.aes {
            config.suite = CipherSuite::Aes256GcmSha256;
        }
        if self.plan.badge {
            config.trust.steps.push(Step::Custom(workload::BADGE.to_owned()));
        }
        if self.plan.code {
            config.trust.steps.push(Step::Code);
        }
        (config.message_ttl, config.max_message_bytes) = (workload::MESSAGE_TTL, workload::MESSAGE_BYTES);
        if let Some(max_links) = self.plan.max_links {
            (config.max_links, config.active_links) = (max_links, max_links.div_ceil(2));
            // Who was turned away because all places were taken comes back after a minute at the latest.
            config.message_ttl *= 4;
        }
        if let Some(max_peers) = self.plan.max_peers {
            (config.max_peers, config.max_introduced) = (max_peers, max_peers.div_ceil(4));
        }
        if self.nodes[i].by_policy {
            config.offers = OfferPolicy::all();
        }
        config.servers = u8::try_from(self.plan.server.len()).unwrap_or(u8::MAX);
        config.authority = self.authority_policy();
        config.answer_widescan = self.plan.node[i].answers_searches;
        self.set_policy(i, &mut config.trust);
        let node = &self.nodes[i];
        if node.small {
            make_small(&mut config);
        }
        #[cfg(feature = "planted")]
        planting::plant(&self.plan, &node.name, &mut config);
        let label = |kind: &str| format!("{kind} {} {}", node.name, node.starts);
        let seed = self.plan.seed;
        let seeds = Seeds::new(seed_bytes(seed, &label("behaviour")), seed_bytes(seed, &label("secrets")));
        let (memory, decisions) = (node.disk.memory.clone(), node.disk.decisions.clone());
        let authority = node.disk.authority.clone();
        let restored = Restored { incarnation: node.incarnation, memory, decisions, authority };
        let identity = node.crypto.identity(node.identity);
        let incarnation = node.incarnation;
        let local = self.hosts[host].clock.local(now);
        let mut engine =
            Engine::new(config, identity, restored, seeds, local).expect("the configuration is valid");
        engine.handle_interfaces(local, &self.hosts[host].for_engine());
        self.nodes[i].engine = Some(engine);
        self.nodes[i].wake = None;
        self.note(Mark::Started, Some(i), &incarnation.to_le_bytes(), |_| What::Started { incarnation });
        self.look(&Seen::Started { node: i });
        self.brief(i);
        self.begin_relay(i);
        self.drain(i);
        self.publish_again(i);
    }

    /// Ends a node's run. `silently` when nobody is told, because the machine has no power.
    pub(super) fn stop(&mut self, i: usize, silently: bool) {
        if !self.nodes[i].runs() {
            return;
        }
        self.node_nanos += self.now.since(self.nodes[i].started_at).as_nanos();
        self.nodes[i].stopped_at = self.now;
        if let Some(engine) = self.nodes[i].engine.take() {
            self.marks.add(engine.marks());
        }
        self.nodes[i].wake = None;
        self.nodes[i].wake_number += 1;
        self.nodes[i].paused = false;
        self.nodes[i].backlog.clear();
        self.nodes[i].backlog_datagrams = 0;
        self.nodes[i].wants.clear();
        self.nodes[i].shown.clear();
        self.nodes[i].screen.clear();
        self.nodes[i].disk.stop();
        self.end_streams_of(i, silently);
        self.note(Mark::Stopped, Some(i), &[], |_| What::Stopped);
    }

    pub(super) fn disk(&mut self, i: usize, job: Job) {
        let node = &mut self.nodes[i];
        let (takes, starts) = (node.disk.ask(job), node.starts);
        if let Some(takes) = takes {
            self.after(takes, Happening::Disk { node: i, starts });
        }
    }

    pub(super) fn disk_done(&mut self, i: usize, starts: u64) {
        if self.nodes[i].starts != starts || !self.nodes[i].runs() {
            return;
        }
        let seed = self.plan.seed;
        let disk = &mut self.nodes[i].disk;
        let Some(job) = disk.finished() else { return };
        let next = disk.next();
        let (done, fault) = disk.work(seed, i, job);
        if let Some(takes) = next {
            self.after(takes, Happening::Disk { node: i, starts });
        }
        if let Some(fault) = fault {
            self.tally.count(fault);
        }
        match done {
            Done::Reply(reply) => {
                let now = self.local(i);
                if let Some(engine) = &mut self.nodes[i].engine {
                    engine.handle_store(now, reply);
                    self.drain(i);
                }
            }
            Done::Block(link, block, data) => {
                self.block_read(i, link, &block, &data);
                self.drain(i);
            }
            Done::Nothing => {}
        }
    }
}

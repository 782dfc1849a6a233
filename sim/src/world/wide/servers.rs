//! Bootstrap servers: announcements on their way, what an honest server keeps, and its answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{
    PeerId, ServerAnswer, ServerId, ServerRecord, ServerReply, SignedRecord, Timestamp, UnverifiedRecord,
};

use crate::draws::{comes_true, draw, scale};
use crate::trace::What;
use crate::world::plan::Honesty;
use crate::world::record::Mark;
use crate::world::{Domain, Happening, World};

use super::WideEvent;

/// How long a node waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What is lost on the way is sent again after this (RFC 6298, section 2.1).
const RETRY: Duration = Duration::from_secs(1);
/// Records that a server keeps at most; beyond them it takes those of peers that it knows only.
const MOST_KEPT: usize = 4096;

/// One bootstrap server.
#[derive(Default)]
pub(super) struct Server {
    /// How many faults keep it from everybody, and from each network.
    pub(super) down: u32,
    pub(super) cut: BTreeMap<usize, u32>,
    pub(super) known: BTreeMap<PeerId, Kept>,
    /// What a liar has ever heard; others keep nothing old.
    pub(super) stash: Vec<Vec<u8>>,
    /// How often it lied.
    pub(super) lies: u64,
}

/// A record that a server keeps.
pub(super) struct Kept {
    pub(super) record: SignedRecord,
    pub(super) since: Timestamp,
    pub(super) from: IpAddr,
}

impl World {
    /// Whether a host and a server reach each other now; the address that the server sees.
    fn at_server(&self, host: usize, server: usize) -> Option<IpAddr> {
        let lan = self.online(host)?;
        // A liar may speak for a server that there is not.
        let Some(state) = self.wide.servers.get(server) else { return self.seen_from(host, server) };
        let cut = state.cut.get(&lan).is_some_and(|&faults| faults > 0);
        let dead = self.plan.server[server].kind == Honesty::Dead;
        if state.down > 0 || cut || dead { None } else { self.seen_from(host, server) }
    }

    /// How long one way between a node and a server takes.
    fn way_to_server(&mut self) -> Duration {
        self.wide.messages += 1;
        let roll = |purpose: u64| draw(self.plan.seed, Domain::Server as u64, purpose, self.wide.messages);
        let named = self.plan.internet.as_ref().and_then(|internet| internet.link.as_ref());
        let link = named.and_then(|name| self.plan.link.iter().find(|link| link.name == *name));
        let link = link.unwrap_or(&self.wired);
        let lost = if comes_true(roll(1), link.loss) { RETRY } else { Duration::ZERO };
        Duration::from_micros(link.latency_us + scale(roll(2), link.jitter_us + 1)) + lost
    }

    /// A node announces itself to a server.
    pub(in crate::world) fn announce(&mut self, node: usize, id: ServerId, record: Vec<u8>, want: u16) {
        let server = usize::from(id.0);
        self.note(Mark::Action, Some(node), &record, |world| What::Announced {
            to: world.plan.server.get(server).map_or_else(String::new, |server| server.name.clone()),
            bytes: record.len(),
        });
        let starts = self.nodes[node].starts;
        match self.at_server(self.nodes[node].host, server) {
            Some(from) => {
                let delay = self.way_to_server();
                let hears = WideEvent::Hears { node, starts, server, record, want, from };
                self.after(delay, Happening::Wide(hears));
            }
            None => self.fail_to_announce(node, starts, id.0),
        }
    }

    fn fail_to_announce(&mut self, node: usize, starts: u64, server: u8) {
        let failed = WideEvent::Answers { node, starts, server, answer: None };
        self.after(TIMEOUT, Happening::Wide(failed));
    }

    pub(super) fn server_hears(
        &mut self,
        (node, starts): (usize, u64),
        server: usize,
        record: &[u8],
        want: u16,
        from: IpAddr,
    ) {
        let id = u8::try_from(server).unwrap_or(u8::MAX);
        if self.wide.servers[server].down > 0 {
            return self.fail_to_announce(node, starts, id);
        }
        let honest = self.honest_answer(server, record, want, from);
        if self.plan.server[server].kind == Honesty::Lying {
            return self.lie((node, starts), server, record, honest);
        }
        self.send_answer(node, starts, id, honest, Duration::ZERO);
    }

    /// Puts an answer on its way, after a while.
    pub(super) fn send_answer(
        &mut self,
        node: usize,
        starts: u64,
        server: u8,
        answer: ServerAnswer,
        later: Duration,
    ) {
        let delay = later + self.way_to_server();
        let answer = Some(Box::new(answer));
        self.after(delay, Happening::Wide(WideEvent::Answers { node, starts, server, answer }));
    }

    /// Keeps what is announced and signed, and says what else is known of that network: at most `want` records, drawn
    /// at random.
    fn honest_answer(&mut self, server: usize, record: &[u8], want: u16, from: IpAddr) -> ServerAnswer {
        let mut answer =
            ServerAnswer { observed: Some(SocketAddr::new(from, 40_123)), ..ServerAnswer::default() };
        let Ok(record) = UnverifiedRecord::parse(record).and_then(UnverifiedRecord::verify) else {
            return answer;
        };
        let (network, subject) = (record.record().network, record.record().peer);
        (answer.tasks, answer.authority) = self.tasks_for(&subject);
        let now = self.now;
        self.wide.servers[server].keep(record, now, from);
        let ttl = |kept: &Kept| Duration::from_secs(u64::from(kept.record.record().ttl_secs));
        self.wide.servers[server].known.retain(|_, kept| now.since(kept.since) < ttl(kept));
        let known = &self.wide.servers[server].known;
        let mut others: Vec<&Kept> = known
            .values()
            .filter(|kept| kept.record.record().network == network && kept.record.record().peer != subject)
            .collect();
        let messages = self.wide.messages;
        for i in 0..others.len().min(usize::from(want)) {
            let bits = draw(self.plan.seed, Domain::Server as u64, 16 + i as u64, messages);
            let drawn = scale(bits, (others.len() - i) as u64) as usize;
            others.swap(i, i + drawn);
        }
        answer.records = others
            .iter()
            .take(usize::from(want))
            .map(|kept| ServerRecord {
                record: kept.record.bytes().to_vec(),
                age_secs: u32::try_from(now.since(kept.since).as_secs()).unwrap_or(u32::MAX),
                from: Some(kept.from),
            })
            .collect();
        answer
    }

    /// A node hears what became of its announcement, if there is still a way.
    pub(super) fn server_answers(
        &mut self,
        node: usize,
        starts: u64,
        server: u8,
        answer: Option<&ServerAnswer>,
    ) {
        if self.nodes[node].starts != starts {
            return;
        }
        if answer.is_some() && self.at_server(self.nodes[node].host, usize::from(server)).is_none() {
            return self.fail_to_announce(node, starts, server);
        }
        let (reply, records) = match answer {
            Some(answer) => (ServerReply::Answer(answer), answer.records.len()),
            None => (ServerReply::Failed, 0),
        };
        let heard: Vec<u8> =
            answer.into_iter().flat_map(|answer| &answer.records).fold(vec![server], |mut heard, told| {
                heard.extend_from_slice(&told.age_secs.to_le_bytes());
                heard.extend_from_slice(&told.record);
                heard
            });
        self.note(Mark::Heard, Some(node), &heard, |world| What::Answered {
            by: world.plan.server.get(usize::from(server)).map_or_else(String::new, |by| by.name.clone()),
            records: answer.map(|_| records),
        });
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine {
            engine.handle_server(now, ServerId(server), reply);
            self.drain(node);
        }
    }
}

impl Server {
    /// Keeps the newest record of each peer; a goodbye is the newest of its run.
    fn keep(&mut self, record: SignedRecord, now: Timestamp, from: IpAddr) {
        let peer = record.record().peer;
        let newer = self.known.get(&peer).is_none_or(|kept| !kept.record.supersedes(&record));
        if newer && (self.known.len() < MOST_KEPT || self.known.contains_key(&peer)) {
            self.known.insert(peer, Kept { record, since: now, from });
        }
    }
}

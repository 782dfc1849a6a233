//! Whatever happens for a while, once it is over all come together, and nothing is lost, doubled or wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::{BLOCK_SIZE, ContentId, Event, LinkId, PeerId};
use p2pnet_sim::{Detail, Draws, Pair, seed_bytes};

const SECOND: Duration = Duration::from_secs(1);

/// Twenty seconds of random faults on a few nodes that send texts and files, then peace.
struct Chaos {
    seed: u64,
    nodes: usize,
    pair: Pair,
    draws: Draws,
    running: Vec<bool>,
    /// Whether a node was ever killed: what it had not yet acknowledged may then come twice, or never be sent.
    killed: Vec<bool>,
    /// Whether a node ever said goodbye: texts that waited for it are forgotten.
    left: Vec<bool>,
    cuts: Vec<(usize, usize)>,
    down: Vec<bool>,
    /// Texts that were taken, by sender and receiver.
    sent: BTreeMap<(usize, usize), Vec<String>>,
    contents: Vec<(usize, ContentId, usize)>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed, "chaos");
        let nodes = 2 + draws.below(4) as usize;
        let mut pair =
            Pair::with_nodes(seed, nodes).latency(Duration::from_micros(100 + draws.below(20_000)));
        pair = pair.start();
        for i in 0..nodes {
            pair.take_offers(i, true);
        }
        Chaos {
            seed,
            nodes,
            pair,
            draws,
            running: vec![true; nodes],
            killed: vec![false; nodes],
            left: vec![false; nodes],
            cuts: Vec::new(),
            down: vec![false; nodes],
            sent: BTreeMap::new(),
            contents: Vec::new(),
        }
    }

    fn node(&mut self) -> usize {
        self.draws.below(self.nodes as u64) as usize
    }

    fn two(&mut self) -> (usize, usize) {
        let i = self.node();
        let j = (i + 1 + self.draws.below(self.nodes as u64 - 1) as usize) % self.nodes;
        (i, j)
    }

    fn act(&mut self) {
        let (i, j) = self.two();
        match self.draws.below(15) {
            0 => self.pair.cut_links(i, j),
            1 => {
                self.pair.partition(i, j);
                self.cuts.push((i, j));
            }
            2 => {
                if let Some((i, j)) = self.cuts.pop() {
                    self.pair.heal(i, j);
                }
            }
            3 if self.running[i] => {
                (self.running[i], self.killed[i]) = (false, true);
                if self.draws.chance(0.5) { self.pair.kill(i) } else { self.pair.power_off(i) }
            }
            4 | 5 => self.start(i),
            6 => {
                self.down[i] = !self.down[i];
                self.pair.set_interface(i, !self.down[i]);
            }
            7 => {
                let loss = self.draws.below(100) as f64 / 100.0;
                let mut draws = Draws::new(self.draws.below(u64::MAX), "loss");
                self.pair.drop_datagrams(move |_, _| draws.chance(loss));
            }
            8 if self.running[i] => self.pair.dial(i, j),
            12 if self.running[i] => {
                (self.running[i], self.killed[i], self.left[i]) = (false, true, true);
                self.pair.command(i, |engine, now| engine.leave(now));
                let pause = self.draws.below(3_000);
                self.pair.run_for(Duration::from_millis(pause));
                self.pair.kill(i);
            }
            13 => {
                let mut times = self.draws.below(3);
                self.pair.spoil_streams(move |_, _| {
                    times = times.saturating_sub(1);
                    times == 1
                });
            }
            14 => {
                let mut times = self.draws.below(3);
                self.pair.spoil_blocks(move |_, _| {
                    times = times.saturating_sub(1);
                    times == 1
                });
            }
            9 if self.running[i] && self.contents.len() < 4 => {
                let size = self.draws.below(3 * BLOCK_SIZE as u64) as usize;
                let content = self.pair.publish(i, "file", bytes(size));
                self.contents.push((i, content, size));
            }
            _ if self.running[i] => {
                let to = self.pair.peer_id(j);
                let texts = self.sent.entry((i, j)).or_default();
                let text = format!("{i} to {j}: {}", texts.len());
                // Refused while the peer is unknown, or too many wait.
                if self.pair.command(i, |engine, now| engine.send_text(now, to, &text)).is_ok() {
                    texts.push(text);
                }
            }
            _ => {}
        }
        let pause = self.draws.below(1_000_000);
        self.pair.run_for(Duration::from_micros(pause));
    }

    fn start(&mut self, i: usize) {
        if !self.running[i] {
            self.running[i] = true;
            self.pair.start_node(i);
        }
    }

    fn end(&mut self) {
        for (i, j) in std::mem::take(&mut self.cuts) {
            self.pair.heal(i, j);
        }
        self.pair.drop_datagrams(|_, _| false);
        for i in 0..self.nodes {
            self.start(i);
            if std::mem::take(&mut self.down[i]) {
                self.pair.set_interface(i, true);
            }
        }
    }

    fn story(&self) -> String {
        format!("seed {}\n{}", self.seed, self.pair.trace().text(Detail::Everything))
    }

    fn dials(&self) -> u64 {
        (0..self.nodes).map(|i| self.pair.engine(i).stats().dials_started).sum()
    }

    /// The links that two nodes use for each other.
    fn links(&self, i: usize, j: usize) -> Vec<(LinkId, LinkId)> {
        let link = |i, j| self.pair.engine(i).peer(&self.pair.peer_id(j)).and_then(|view| view.link);
        link(i, j).zip(link(j, i)).into_iter().collect()
    }

    fn texts(&self, from: usize, to: usize) -> Vec<String> {
        let from = self.pair.peer_id(from);
        let mine = |(_, event): &(_, Event)| match event {
            Event::Text { from: sender, text, .. } if *sender == from => Some(text.clone()),
            _ => None,
        };
        self.pair.events(to).iter().filter_map(mine).collect()
    }

    /// Ups and downs of each peer alternate, within each run of the node that saw them.
    fn check_alternation(&self) {
        for i in (0..self.nodes).filter(|&i| !self.killed[i]) {
            let mut up: BTreeMap<PeerId, bool> = BTreeMap::new();
            for (at, event) in self.pair.events(i) {
                let (peer, now_up) = match event {
                    Event::PeerConnected { peer, .. } => (peer, true),
                    Event::PeerLeft { peer, .. } => (peer, false),
                    Event::PeerTrusted { peer, .. } => {
                        assert_eq!(
                            up.get(peer),
                            Some(&true),
                            "trusted before connected at {at}: {}",
                            self.story()
                        );
                        continue;
                    }
                    _ => continue,
                };
                let before = up.insert(*peer, now_up).unwrap_or(false);
                assert_ne!(before, now_up, "twice the same at {at} on {i}: {}", self.story());
            }
        }
    }
}

fn bytes(size: usize) -> Vec<u8> {
    seed_bytes(size as u64, "chaos").into_iter().cycle().take(size).collect()
}

fn run(seed: u64) {
    let mut chaos = Chaos::new(seed);
    for _ in 0..40 {
        chaos.act();
    }
    chaos.end();
    // Redials have backed off to 2 s, and to 30 s for peers that were away for a minute.
    let together = chaos.pair.run_until(40 * SECOND, Pair::all_trusted);
    assert!(together, "not together: {}", chaos.story());
    chaos.pair.run_for(10 * SECOND);
    let dials = chaos.dials();
    chaos.pair.run_for(30 * SECOND);
    assert!(chaos.pair.all_trusted(), "not together for long: {}", chaos.story());
    assert_eq!(chaos.dials(), dials, "there was nobody left to dial: {}", chaos.story());
    for i in 0..chaos.nodes {
        for j in i + 1..chaos.nodes {
            let (links, view) = (chaos.pair.links(i, j), chaos.links(i, j));
            assert_eq!(links.len(), 1, "streams {i} {j}: {links:?}, used: {view:?}: {}", chaos.story());
            assert_eq!(view, links, "used {i} {j}: {}", chaos.story());
        }
    }
    for ((from, to), sent) in &chaos.sent {
        let texts = chaos.texts(*from, *to);
        if !chaos.killed[*from] && !chaos.killed[*to] {
            assert_eq!(&texts, sent, "texts {from} to {to}: {}", chaos.story());
        } else if !chaos.killed[*from] && !chaos.left[*to] {
            let all = sent.iter().all(|text| texts.contains(text));
            assert!(all, "texts {from} to {to}: {sent:?} became {texts:?}: {}", chaos.story());
        }
    }
    for (source, content, size) in &chaos.contents {
        for i in 0..chaos.nodes {
            let received = chaos.pair.received(i, content);
            assert!(
                received.is_none_or(|received| received == bytes(*size)),
                "wrong bytes: {}",
                chaos.story()
            );
            // A killed source has forgotten what it published, a killed receiver may have forgotten the offer.
            if i != *source && !chaos.killed[i] && !chaos.killed[*source] {
                assert!(received.is_some(), "{i} has not {content:?} of {source}: {}", chaos.story());
            }
        }
    }
    chaos.check_alternation();
}

#[test]
fn after_any_faults_all_come_together_and_nothing_is_lost_doubled_or_wrong() {
    let seeds = std::env::var("CHAOS_SEEDS").map_or(0..60, |range| {
        let (from, to) = range.split_once("..").expect("CHAOS_SEEDS=from..to");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    for seed in seeds {
        run(seed);
    }
}

//! Faults of a plan as they begin and end, strangers, and the end of all of it for the core.

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::DESIGNATED_PORTS;

use crate::draws::{draw, scale, seed_bytes};
use crate::trace::What;

use super::disk::Disk;
use super::faults::{Fault, FaultKind, Restart, Traffic};
use super::node::address;
use super::record::Mark;
use super::{Domain, Happening, World};

impl World {
    pub(super) fn fault_begins(&mut self, index: usize) {
        let fault = self.plan.fault[index].clone();
        self.tell_fault(&format!("{fault:?}"));
        match &fault {
            Fault::Partition { a, b, c, one_way, .. } => {
                let divided = a.len() + b.len() + c.len();
                self.tally.count(match (one_way, c.is_empty(), divided < self.plan.host.len()) {
                    (true, ..) => FaultKind::OneWayPartition,
                    (_, false, _) => FaultKind::ThreeWayPartition,
                    (.., true) => FaultKind::BridgePartition,
                    _ => FaultKind::Partition,
                });
                self.divide([a.as_slice(), b, c], *one_way, true);
            }
            Fault::BroadcastLoss { lan, .. } => {
                if let Some(lan) = self.plan.lan(lan) {
                    self.lans[lan].broadcast_faults += 1;
                }
            }
            Fault::MulticastLoss { lan, .. } => {
                if let Some(lan) = self.plan.lan(lan) {
                    self.lans[lan].multicast_faults += 1;
                }
            }
            Fault::Degrade { from, to, link, .. } => {
                let link = self.plan.link.iter().position(|known| known.name == *link);
                if let (Some(from), Some(to)) = (self.plan.host(from), self.plan.host(to)) {
                    self.path_mut(from, to).link = link;
                    self.tally.count(FaultKind::Degrade);
                }
            }
            Fault::Crash { node, power, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.crash(node, *power);
                }
            }
            Fault::Away { node, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.go_away(node);
                }
            }
            Fault::Clone { node, clone, .. } => {
                if let (Some(node), Some(clone)) = (self.plan.node(node), self.plan.node(clone)) {
                    self.copy_disk(node, clone);
                }
            }
            Fault::Pause { node, .. } => {
                if let Some(node) = self.plan.node(node).filter(|&node| self.nodes[node].runs()) {
                    self.nodes[node].paused = true;
                    self.tally.count(FaultKind::Pause);
                }
            }
            Fault::AddressChange { host, lan, .. } => self.change_address(host, lan),
            Fault::AddressSwap { a, b, lan, .. } => self.swap_addresses(a, b, lan),
            Fault::Sleep { host, .. } => self.sleep(host),
            Fault::InterfaceDown { host, lan, .. } => {
                self.tally.count(FaultKind::InterfaceDown);
                self.set_interface(host, lan, false);
            }
            Fault::ClockJump { host, by_ms, noticed, .. } => self.jump(host, *by_ms, *noticed),
            Fault::SlowReader { node, bytes_per_second, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.nodes[node].slow = Some(*bytes_per_second);
                }
            }
            Fault::DiskFull { node, .. } => self.on_disk(node, |disk| disk.full = true),
            Fault::DiskErrors { node, share, .. } => self.on_disk(node, |disk| disk.errors = *share),
            Fault::DiskSlow { node, delay_ms, .. } => {
                self.tally.count(FaultKind::DiskSlow);
                self.on_disk(node, |disk| disk.slowdown = Duration::from_millis(*delay_ms));
            }
            Fault::BitRot { node, .. } => self.on_disk(node, |disk| disk.rotten = true),
            Fault::Reset { a, b, .. } => {
                if let (Some(a), Some(b)) = (self.plan.node(a), self.plan.node(b)) {
                    self.tally.count(FaultKind::Reset);
                    self.reset_streams(a, b);
                }
            }
            Fault::Stall { a, b, .. } => {
                if let (Some(a), Some(b)) = (self.plan.node(a), self.plan.node(b)) {
                    self.stall_streams(a, b, true);
                }
            }
            Fault::Refuse { host, .. } => {
                if let Some(host) = self.plan.host(host) {
                    self.hosts[host].refuses = true;
                }
            }
            Fault::SlowApplication { node, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.tally.count(FaultKind::SlowApplication);
                    self.nodes[node].become_deaf();
                }
            }
            Fault::Insider { .. } | Fault::Stranger { .. } => self.strange(index, 0),
            Fault::ServerDown { .. }
            | Fault::RelayDown { .. }
            | Fault::UplinkDown { .. }
            | Fault::RouterRestart { .. } => self.wide_fault(&fault, true),
            Fault::Move { host, lan, .. } => self.move_host(host, lan),
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize) {
        let fault = self.plan.fault[index].clone();
        self.tell_fault(&format!("over: {fault:?}"));
        match &fault {
            Fault::Partition { a, b, c, one_way, .. } => self.divide([a.as_slice(), b, c], *one_way, false),
            Fault::BroadcastLoss { lan, .. } => {
                if let Some(lan) = self.plan.lan(lan) {
                    self.lans[lan].broadcast_faults = self.lans[lan].broadcast_faults.saturating_sub(1);
                }
            }
            Fault::MulticastLoss { lan, .. } => {
                if let Some(lan) = self.plan.lan(lan) {
                    self.lans[lan].multicast_faults = self.lans[lan].multicast_faults.saturating_sub(1);
                }
            }
            Fault::Degrade { from, to, .. } => {
                if let (Some(from), Some(to)) = (self.plan.host(from), self.plan.host(to)) {
                    let path = self.path_mut(from, to);
                    path.link = path.normal;
                }
            }
            Fault::Crash { node, restart, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.come_back(node, *restart);
                }
            }
            Fault::Away { node, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.return_home(node);
                }
            }
            Fault::Clone { clone, .. } => {
                if let Some(clone) = self.plan.node(clone) {
                    self.stop(clone, false);
                    self.become_somebody_else(clone);
                    self.start(clone);
                }
            }
            Fault::Pause { node, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.resume(node);
                }
            }
            Fault::InterfaceDown { host, lan, .. } => self.set_interface(host, lan, true),
            Fault::SlowReader { node, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.nodes[node].slow = None;
                }
            }
            Fault::DiskFull { node, .. } => self.on_disk(node, |disk| disk.full = false),
            Fault::DiskErrors { node, .. } => self.on_disk(node, |disk| disk.errors = 0.0),
            Fault::DiskSlow { node, .. } => self.on_disk(node, |disk| disk.slowdown = Duration::ZERO),
            Fault::BitRot { node, .. } => self.on_disk(node, |disk| disk.rotten = false),
            Fault::Stall { a, b, .. } => {
                if let (Some(a), Some(b)) = (self.plan.node(a), self.plan.node(b)) {
                    self.stall_streams(a, b, false);
                }
            }
            Fault::Refuse { host, .. } => {
                if let Some(host) = self.plan.host(host) {
                    self.hosts[host].refuses = false;
                }
            }
            Fault::SlowApplication { node, .. } => {
                if let Some(node) = self.plan.node(node) {
                    self.hear_again(node);
                }
            }
            Fault::Stranger { traffic: Traffic::Crowd, .. } => self.send_off(0),
            Fault::Sleep { host, .. } => {
                if let Some(host) = self.plan.host(host) {
                    self.wake_up(host);
                }
            }
            Fault::AddressChange { .. }
            | Fault::AddressSwap { .. }
            | Fault::Insider { .. }
            | Fault::ClockJump { .. }
            | Fault::Reset { .. }
            | Fault::Move { .. }
            | Fault::Stranger { .. } => {}
            Fault::ServerDown { .. }
            | Fault::RelayDown { .. }
            | Fault::UplinkDown { .. }
            | Fault::RouterRestart { .. } => self.wide_fault(&fault, false),
        }
    }

    /// Makes everything whole that concerns the core alone, and leaves the rest as it is, for good.
    pub(super) fn heal_core(&mut self) {
        self.tell_fault("heal the core");
        self.healed = true;
        for adversary in 0..self.plan.adversary.len() {
            self.call_off(adversary);
        }
        let core: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.plan.is_core(node)).collect();
        let hosts: Vec<usize> = core.iter().map(|&node| self.nodes[node].host).collect();
        for &from in &hosts {
            for &to in &hosts {
                let path = self.path_mut(from, to);
                (path.link, path.cuts, path.bad) = (None, 0, false);
            }
        }
        for &a in &core {
            core.iter().for_each(|&b| self.stall_streams(a, b, false));
        }
        for lan in &mut self.lans {
            (lan.broadcast_faults, lan.multicast_faults) = (0, 0);
            lan.isolated.retain(|host| !hosts.contains(host));
        }
        self.heal_wide();
        for &host in &hosts {
            self.wake_up(host);
            self.hosts[host].refuses = false;
            self.hosts[host].up = true;
            let lans: Vec<usize> =
                self.hosts[host].interfaces.iter().map(|interface| interface.lan).collect();
            for lan in lans {
                self.set_up(host, lan, true);
            }
        }
        for node in core {
            self.nodes[node].slow = None;
            self.hear_again(node);
            self.nodes[node].disk.heal();
            self.resume(node);
            self.return_home(node);
            self.start(node);
            self.read_everything(node);
        }
    }

    /// Another round of a stranger.
    pub(super) fn strange(&mut self, index: usize, round: u64) {
        let (at_ms, for_ms, lan, traffic, per_second) = match self.plan.fault[index].clone() {
            Fault::Stranger { at_ms, for_ms, lan, traffic, per_second } => {
                (at_ms, for_ms, lan, traffic, per_second)
            }
            Fault::Insider { node, altered, .. } => return self.betray(index, round, &node, altered),
            _ => return,
        };
        let over = self.elapsed() >= Duration::from_millis(at_ms.saturating_add(for_ms));
        let Some(lan) = self.plan.lan(&lan).filter(|_| !over) else { return };
        let seed = self.plan.seed;
        let roll = |purpose: u64| draw(seed, Domain::Stranger as u64, index as u64 * 16 + purpose, round);
        match traffic {
            Traffic::Handshakes => self.replay_handshake(lan, roll(0)),
            Traffic::Crowd => self.pass_by(index, round, lan),
            _ => {}
        }
        let overheard = &self.lans[lan].overheard;
        let mut copy =
            overheard.get(scale(roll(0), overheard.len() as u64) as usize).map(|bytes| bytes.to_vec());
        let bytes = match traffic {
            Traffic::Garbage | Traffic::Silence => {
                let length = scale(roll(1), 1200);
                (0..length).map(|i| draw(roll(2), 0, 0, i).to_le_bytes()[0]).collect()
            }
            Traffic::Handshakes | Traffic::Crowd => Vec::new(),
            Traffic::Replay => copy.take().unwrap_or_default(),
            Traffic::Forged => {
                let mut bytes = copy.take().unwrap_or_default();
                for change in 0..=scale(roll(3), 3) {
                    let bit = scale(draw(roll(4), 0, 0, change), bytes.len() as u64 * 8);
                    if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
                bytes
            }
        };
        let listeners = self.lans[lan].hosts.clone();
        let host = listeners.get(scale(roll(5), listeners.len() as u64) as usize).copied();
        let node = host.and_then(|host| self.hosts[host].nodes.first().copied());
        if let (true, Some(node)) = (matches!(traffic, Traffic::Garbage | Traffic::Silence), node) {
            let said = if traffic == Traffic::Silence { Vec::new() } else { bytes.clone() };
            self.strange_stream(lan, node, said);
        }
        if matches!(traffic, Traffic::Garbage | Traffic::Replay | Traffic::Forged) {
            self.tally.count(FaultKind::StrangerDatagram);
            let source = SocketAddr::new(address(lan, u16::MAX - 1 - (round % 50) as u16), 9999);
            let destination = SocketAddr::new(address(lan, u16::MAX), DESIGNATED_PORTS[0]);
            self.spread(None, lan, source, destination, bytes.into());
        }
        let gap = Duration::from_secs(1) / per_second.max(1);
        self.after(gap, Happening::Strange { fault: index, round: round + 1 });
    }

    // ---- what one fault does

    fn tell_fault(&mut self, fault: &str) {
        self.note(Mark::Fault, None, fault.as_bytes(), |_| What::Fault { fault: fault.to_owned() });
    }

    fn divide(&mut self, [a, b, c]: [&[String]; 3], one_way: bool, cut: bool) {
        for (one, other) in [(a, b), (a, c), (b, c)] {
            self.cut(one, other, one_way, cut);
        }
    }

    fn cut(&mut self, a: &[String], b: &[String], one_way: bool, cut: bool) {
        let hosts = |world: &World, names: &[String]| -> Vec<usize> {
            names.iter().filter_map(|name| world.plan.host(name)).collect()
        };
        let (a, b) = (hosts(self, a), hosts(self, b));
        for &from in &a {
            for &to in &b {
                let mut change = |from, to| {
                    let cuts = &mut self.path_mut(from, to).cuts;
                    *cuts = if cut { *cuts + 1 } else { cuts.saturating_sub(1) };
                };
                change(from, to);
                if !one_way {
                    change(to, from);
                }
            }
        }
    }

    fn crash(&mut self, node: usize, power: bool) {
        let host = self.nodes[node].host;
        let victims = if power { self.hosts[host].nodes.clone() } else { vec![node] };
        for victim in victims {
            if !self.nodes[victim].runs() {
                continue;
            }
            self.tally.count(if power { FaultKind::PowerLoss } else { FaultKind::Crash });
            self.stop(victim, power);
            #[cfg(feature = "planted")]
            {
                let hasty = super::planting::disk_is_hasty(&self.plan, &self.nodes[victim].name);
                self.nodes[victim].disk.hasty = hasty;
            }
            for _ in 0..self.nodes[victim].disk.crash() {
                self.tally.count(FaultKind::TornWrite);
            }
        }
        if power {
            self.hosts[host].up = false;
        }
    }

    fn come_back(&mut self, node: usize, restart: Restart) {
        if self.nodes[node].left || self.nodes[node].runs() || restart == Restart::Never {
            return;
        }
        let host = self.nodes[node].host;
        self.hosts[host].up = true;
        match restart {
            Restart::Same | Restart::Never => self.tally.count(FaultKind::Restart),
            Restart::WithoutDisk => {
                self.tally.count(FaultKind::RestartWithoutDisk);
                self.empty_disk(node);
            }
            Restart::NewIdentity => {
                self.tally.count(FaultKind::NewIdentity);
                self.become_somebody_else(node);
            }
        }
        for other in self.hosts[host].nodes.clone() {
            self.start(other);
        }
    }

    /// A node says goodbye; it means to come back.
    fn go_away(&mut self, node: usize) {
        if self.nodes[node].runs() && !self.nodes[node].left && !self.nodes[node].paused {
            self.tally.count(FaultKind::Away);
            self.nodes[node].away = true;
            self.leave(node);
        }
    }

    /// It is back, in a new run.
    fn return_home(&mut self, node: usize) {
        if std::mem::replace(&mut self.nodes[node].away, false) {
            self.stop(node, false);
            self.nodes[node].left = false;
            self.start(node);
        }
    }

    fn empty_disk(&mut self, node: usize) {
        let delay = self.nodes[node].disk.delay;
        self.nodes[node].disk = Disk::empty(delay);
        self.nodes[node].disk_lost = true;
    }

    fn become_somebody_else(&mut self, node: usize) {
        self.empty_disk(node);
        let label = format!("identity {} {}", self.nodes[node].name, self.nodes[node].identities.len());
        let seed = seed_bytes(self.plan.seed, &label);
        self.nodes[node].take_identity(seed);
        let (name, peer) = (format!("{}'", self.nodes[node].name), self.nodes[node].peer);
        if let Some(trace) = &mut self.record.trace {
            trace.name_peer(&name, peer);
        }
    }

    /// `clone` starts with a copy of the disk of `node`.
    fn copy_disk(&mut self, node: usize, clone: usize) {
        self.tally.count(FaultKind::Clone);
        self.stop(clone, false);
        let identity = self.nodes[node].identity;
        self.nodes[clone].disk = self.nodes[node].disk.clone();
        self.nodes[clone].disk.crash();
        self.nodes[clone].take_identity(identity);
        self.note_clone(self.nodes[clone].peer);
        self.start(clone);
    }

    fn resume(&mut self, node: usize) {
        if !std::mem::replace(&mut self.nodes[node].paused, false) {
            return;
        }
        self.nodes[node].backlog_datagrams = 0;
        for happening in std::mem::take(&mut self.nodes[node].backlog) {
            self.after(Duration::ZERO, happening);
        }
        self.read_everything(node);
        self.reschedule(node);
    }

    /// Its application takes events again.
    fn hear_again(&mut self, node: usize) {
        if std::mem::replace(&mut self.nodes[node].deaf, false) {
            self.drain(node);
        }
    }

    fn change_address(&mut self, host: &str, lan: &str) {
        let (Some(host), Some(lan)) = (self.plan.host(host), self.plan.lan(lan)) else { return };
        self.hosts[host].moves += 1;
        // Above all that hosts have at the start, and below strangers.
        let number = 20_000 + u16::try_from(host).unwrap_or(0) + self.hosts[host].moves * 2_000;
        let Some(interface) = self.hosts[host].interface_mut(lan) else { return };
        interface.number = number;
        self.tally.count(FaultKind::AddressChange);
        self.tell_interfaces(host);
    }

    fn swap_addresses(&mut self, a: &str, b: &str, lan: &str) {
        let (Some(a), Some(b), Some(lan)) = (self.plan.host(a), self.plan.host(b), self.plan.lan(lan)) else {
            return;
        };
        let number = |world: &World, host: usize| world.hosts[host].interface(lan).map(|own| own.number);
        let (Some(of_a), Some(of_b)) = (number(self, a), number(self, b)) else { return };
        self.tally.count(FaultKind::AddressSwap);
        for (host, number) in [(a, of_b), (b, of_a)] {
            if let Some(interface) = self.hosts[host].interface_mut(lan) {
                interface.number = number;
            }
        }
        self.tell_interfaces(a);
        self.tell_interfaces(b);
    }

    /// The host sleeps: as without power, but its processes go on later, and its clock stands still.
    fn sleep(&mut self, host: &str) {
        let Some(host) = self.plan.host(host).filter(|&host| self.hosts[host].up) else { return };
        self.tally.count(FaultKind::Sleep);
        self.hosts[host].asleep = Some(self.now);
        self.hosts[host].up = false;
        for node in self.hosts[host].nodes.clone() {
            self.nodes[node].paused = self.nodes[node].runs();
        }
    }

    /// It wakes up, and its nodes are told that time has passed.
    fn wake_up(&mut self, host: usize) {
        let Some(since) = self.hosts[host].asleep.take() else { return };
        self.hosts[host].up = true;
        self.hosts[host].clock.stood += self.now.since(since);
        for node in self.hosts[host].nodes.clone() {
            // What came for it meanwhile was never heard.
            self.nodes[node].backlog.retain(|happening| !matches!(happening, Happening::Datagram { .. }));
            self.nodes[node].wake = None;
            self.resume(node);
            let now = self.local(node);
            if let Some(engine) = &mut self.nodes[node].engine {
                engine.handle_clock_jump(now);
                self.drain(node);
            }
        }
    }

    fn set_interface(&mut self, host: &str, lan: &str, up: bool) {
        if let (Some(host), Some(lan)) = (self.plan.host(host), self.plan.lan(lan)) {
            self.set_up(host, lan, up);
        }
    }

    fn set_up(&mut self, host: usize, lan: usize, up: bool) {
        let Some(interface) = self.hosts[host].interface_mut(lan) else { return };
        if interface.up != up {
            interface.up = up;
            self.tell_interfaces(host);
        }
    }

    pub(super) fn tell_interfaces(&mut self, host: usize) {
        let interfaces = self.hosts[host].for_engine();
        for node in self.hosts[host].nodes.clone() {
            let now = self.local(node);
            if let Some(engine) = &mut self.nodes[node].engine {
                engine.handle_interfaces(now, &interfaces);
                self.drain(node);
            }
        }
    }

    fn jump(&mut self, host: &str, by_ms: u64, noticed: bool) {
        let Some(host) = self.plan.host(host) else { return };
        self.tally.count(FaultKind::ClockJump);
        self.hosts[host].clock.offset += Duration::from_millis(by_ms);
        for node in self.hosts[host].nodes.clone() {
            let now = self.local(node);
            if let Some(engine) = self.nodes[node].engine.as_mut().filter(|_| noticed) {
                engine.handle_clock_jump(now);
                self.drain(node);
            }
            self.reschedule(node);
        }
    }

    fn on_disk(&mut self, node: &str, change: impl FnOnce(&mut Disk)) {
        if let Some(node) = self.plan.node(node) {
            change(&mut self.nodes[node].disk);
        }
    }
}

//! The ways by which a beacon goes out, each with a budget of its own.

use core::ops::{Index, IndexMut};

/// One way to be heard by peers. What one network filters another lets through, so all of them are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rung {
    /// To the broadcast address of each IPv4 subnet of an interface.
    DirectedBroadcast,
    /// To 255.255.255.255: heard even by hosts that have another idea of the subnet.
    LimitedBroadcast,
    /// To the IPv4 group [`MULTICAST_GROUP`](crate::MULTICAST_GROUP).
    Multicast4,
    /// To the IPv6 link-local group [`MULTICAST_GROUP_6`](crate::MULTICAST_GROUP_6).
    Multicast6,
    /// To 127.255.255.255: heard by the nodes of this host, never by another.
    Loopback,
    /// Straight to a peer that was heard: replies, and the wish to be dialled.
    Unicast,
    /// Straight to where peers were in an earlier run.
    Remembered,
    /// To every address of the interface's /24, one after the other, while nobody is found.
    Scan,
}

impl Rung {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// All, in the order of trying.
    pub const ALL: [Rung; Rung::COUNT] = [
        Rung::DirectedBroadcast,
        Rung::LimitedBroadcast,
        Rung::Multicast4,
        Rung::Multicast6,
        Rung::Loopback,
        Rung::Unicast,
        Rung::Remembered,
        Rung::Scan,
    ];

    /// A few words for programs and people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::DirectedBroadcast => "directed broadcast",
            Rung::LimitedBroadcast => "limited broadcast",
            Rung::Multicast4 => "IPv4 multicast",
            Rung::Multicast6 => "IPv6 multicast",
            Rung::Loopback => "loopback",
            Rung::Unicast => "unicast",
            Rung::Remembered => "remembered address",
            Rung::Scan => "scan",
        }
    }
}

/// Datagrams a second that each rung may send on one interface; as many may go at once. 0 switches a rung off.
///
/// ```
/// use p2pnet_engine::{Ladder, Rung};
///
/// let mut ladder = Ladder::default();
/// assert_eq!(ladder[Rung::Scan], 0, "off unless asked for");
/// ladder[Rung::Scan] = 50;
/// ladder[Rung::Multicast6] = 0;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder([u32; Rung::COUNT]);

impl Default for Ladder {
    /// Everything but the scan.
    fn default() -> Self {
        let mut ladder = Ladder([20; Rung::COUNT]);
        ladder[Rung::Unicast] = 40;
        ladder[Rung::Scan] = 0;
        ladder
    }
}

impl Index<Rung> for Ladder {
    type Output = u32;

    fn index(&self, rung: Rung) -> &u32 {
        &self.0[rung as usize]
    }
}

impl IndexMut<Rung> for Ladder {
    fn index_mut(&mut self, rung: Rung) -> &mut u32 {
        &mut self.0[rung as usize]
    }
}

//! Ups and downs of a peer alternate, whatever happens.

use std::collections::BTreeMap;

use p2pnet_engine::{Event, PeerId};

use super::{Broken, Check, Seen};
use crate::world::World;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Discovered,
    Connected,
    Trusted,
}

/// What each node was last told of each peer.
#[derive(Debug, Default)]
pub(super) struct Alternate(BTreeMap<(usize, PeerId), Told>);

impl Check for Alternate {
    fn id(&self) -> &'static str {
        "alternate"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let (node, peer, before, after, word): (_, _, &[Told], _, _) = match *seen {
            Seen::Started { node } => {
                self.0.retain(|(known, _), _| *known != node);
                return Ok(());
            }
            Seen::Event { node, event } => match event {
                Event::PeerDiscovered { peer, .. } => {
                    (node, *peer, &[Told::Nothing, Told::Discovered], Told::Discovered, "discovered")
                }
                Event::PeerConnected { peer, .. } => {
                    (node, *peer, &[Told::Nothing, Told::Discovered], Told::Connected, "connected")
                }
                Event::PeerTrusted { peer, .. } => {
                    (node, *peer, &[Told::Connected, Told::Trusted], Told::Trusted, "trusted")
                }
                Event::PeerLeft { peer, .. } => {
                    (node, *peer, &[Told::Connected, Told::Trusted], Told::Discovered, "gone")
                }
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        let told = self.0.entry((node, peer)).or_default();
        if !before.contains(told) {
            let name = world.node_of(&peer).map_or_else(|| peer.short(), |node| world.name(node).to_owned());
            return Err(Broken::on(node, format!("{name} is told to be {word}, but was {told:?}")));
        }
        *told = after;
        Ok(())
    }
}

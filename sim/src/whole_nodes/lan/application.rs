//! What the application on a node does by itself: takes offers, shows a badge.

use std::time::Duration;

use p2pnet::{CommandError, Event, NodeHandle};
use p2pnet_engine::ContentId;

use super::seat::Seat;
use crate::trace::What;
use crate::whole_nodes::traced_net::Pen;
use crate::world::workload::{WRONG_BADGE, right_badge};

/// What the application on a node does by itself.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    /// Whether it takes whatever trusted peers offer.
    pub(crate) takes_offers: bool,
    /// How long it waits before it asks again for what it did not get; `None` if it does not.
    pub(crate) patience: Option<Duration>,
    /// What it shows, and wants to be shown, in custom steps.
    pub(crate) badge: Option<Badge>,
}

/// What a node does in the custom step of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Badge {
    /// Whether it shows a wrong one.
    pub(crate) impostor: bool,
}

impl Default for Application {
    fn default() -> Self {
        Application { takes_offers: true, patience: None, badge: None }
    }
}

impl Application {
    /// Does what an event asks of it.
    pub(super) async fn react(&self, event: &Event, handle: &NodeHandle, seat: &Seat, pen: &Pen) {
        match event {
            Event::ContentOffered { manifest, .. } if self.takes_offers => {
                if let Err(error) = handle.fetch(manifest.content).await {
                    pen.write(What::Warning { message: error.to_string() });
                    self.fetch_later(manifest.content, 1, handle, seat);
                }
            }
            // What was refused before the transfer began may work soon; what failed on the way needs longer.
            Event::ContentFailed { manifest, .. } => self.fetch_later(manifest.content, 2, handle, seat),
            Event::StepMessage { peer, step, message, transcript } => {
                if let Some(badge) = self.badge {
                    let own = handle.peer_id();
                    let asks = match message {
                        None => true,
                        Some(shown) => {
                            let right = *shown == right_badge(peer, &own);
                            handle.step_conclude(*peer, step, right).await.is_err()
                        }
                    };
                    // As in the World: once on each link.
                    if asks && seat.seen().shown.insert((*peer, *transcript)) {
                        let shown =
                            if badge.impostor { WRONG_BADGE.to_vec() } else { right_badge(&own, peer) };
                        let _ = handle.step_send(*peer, step, shown).await;
                    }
                }
            }
            _ => {}
        }
    }

    /// Asks for a content again after this many times its patience, until it is being fetched, is here, or the node
    /// stops.
    fn fetch_later(&self, content: ContentId, times: u32, handle: &NodeHandle, seat: &Seat) {
        let Some(patience) = self.patience else { return };
        let (handle, seat) = (handle.clone(), seat.clone());
        tokio::spawn(async move {
            tokio::time::sleep(patience * times).await;
            while seat.store.received(&content).is_none() {
                match handle.fetch(content).await {
                    Ok(()) | Err(CommandError::Stopped) => return,
                    Err(_) => tokio::time::sleep(patience).await,
                }
            }
        });
    }
}

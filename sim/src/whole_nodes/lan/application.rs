//! What the application on a node does by itself: takes offers, shows a badge.

use std::time::Duration;

use p2pnet::{CommandError, Event, NodeHandle};
use p2pnet_engine::ContentId;

use super::seat::Seat;
use crate::trace::What;
use crate::whole_nodes::traced_net::Pen;

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

/// The two sides of a custom step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Badge {
    /// What it shows.
    pub(crate) shown: &'static [u8],
    /// What it wants to see.
    pub(crate) wanted: &'static [u8],
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
            Event::StepMessage { peer, step, message, .. } => {
                if let Some(badge) = self.badge {
                    let over = match message {
                        None => true,
                        Some(shown) => {
                            handle.step_conclude(*peer, step, shown == badge.wanted).await.is_err()
                        }
                    };
                    // A peer that verifies us anew on another link asks for our badge once more. A step that is over
                    // on both sides refuses it.
                    if over {
                        let _ = handle.step_send(*peer, step, badge.shown).await;
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

//! Which offers are taken without a question.

use alloc::collections::BTreeSet;

use crate::content::Manifest;
use crate::identity::PeerId;

/// Which offers are taken without asking the application. The others are its to decide:
/// [`Event::ContentOffered`](crate::Event::ContentOffered), then [`fetch`](crate::Engine::fetch) or
/// [`decline`](crate::Engine::decline).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferPolicy {
    /// None.
    #[default]
    Ask,
    /// Those of at most `up_to` bytes, from these peers if any are named. A content that is taken comes from whoever has
    /// it: who offers it decides whether it is wanted, and its hash whether it is right.
    Take {
        /// The largest content, in bytes.
        up_to: u64,
        /// From whom; from every trusted peer if there is nothing.
        from: Option<BTreeSet<PeerId>>,
    },
}

impl OfferPolicy {
    /// Takes everything that trusted peers offer.
    #[must_use]
    pub fn all() -> Self {
        OfferPolicy::up_to(u64::MAX)
    }

    /// Takes what has at most `bytes`, from every trusted peer.
    #[must_use]
    pub fn up_to(bytes: u64) -> Self {
        OfferPolicy::Take { up_to: bytes, from: None }
    }

    /// Takes everything that these peers offer, once they are trusted.
    #[must_use]
    pub fn from_peers(peers: impl IntoIterator<Item = PeerId>) -> Self {
        OfferPolicy::Take { up_to: u64::MAX, from: Some(peers.into_iter().collect()) }
    }

    pub(crate) fn takes(&self, peer: &PeerId, manifest: &Manifest) -> bool {
        match self {
            OfferPolicy::Ask => false,
            OfferPolicy::Take { up_to, from } => {
                manifest.content.size <= *up_to && from.as_ref().is_none_or(|from| from.contains(peer))
            }
        }
    }
}

//! What the store is asked to do, in order for each content, and the events of contents.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use p2pnet_engine::{
    BlockList, ContentId, Event as EngineEvent, Manifest, StoreFailure, StoreReply, StoreRequest,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::CommandError;
use crate::event::Event;
use crate::seam::{Source, Store};

/// The answer to a request to publish.
pub(crate) type Published = Result<ContentId, CommandError>;

/// Whom something is published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody who is trusted.
    Everyone,
    /// Nobody yet: peers are added one by one.
    Private,
}

/// What the store has done.
#[derive(Debug)]
pub(crate) enum StoreNews {
    /// Something for the engine.
    Reply(StoreReply),
    /// A content has its final name, or has not.
    Finished(ContentId, Result<PathBuf, StoreFailure>),
    /// A source was hashed, or could not be.
    Published(io::Result<(Manifest, BlockList)>, Audience, oneshot::Sender<Published>),
}

/// What the driver makes of [`StoreNews`].
pub(super) enum Taken {
    Reply(StoreReply),
    Publish { manifest: Manifest, list: BlockList, audience: Audience, answer: oneshot::Sender<Published> },
    Nothing,
}

/// Contents on their way. Everything here is bounded by the contents that the engine has under way.
#[derive(Default)]
pub(super) struct Contents {
    /// The last request for each content (or, under `None`, about what the next run must know): the next one waits for it.
    requests: BTreeMap<Option<ContentId>, JoinHandle<()>>,
    /// When the application asked for it.
    since: BTreeMap<ContentId, Instant>,
    /// Where finished contents are, until the application hears of it.
    paths: BTreeMap<ContentId, PathBuf>,
}

impl Contents {
    /// Has the store do something, after what it was asked before about the same content.
    pub(super) fn request<S: Store>(
        &mut self,
        request: StoreRequest,
        network: [u8; 8],
        store: &Arc<S>,
        news: &mpsc::Sender<StoreNews>,
    ) {
        let key = match &request {
            StoreRequest::Open { manifest } => Some(manifest.content),
            StoreRequest::KeepList { content, .. }
            | StoreRequest::Finish { content }
            | StoreRequest::Close { content }
            | StoreRequest::Abandon { content } => Some(*content),
            _ => None,
        };
        let (store, news) = (Arc::clone(store), news.clone());
        self.queue(key, async move {
            if let Some(done) = carry_out(request, network, &*store).await {
                let _ = news.send(done).await;
            }
        });
    }

    /// Has the store keep the private port for the next run.
    pub(super) fn keep_port<S: Store>(&mut self, port: u16, store: &Arc<S>) {
        let store = Arc::clone(store);
        self.queue(None, async move {
            if let Err(error) = store.remember_port(port).await {
                tracing::warn!(%error, "the next run cannot know the private port");
            }
        });
    }

    /// Does a job after the one before with the same key.
    fn queue(&mut self, key: Option<ContentId>, job: impl Future<Output = ()> + Send + 'static) {
        self.requests.retain(|_, task| !task.is_finished());
        let before = self.requests.remove(&key);
        let task = async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            job.await;
        };
        self.requests.insert(key, tokio::spawn(task));
    }

    /// Has the store hash a source.
    pub(super) fn publish<S: Store>(
        &mut self,
        source: Source,
        audience: Audience,
        answer: oneshot::Sender<Published>,
        store: &Arc<S>,
        news: &mpsc::Sender<StoreNews>,
    ) {
        let (store, news) = (Arc::clone(store), news.clone());
        tokio::spawn(async move {
            let result = store.publish(source).await;
            let _ = news.send(StoreNews::Published(result, audience, answer)).await;
        });
    }

    /// Has the store forget a published content.
    pub(super) fn withdraw<S: Store>(&mut self, content: ContentId, store: &Arc<S>) {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.withdraw(content).await });
    }

    /// Waits until the store has done everything that was requested.
    pub(super) async fn settled(&mut self) {
        while let Some((_, request)) = self.requests.pop_first() {
            let _ = request.await;
        }
    }

    /// The application wants `content`.
    pub(super) fn fetching(&mut self, content: ContentId) {
        self.since.entry(content).or_insert_with(Instant::now);
    }

    /// Keeps what only the application needs, and gives the rest to the driver.
    pub(super) fn take(&mut self, news: StoreNews) -> Taken {
        match news {
            StoreNews::Reply(reply) => Taken::Reply(reply),
            StoreNews::Finished(content, result) => {
                let result = result.map(|path| {
                    self.paths.insert(content, path);
                });
                Taken::Reply(StoreReply::Finished { content, result })
            }
            StoreNews::Published(Ok((manifest, list)), audience, answer) => {
                Taken::Publish { manifest, list, audience, answer }
            }
            StoreNews::Published(Err(error), _, answer) => {
                let _ = answer.send(Err(CommandError::Source(error)));
                Taken::Nothing
            }
        }
    }

    /// The engine's event as the application gets it; `None` for what only concerns the driver.
    pub(super) fn translate(&mut self, event: EngineEvent) -> Option<Event> {
        Some(match event {
            EngineEvent::PeerDiscovered { peer, name, addr } => Event::PeerDiscovered { peer, name, addr },
            EngineEvent::PeerConnected { peer, name, addr } => Event::PeerConnected { peer, name, addr },
            EngineEvent::PeerTrusted { peer, name, addr } => Event::PeerTrusted { peer, name, addr },
            EngineEvent::PeerLeft { peer, name, reason, by } => Event::PeerLeft { peer, name, reason, by },
            EngineEvent::PeerLiveness { peer, name, liveness, evidence } => {
                Event::PeerLiveness { peer, name, liveness, evidence }
            }
            EngineEvent::StepMessage { peer, step, transcript, message } => {
                Event::StepMessage { peer, step, transcript, message }
            }
            EngineEvent::PeerRejected { peer, name, reason, by_us } => {
                Event::PeerRejected { peer, name, reason, by_us }
            }
            EngineEvent::CodeReady { peer, name, code, confirm } => {
                Event::CodeReady { peer, name, code, confirm }
            }
            EngineEvent::DecisionWanted { peer, name, addr } => Event::DecisionWanted { peer, name, addr },
            EngineEvent::Text { from, text, trusted } => Event::Text { from, text, trusted },
            EngineEvent::TextDelivered { to, id } => Event::TextDelivered { to, id },
            EngineEvent::TextsLost { to, first, last } => Event::TextsLost { to, first, last },
            EngineEvent::Message { from, bytes, hops } => Event::Message { from, bytes, hops },
            EngineEvent::MessageSettled { id, delivered, missing } => {
                Event::MessageSettled { id, delivered, missing }
            }
            EngineEvent::ContentOffered { from, manifest } => Event::ContentOffered { from, manifest },
            EngineEvent::ContentReceived { manifest, from, fetched_bytes } => {
                let since = self.since.remove(&manifest.content);
                let seconds = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
                let path = self.paths.remove(&manifest.content).unwrap_or_default();
                Event::ContentReceived { manifest, from, path, seconds, fetched_bytes }
            }
            EngineEvent::ContentFailed { manifest, reason } => {
                self.since.remove(&manifest.content);
                self.paths.remove(&manifest.content);
                Event::ContentFailed { manifest, reason }
            }
            EngineEvent::ContentPaused { manifest } => Event::ContentPaused { manifest },
            EngineEvent::ContentResumed { manifest } => Event::ContentResumed { manifest },
            EngineEvent::ContentHeldUp { content, to } => Event::ContentHeldUp { content, to },
            EngineEvent::DeliveryPaused { content, to } => Event::DeliveryPaused { content, to },
            EngineEvent::DeliveryResumed { content, to } => Event::DeliveryResumed { content, to },
            EngineEvent::ContentDelivered { content, to } => Event::ContentDelivered { content, to },
            EngineEvent::ContentDeclined { content, to } => Event::ContentDeclined { content, to },
            EngineEvent::IncompatiblePeer { addr, version } => Event::IncompatiblePeer { addr, version },
            EngineEvent::IdentityShared { addr } => Event::IdentityShared { addr },
            EngineEvent::Superseded => Event::Superseded,
            EngineEvent::IdentityReclaimed => Event::IdentityReclaimed,
            EngineEvent::WidescanProgress { sent, datagrams, found } => {
                Event::WidescanProgress { sent, datagrams, found }
            }
            EngineEvent::WidescanFound { peer, addr } => Event::WidescanFound { peer, addr },
            EngineEvent::WidescanEnded { sent, found, stopped } => {
                Event::WidescanEnded { sent, found, stopped }
            }
            EngineEvent::TaskExecuted { issuer, id, kind, outcome } => {
                Event::TaskExecuted { issuer, id, kind, outcome }
            }
            EngineEvent::TaskRefused { issuer, id, why } => Event::TaskRefused { issuer, id, why },
            EngineEvent::AuthorityLocked { authority, .. } => Event::AuthorityLocked { authority },
            _ => return None,
        })
    }
}

/// Does it, and says what the engine is to hear.
async fn carry_out<S: Store>(request: StoreRequest, network: [u8; 8], store: &S) -> Option<StoreNews> {
    match request {
        StoreRequest::Open { manifest } => {
            let content = manifest.content;
            let result = store.open(manifest).await;
            Some(StoreNews::Reply(StoreReply::Opened { content, result }))
        }
        StoreRequest::Finish { content } => Some(StoreNews::Finished(content, store.finish(content).await)),
        StoreRequest::KeepList { content, list } => {
            store.keep_list(content, list).await;
            None
        }
        StoreRequest::Close { content } => {
            store.close(content).await;
            None
        }
        StoreRequest::Abandon { content } => {
            store.abandon(content).await;
            None
        }
        StoreRequest::SaveIncarnation { incarnation } => {
            if let Err(error) = store.save_incarnation(incarnation).await {
                tracing::error!(%error, "the incarnation cannot be saved; peers may ignore this node after a restart");
            }
            None
        }
        StoreRequest::Remember { anew, changes } => {
            let result = store.remember(network, anew, changes).await;
            Some(StoreNews::Reply(StoreReply::Remembered { result }))
        }
        StoreRequest::SaveDecisions { decisions } => {
            if let Err(error) = store.save_decisions(network, decisions).await {
                tracing::error!(%error, "what was decided about peers cannot be saved; it holds until this node stops");
            }
            None
        }
        StoreRequest::SaveAuthority { state } => {
            if let Err(error) = store.save_authority(network, state).await {
                tracing::error!(%error, "what authorities said cannot be saved; it holds until this node stops");
            }
            None
        }
        other => {
            tracing::error!(?other, "a store request that this driver does not know");
            None
        }
    }
}

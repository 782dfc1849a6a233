//! The side of the node that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use p2pnet_engine::{ContentId, PeerId};
use tokio::sync::broadcast;

use super::ControlError;
use super::protocol::{Greeting, PeerLine};
use crate::doctor::level_word;
use crate::event::Event;
use crate::handle::{NodeHandle, PeerInfo};

/// Events that wait for a client's delivery. One that is further behind is told to ask again.
const EVENTS: usize = 1024;

/// Answers about contents that are remembered. Beyond it one goes, and who sends that content again may wait in vain.
const MAX_ANSWERED: usize = 4096;

/// Answers questions about a running node, and takes texts and files to deliver, until it is dropped.
#[derive(Debug)]
pub struct Server {
    events: broadcast::Sender<Event>,
    contents: Contents,
    #[cfg(unix)]
    _serving: imp::Serving,
}

impl Server {
    /// Serves the socket of the data directory, which must be this node's own. `greeting` says who answers; its version
    /// and id are filled in. Within a tokio runtime.
    ///
    /// # Errors
    /// If the socket cannot be made. Nothing is left behind.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there are no such sockets"))]
    pub fn start(data_dir: &Path, node: NodeHandle, greeting: Greeting) -> Result<Server, ControlError> {
        let (events, _) = broadcast::channel(EVENTS);
        let contents = Contents::default();
        #[cfg(unix)]
        {
            let greeting = Greeting { peer: node.peer_id().to_string(), ..greeting };
            let serving = imp::serve(data_dir, node, greeting, events.clone(), contents.clone())?;
            Ok(Server { events, contents, _serving: serving })
        }
        #[cfg(not(unix))]
        {
            drop((events, contents));
            Err(ControlError::Unsupported)
        }
    }

    /// Passes on an event of the node: deliveries wait for their acknowledgements. Call it with each.
    pub fn tell(&self, event: &Event) {
        self.contents.note(event);
        // Mostly nobody listens.
        let _ = self.events.send(event.clone());
    }

    /// What is shared for others than clients.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }
}

impl Greeting {
    /// Of a node by this name on this network.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        network: impl Into<String>,
        closed: bool,
        ports: Vec<u16>,
        interfaces: Option<Vec<String>>,
    ) -> Greeting {
        Greeting {
            p2pnet_control: super::VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            peer: String::new(),
            name: name.into(),
            network: network.into(),
            closed,
            ports,
            interfaces,
        }
    }
}

/// Who needs which content: what a client had delivered is withdrawn, unless others need it.
#[derive(Clone, Debug, Default)]
pub struct Contents(Arc<Mutex<Needed>>);

#[derive(Debug, Default)]
struct Needed {
    /// Shares whose contents are not known yet: they might be any.
    unknown: usize,
    shared: BTreeSet<ContentId>,
    /// Deliveries under way.
    held: BTreeMap<ContentId, usize>,
    /// Who took or declined what: what is shared with everybody is offered once, and answered once.
    answered: BTreeMap<(ContentId, PeerId), bool>,
}

impl Contents {
    /// A file is about to be shared with everybody; [`shared`](Contents::shared) says what it is.
    pub fn sharing(&self) {
        self.with(|needed| needed.unknown += 1);
    }

    /// What was about to be shared is this, or could not be.
    pub fn shared(&self, content: Option<ContentId>) {
        self.with(|needed| {
            needed.unknown = needed.unknown.saturating_sub(1);
            needed.shared.extend(content);
        });
    }

    /// Remembers answers.
    fn note(&self, event: &Event) {
        let (key, taken) = match event {
            Event::ContentDelivered { content, to } => ((*content, *to), true),
            Event::ContentDeclined { content, to } => ((*content, *to), false),
            _ => return,
        };
        self.with(|needed| {
            needed.answered.insert(key, taken);
            if needed.answered.len() > MAX_ANSWERED {
                needed.answered.pop_first();
            }
        });
    }

    /// Whether this peer took what is shared with everybody, if it has answered. What is not is offered anew.
    pub(super) fn answered(&self, content: ContentId, peer: PeerId) -> Option<bool> {
        self.with(|needed| {
            let shared = needed.shared.contains(&content);
            needed.answered.get(&(content, peer)).copied().filter(|_| shared)
        })
    }

    /// A delivery needs it until what this gives is dropped.
    pub(super) fn hold(&self, content: ContentId, node: NodeHandle) -> Held {
        self.with(|needed| *needed.held.entry(content).or_default() += 1);
        Held { content, contents: self.clone(), node }
    }

    /// Whether nobody needs it after this delivery.
    fn release(&self, content: ContentId) -> bool {
        self.with(|needed| {
            let left = needed.held.remove(&content).map_or(0, |held| held.saturating_sub(1));
            if left > 0 {
                needed.held.insert(content, left);
            }
            left == 0 && needed.unknown == 0 && !needed.shared.contains(&content)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Needed) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A content that a delivery needs.
pub(super) struct Held {
    content: ContentId,
    contents: Contents,
    node: NodeHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.contents.release(self.content) {
            let (node, content) = (self.node.clone(), self.content);
            // A client that goes in the middle ends its delivery too.
            tokio::spawn(async move {
                // A node that has stopped shares nothing.
                let _ = node.withdraw(content).await;
            });
        }
    }
}

pub(super) fn line_of(peer: &PeerInfo) -> PeerLine {
    PeerLine {
        peer: peer.id.to_string(),
        name: peer.name.clone(),
        level: level_word(peer.level).to_owned(),
        liveness: peer.liveness.map(|liveness| liveness.as_str().to_owned()),
        addr: peer.addr.map(|addr| addr.to_string()),
        path: peer.path.map(|path| path.to_string()),
        since_ms: u64::try_from(peer.since.as_millis()).unwrap_or(u64::MAX),
        why: peer.why.clone(),
    }
}

#[cfg(unix)]
mod imp {
    use std::fs;
    use std::io;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::{Mutex, broadcast, mpsc};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::super::deciding::{decide, one_called};
    use super::super::delivery::{What, deliver, refusal};
    use super::super::protocol::{Answer, Ask, Greeting, MAX_ASK, Refusal};
    use super::super::{ControlError, check_length, lines, socket_path};
    use super::{Contents, line_of};
    use crate::doctor::{self, MAX_ADDRESSES, diagnose, examine};
    use crate::event::Event;
    use crate::handle::NodeHandle;
    use crate::link::Task;

    /// Clients at a time. Beyond it they are told so and closed.
    const CLIENTS: usize = 8;

    /// How long a client may be silent between requests, and how long it may take to read a line.
    const IDLE: Duration = Duration::from_secs(60);
    const WRITE: Duration = Duration::from_secs(5);

    /// A pause after an error of the listener, so that one that persists does not spin.
    const PAUSE: Duration = Duration::from_millis(100);

    /// Answers that wait for the client to read.
    const ANSWERS: usize = 16;

    /// Removes the socket when dropped.
    pub(super) struct Serving {
        path: PathBuf,
        _task: Task,
    }

    impl std::fmt::Debug for Serving {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_tuple("Serving").field(&self.path).finish()
        }
    }

    impl Drop for Serving {
        fn drop(&mut self) {
            // Ours: the directory is locked by this process.
            let _ = fs::remove_file(&self.path);
        }
    }

    #[derive(Clone)]
    struct Shared {
        node: NodeHandle,
        greeting: Arc<Greeting>,
        events: broadcast::Sender<Event>,
        contents: Contents,
        /// The engine probes for one at a time.
        doctor: Arc<Mutex<()>>,
    }

    pub(super) fn serve(
        data_dir: &Path,
        node: NodeHandle,
        greeting: Greeting,
        events: broadcast::Sender<Event>,
        contents: Contents,
    ) -> Result<Serving, ControlError> {
        let path = socket_path(data_dir);
        let listener = listen(data_dir, &path)?;
        let shared = Shared { node, greeting: Arc::new(greeting), events, contents, doctor: Arc::default() };
        Ok(Serving { path, _task: Task(tokio::spawn(accept(listener, shared))) })
    }

    /// Makes the socket without a moment in which others could connect: in a directory that only we may enter, with its
    /// final rights, and then moved to its place.
    fn listen(data_dir: &Path, path: &Path) -> Result<UnixListener, ControlError> {
        check_length(path)?;
        let io = |source| ControlError::Io { path: path.to_owned(), source };
        make_room(path)?;
        let private = tempfile::Builder::new().prefix(".c").rand_bytes(5).tempdir_in(data_dir).map_err(io)?;
        let made = private.path().join("s");
        let listener = UnixListener::bind(&made).map_err(io)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).map_err(io)?;
        fs::rename(&made, path).map_err(io)?;
        Ok(listener)
    }

    /// A socket of a process that is gone may be replaced; nothing else.
    fn make_room(path: &Path) -> Result<(), ControlError> {
        let io = |source| ControlError::Io { path: path.to_owned(), source };
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        if !there.file_type().is_socket() {
            return Err(ControlError::NotASocket(path.to_owned()));
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(ControlError::Served(path.to_owned())),
            Err(_) => fs::remove_file(path).map_err(io),
        }
    }

    async fn accept(listener: UnixListener, shared: Shared) {
        let mut clients = JoinSet::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a client of the control socket could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            while clients.try_join_next().is_some() {}
            if clients.len() < CLIENTS {
                clients.spawn(client(stream, shared.clone()));
            } else {
                let full = Answer::Error(Refusal::failed("too many clients; try again"));
                // What fits into the socket's buffer needs nobody to wait for it.
                if let Ok(line) = serde_json::to_string(&full) {
                    let _ = stream.try_write(format!("{line}\n").as_bytes());
                }
            }
        }
    }

    async fn client(stream: UnixStream, shared: Shared) {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        if write_line(&mut write, &*shared.greeting).await.is_err() {
            return;
        }
        loop {
            let line = match timeout(IDLE, lines::read(&mut read, MAX_ASK)).await {
                Ok(Ok(Some(line))) => line,
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    let _ = write_line(&mut write, &Answer::Error(Refusal::bad(error.to_string()))).await;
                    return;
                }
                // It is gone, or has nothing more to ask.
                Ok(_) | Err(_) => return,
            };
            let (answers, mut answered) = mpsc::channel(ANSWERS);
            let work = async {
                let ended = match serde_json::from_str::<Ask>(&line) {
                    Ok(ask) => answer(ask, &shared, &answers).await,
                    Err(error) => Err(Refusal::bad(format!("not a request: {error}"))),
                };
                drop(answers);
                ended
            };
            let passing = async {
                while let Some(answer) = answered.recv().await {
                    write_line(&mut write, &answer).await?;
                }
                io::Result::Ok(())
            };
            let both = async { tokio::join!(biased; passing, work) };
            let (passed, ended) = tokio::select! {
                biased;
                () = hung_up(&mut read) => return,
                both = both => both,
            };
            let last = match ended {
                Ok(()) => Answer::Done(true),
                Err(refusal) => Answer::Error(refusal),
            };
            if passed.is_err() || write_line(&mut write, &last).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the client has gone. A request that comes early stays where it is.
    async fn hung_up<R: AsyncBufRead + Unpin>(read: &mut R) {
        if read.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty()) {
            std::future::pending::<()>().await;
        }
    }

    async fn write_line<W: tokio::io::AsyncWrite + Unpin>(
        write: &mut W,
        value: &impl serde::Serialize,
    ) -> io::Result<()> {
        timeout(WRITE, lines::write(write, value)).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
    }

    async fn answer(ask: Ask, shared: &Shared, answers: &mpsc::Sender<Answer>) -> Result<(), Refusal> {
        let node = &shared.node;
        match ask {
            Ask::Peers {} => {
                for peer in node.peers().await.map_err(refusal)? {
                    let _ = answers.send(Answer::Peer(line_of(&peer))).await;
                }
                Ok(())
            }
            Ask::Why { peer } => {
                let one = one_called(node, &peer).await?;
                // So that it is known which rungs get through now.
                node.probe().await.map_err(refusal)?;
                tokio::time::sleep(doctor::PROBED_AFTER).await;
                let why = node.why(one.id).await.map_err(refusal)?;
                let why = why.ok_or_else(|| Refusal::failed("it has just been forgotten"))?;
                let _ = answers.send(Answer::Why(Box::new(why))).await;
                Ok(())
            }
            Ask::Doctor { for_ms, addresses } => {
                if addresses.len() > MAX_ADDRESSES {
                    return Err(Refusal::bad(format!("at most {MAX_ADDRESSES} addresses")));
                }
                let _alone = shared.doctor.lock().await;
                let request = doctor::Request {
                    listen: Duration::from_millis(for_ms),
                    addresses,
                    network: shared.greeting.network.clone(),
                    closed: shared.greeting.closed,
                    chosen: shared.greeting.interfaces.is_some(),
                };
                let tell = |progress| {
                    // A client that reads slowly is spared some of it.
                    let _ = answers.try_send(Answer::Progress(progress));
                };
                let findings = examine(node, &request, tell).await.map_err(refusal)?;
                let diagnoses = diagnose(&findings);
                let _ = answers.send(Answer::Findings(Box::new(findings))).await;
                for diagnosis in diagnoses {
                    let _ = answers.send(Answer::Diagnosis(Box::new(diagnosis))).await;
                }
                Ok(())
            }
            Ask::SendText { to, text, timeout_ms } => {
                send(shared, What::Text(text), to.as_deref(), timeout_ms, answers).await
            }
            Ask::SendFile { to, path, timeout_ms } => {
                send(shared, What::File(path), to.as_deref(), timeout_ms, answers).await
            }
            Ask::Task { task } => {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(task.as_bytes());
                let bytes = bytes.map_err(|_| Refusal::bad("the task is not hexadecimal"))?;
                let id = node.task(bytes).await.map_err(refusal)?.to_string();
                let _ = answers.send(Answer::Task { id }).await;
                Ok(())
            }
            other => decide(other, node, answers).await,
        }
    }

    async fn send(
        shared: &Shared,
        what: What,
        to: Option<&str>,
        timeout_ms: u64,
        answers: &mpsc::Sender<Answer>,
    ) -> Result<(), Refusal> {
        // From before anything is sent, or an answer could be missed.
        let events = shared.events.subscribe();
        let patience = Duration::from_millis(timeout_ms);
        deliver(&shared.node, &shared.contents, events, what, to, patience, answers).await
    }
}

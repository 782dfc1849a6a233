//! Starting a node as the command line says, and leaving.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use p2pnet::seam::Host;
use p2pnet::{DiskStore, DiskStoreError, Node, NodeBuilder, OsHost, Rung, StartError};

use crate::authorities::Authorities;
use crate::cert;
use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::letting::{self, Letting};
use crate::options::{Common, UpArguments};
use crate::output::Output;
use crate::relays;
use crate::secret::{self, Secret};
use crate::signals::Signals;
use crate::text;

/// How long saying goodbye may take: with the rest, the program ends within 2 s.
const LEAVE_WITHIN: Duration = Duration::from_millis(1600);

/// Farewells by datagram take 80 ms.
const FAREWELLS: Duration = Duration::from_millis(120);

/// Addresses that `--scan` calls in a second.
const SCANNED_A_SECOND: u32 = 50;

/// What to do when another node uses the default data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InUse {
    /// Say so and end.
    Refuse,
    /// Be somebody else for this time.
    BeTemporary,
}

/// Why there is no node.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The node itself says why.
    Node(StartError),
    /// It did not come to that.
    Before(Failure),
}

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> NotStarted {
        NotStarted::Before(failure)
    }
}

impl From<NotStarted> for Failure {
    fn from(not_started: NotStarted) -> Failure {
        match not_started {
            NotStarted::Node(error) => failure(error),
            NotStarted::Before(failure) => failure,
        }
    }
}

/// Starts a node. Received files go to `inbox`.
pub(crate) async fn start(
    common: &Common,
    inbox: Option<&Path>,
    in_use: InUse,
    output: &mut Output,
) -> Result<Node, Failure> {
    start_letting(common, &Letting::default(), inbox, in_use, output).await
}

/// Starts a node that lets in whom `letting` says.
pub(crate) async fn start_letting(
    common: &Common,
    letting: &Letting,
    inbox: Option<&Path>,
    in_use: InUse,
    output: &mut Output,
) -> Result<Node, Failure> {
    Ok(try_start_letting(common, letting, &Authorities::default(), inbox, in_use, output).await?)
}

/// Starts the node of `p2pnet up`.
pub(crate) async fn start_up(
    common: &Common,
    arguments: &UpArguments,
    inbox: Option<&Path>,
    output: &mut Output,
) -> Result<Node, Failure> {
    let (letting, authorities) = (&arguments.trust, &arguments.authorities);
    Ok(try_start_letting(common, letting, authorities, inbox, InUse::Refuse, output).await?)
}

/// Starts a node, for who is interested in why it cannot.
pub(crate) async fn try_start(
    common: &Common,
    inbox: Option<&Path>,
    in_use: InUse,
    output: &mut Output,
) -> Result<Node, NotStarted> {
    try_start_letting(common, &Letting::default(), &Authorities::default(), inbox, in_use, output).await
}

async fn try_start_letting(
    common: &Common,
    letting: &Letting,
    authorities: &Authorities,
    inbox: Option<&Path>,
    in_use: InUse,
    output: &mut Output,
) -> Result<Node, NotStarted> {
    output.set_network(&common.network);
    let dir = data_dir(common)?;
    let secret = common.secret_file.as_deref().map(secret::read).transpose()?;
    let peers = resolve(&common.peer).await?;
    let relays = relays::read(common)?;
    let policy = letting.policy()?;
    if let Some(certificate) = &policy.certificate {
        letting::check(certificate, &cert::network(common)?, OsHost::new().unix_time().unwrap_or_default())?;
    }
    let authority = authorities.policy(common.name.is_some());
    let describe = || {
        let mut builder = Node::builder(name(common)).network(&common.network).ports(common.ports.as_slice());
        builder = builder.trust_policy(policy.clone());
        let authority = authority.clone();
        builder = builder.config(move |config| config.authority = authority);
        if !common.interface.is_empty() {
            builder = builder.interfaces(common.interface.iter().cloned());
        }
        if let Some(inbox) = inbox {
            builder = builder.inbox(inbox);
        }
        match &secret {
            Some(Secret::Random(secret)) => builder = builder.secret(*secret),
            Some(Secret::Passphrase(passphrase)) => builder = builder.passphrase(passphrase.as_str()),
            None => {}
        }
        if common.scan {
            builder = builder.config(|config| config.ladder[Rung::Scan] = SCANNED_A_SECOND);
        }
        builder = common.bootstrap.iter().cloned().fold(builder, NodeBuilder::bootstrap);
        if common.answer_widescan {
            builder = builder.config(|config| config.answer_widescan = true);
        }
        builder = relays.iter().cloned().fold(builder, NodeBuilder::relay);
        peers.iter().fold(builder, |builder, peer| builder.peer(*peer))
    };
    let first_start = matches!(DiskStore::stored_identity(&dir), Ok(None));
    let temporary_allowed = in_use == InUse::BeTemporary && common.data_dir.is_none();
    let node = match start_one(describe().data_dir(&dir)).await {
        Err(StartError::DataDir(DiskStoreError::InUse { .. })) if temporary_allowed => {
            output.remark("another p2pnet uses your identity, so this one has a temporary identity");
            start_one(describe()).await.map_err(NotStarted::Node)?
        }
        started => started.map_err(NotStarted::Node)?,
    };
    if first_start && secret.is_none() {
        let anyone =
            if common.bootstrap.is_empty() { "on this LAN" } else { "who knows its name and a server" };
        output.remark(&format!(
            "network {} has no secret: anyone {anyone} can join it; `p2pnet secret` makes one for --secret-file",
            text::escaped(&common.network),
        ));
    }
    Ok(node)
}

/// Says goodbye to everybody and ends the node. A second signal ends it as soon as the datagrams that say so are out.
pub(crate) async fn leave(node: Node, signals: &mut Signals, output: &Output) -> Result<(), Failure> {
    // Also when nobody listens any more, the peers should hear it.
    let told = output.tell(|at| Line::new("leaving", at), Word::Quiet("leaving"), "");
    leave_quietly(node, signals).await;
    told
}

/// The same, where it is nobody's business here.
pub(crate) async fn leave_quietly(node: Node, signals: &mut Signals) {
    let mut shutdown = pin!(tokio::time::timeout(LEAVE_WITHIN, node.shutdown()));
    // The shutdown first: two signals that come together must not keep the node from saying anything.
    tokio::select! {
        biased;
        _ = &mut shutdown => {}
        () = signals.stop() => {
            let _ = tokio::time::timeout(FAREWELLS, shutdown).await;
        }
    }
}

/// The data directory to use.
pub(crate) fn data_dir(common: &Common) -> Result<PathBuf, Failure> {
    if let Some(dir) = &common.data_dir {
        return Ok(dir.clone());
    }
    // The XDG base directory specification: a relative path there is to be ignored.
    let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        xdg.or_else(|| Some(std::env::home_dir()?.join(".local/share")).filter(|path| path.is_absolute()));
    let base =
        base.ok_or_else(|| Failure::BadInput("there is no home directory; give a --data-dir".into()))?;
    Ok(base.join("p2pnet"))
}

/// What a node that stopped by itself means for a command.
pub(crate) fn stopped() -> Failure {
    Failure::NotAchieved("the node has stopped by itself; see the log above".into())
}

async fn start_one(builder: NodeBuilder) -> Result<Node, StartError> {
    builder.start().await
}

/// Most of what keeps a node from starting is something that the user can name differently.
fn failure(error: StartError) -> Failure {
    let message = error.to_string();
    match error {
        StartError::Interfaces(_)
        | StartError::PrivatePort(_)
        | StartError::Entropy(_)
        | StartError::NoInterface => Failure::NotAchieved(message),
        _ => Failure::BadInput(message),
    }
}

/// The name that the node has.
pub(crate) fn name(common: &Common) -> String {
    common.name.clone().unwrap_or_else(host_name)
}

/// The host's name, in the form that a node's name must have.
fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let name = name.get(..name.floor_char_boundary(64)).unwrap_or_default();
    if name.is_empty() { "p2pnet".to_owned() } else { name.to_owned() }
}

/// The addresses of peers given by hand.
pub(crate) async fn resolve(peers: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut addresses = Vec::new();
    for peer in peers {
        let wrong =
            |why: io::Error| Failure::BadInput(format!("cannot dial --peer {peer}: {why}; give HOST:PORT"));
        let found = tokio::net::lookup_host(peer).await.map_err(wrong)?;
        // Links are made by IPv4 only.
        let before = addresses.len();
        addresses.extend(found.filter(SocketAddr::is_ipv4));
        if addresses.len() == before {
            return Err(wrong(io::Error::other("it has no IPv4 address")));
        }
    }
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

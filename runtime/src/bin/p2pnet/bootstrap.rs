//! `p2pnet bootstrap`: a bootstrap server, and what its operator asks it.

mod asking;
mod open_files;
mod operating;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use p2pnet::Identity;
use p2pnet_bootstrap::private_file::{self, PrivateFileError};
use p2pnet_bootstrap::sources::Rate;
use p2pnet_bootstrap::{Config, Mode, Server, TOKEN_FILE};
use zeroize::Zeroizing;

use crate::cert;
use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::Common;
use crate::output::Output;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  p2pnet bootstrap serve --listen 0.0.0.0:8010 --data /var/lib/p2pnet-bootstrap
  p2pnet up --bootstrap http://192.0.2.1:8010      on a node, with the server's address
  p2pnet bootstrap serve --data DIR --dashboard 127.0.0.1:8011
  p2pnet bootstrap peers --token-file /var/lib/p2pnet-bootstrap/operator.token
  p2pnet bootstrap issue-task --token-file DIR/operator.token --network home block-peer PEER")]
pub(crate) enum BootstrapCommand {
    /// Be a bootstrap server until Ctrl-C
    Serve(ServeArguments),
    /// Show what a server is, which authority it has, and how it does
    Status(operating::StatusArguments),
    /// Show the peers that a server knows
    Peers(operating::ListArguments),
    /// Show whose record a server gave to whom
    Introductions(operating::ListArguments),
    /// Show what happened at a server
    Log(operating::ListArguments),
    /// Show the certificates that a server has signed
    Certs(operating::ListArguments),
    /// Have a server sign a certificate, on the network that --network and --secret-file say
    Cert(operating::CertArguments),
    /// Show the tasks that a server passes on, and what nodes said became of them
    Tasks(operating::ListArguments),
    /// Have a server pass a signed task on
    GiveTask(operating::TaskArguments),
    /// Have a server sign a task and pass it on, on the network that --network and --secret-file say
    IssueTask(operating::IssueArguments),
}

#[derive(Args, Debug)]
pub(crate) struct ServeArguments {
    /// Where nodes reach it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8010")]
    listen: SocketAddr,
    /// What it is to nodes: trustless passes signed records on, authority also signs certificates and tasks
    #[arg(long, value_enum, default_value = "trustless")]
    mode: ModeName,
    /// Where it keeps records, logs and keys; made if it does not exist
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Records to hold; beyond that who was heard longest ago goes for a newcomer
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_records: u32,
    /// Connections at once; one source may hold a quarter of them
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(4..=1_000_000))]
    max_connections: u32,
    /// Requests a second from one source: an IPv4 address, or an IPv6 /64
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Requests at once from one source, after a rest
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: u32,
    /// Where the operator's dashboard is. It is not encrypted: on loopback, or behind a proxy that encrypts
    #[arg(long, value_name = "ADDRESS:PORT")]
    dashboard: Option<SocketAddr>,
    /// How long a login to the dashboard lasts: 1s to 24h
    #[arg(long, value_name = "DURATION", value_parser = session, default_value = "1h", requires = "dashboard")]
    dashboard_session: Duration,
    /// Do not tell nodes where they were seen
    #[arg(long)]
    no_observed: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    Trustless,
    Authority,
}

/// Runs one of the commands.
pub(crate) async fn run(common: &Common, command: &BootstrapCommand, output: &Output) -> Result<(), Failure> {
    match command {
        BootstrapCommand::Serve(arguments) => serve(arguments, output).await,
        BootstrapCommand::Status(arguments) => operating::status(arguments, output).await,
        BootstrapCommand::Introductions(arguments) => operating::introductions(arguments, output).await,
        BootstrapCommand::Peers(arguments) => operating::peers(arguments, output).await,
        BootstrapCommand::Log(arguments) => operating::log(arguments, output).await,
        BootstrapCommand::Certs(arguments) => operating::certs(arguments, output).await,
        BootstrapCommand::Cert(arguments) => operating::cert(common, arguments, output).await,
        BootstrapCommand::Tasks(arguments) => operating::tasks(arguments, output).await,
        BootstrapCommand::GiveTask(arguments) => operating::give_task(arguments, output).await,
        BootstrapCommand::IssueTask(arguments) => operating::issue_task(common, arguments, output).await,
    }
}

async fn serve(arguments: &ServeArguments, output: &Output) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut config = Config::new(arguments.listen, &arguments.data);
    if let ModeName::Authority = arguments.mode {
        let made = private_file::create_directory(&arguments.data);
        made.map_err(|error| Failure::BadInput(error.to_string()))?;
        config.mode = Mode::Authority(Box::new(authority(&arguments.data)?));
    }
    let (mode, authority) =
        (config.mode.name(), config.mode.authority().map(|authority| authority.to_string()));
    config.max_records = arguments.max_records as usize;
    let connections = arguments.max_connections as usize;
    config.max_connections = open_files::connections_that_fit(connections);
    if config.max_connections < connections {
        output.remark(&format!(
            "{} connections at once, not {connections}: this process may open no more files; raise its limit (ulimit -Hn)",
            config.max_connections
        ));
    }
    config.rate = Rate { per_second: arguments.rate, burst: arguments.burst };
    config.dashboard = arguments.dashboard;
    config.session = arguments.dashboard_session;
    config.tells_observed = !arguments.no_observed;
    let server = Server::bind(config).await.map_err(|error| Failure::BadInput(error.to_string()))?;
    let url = format!("http://{}", server.local_addr());
    let token = arguments.data.join(TOKEN_FILE);
    let dashboard = server.dashboard_addr().map(|address| format!("http://{address}"));
    let object = |at| {
        let line = Line::new("serving", at).text("url", &url).text("mode", mode);
        let line = line.maybe("dashboard", dashboard.as_ref());
        line.maybe("authority", authority.as_ref()).text("token_file", &token.to_string_lossy())
    };
    output.tell(object, Word::Quiet("serving"), &format!("{url} as {mode}, until Ctrl-C"))?;
    if let Some(authority) = &authority {
        output.line(&format!("authority {authority}"))?;
    }
    if let Some(dashboard) = &dashboard {
        output.line(&format!("dashboard {dashboard}"))?;
    }
    output.line(&format!("the operator's token is in {}", crate::text::escaped(&token.to_string_lossy())))?;
    let stop = async move { signals.stop().await };
    server.serve(stop).await.map_err(|error| Failure::NotAchieved(error.to_string()))
}

/// How long a login lasts.
fn session(text: &str) -> Result<Duration, String> {
    let lasts = crate::duration::parse(text)?;
    let range = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    range.contains(&lasts).then_some(lasts).ok_or_else(|| "give 1s to 24h".to_owned())
}

/// The authority's key of a data directory; made if there is none.
fn authority(data: &Path) -> Result<Identity, Failure> {
    let path = data.join("authority.key");
    let bad = |error: PrivateFileError| Failure::BadInput(error.to_string());
    let text = match private_file::read(&path).map_err(bad)? {
        Some(text) => Zeroizing::new(text),
        None => {
            let text = cert::new_key()?;
            private_file::create(&path, &format!("{}\n", *text)).map_err(bad)?;
            text
        }
    };
    let damaged = "it should hold what `p2pnet cert new` prints";
    cert::parse(&text).ok_or_else(|| bad(PrivateFileError::Damaged { path, expected: damaged }))
}

//! `p2pnet bootstrap`: a bootstrap server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use p2pnet_bootstrap::sources::Rate;
use p2pnet_bootstrap::{Config, Mode, Server};

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::output::Output;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  p2pnet bootstrap serve --listen 0.0.0.0:8010 --data /var/lib/p2pnet-bootstrap
  p2pnet up --bootstrap http://192.0.2.1:8010      on a node, with the server's address")]
pub(crate) enum BootstrapCommand {
    /// Be a bootstrap server until Ctrl-C
    Serve(ServeArguments),
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
pub(crate) async fn run(command: &BootstrapCommand, output: &Output) -> Result<(), Failure> {
    match command {
        BootstrapCommand::Serve(arguments) => serve(arguments, output).await,
    }
}

async fn serve(arguments: &ServeArguments, output: &Output) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut config = Config::new(arguments.listen, &arguments.data);
    let mode = match arguments.mode {
        ModeName::Trustless => Mode::Trustless,
        ModeName::Authority => Mode::Authority,
    };
    config.mode = mode;
    config.max_records = arguments.max_records as usize;
    config.max_connections = arguments.max_connections as usize;
    config.rate = Rate { per_second: arguments.rate, burst: arguments.burst };
    config.tells_observed = !arguments.no_observed;
    let server = Server::bind(config).await.map_err(|error| Failure::BadInput(error.to_string()))?;
    let (url, mode) = (format!("http://{}", server.local_addr()), mode.name());
    let object = |at| Line::new("serving", at).text("url", &url).text("mode", mode);
    output.tell(object, Word::Quiet("serving"), &format!("{url} as {mode}, until Ctrl-C"))?;
    let stop = async move { signals.stop().await };
    server.serve(stop).await.map_err(|error| Failure::NotAchieved(error.to_string()))
}

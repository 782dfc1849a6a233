//! p2pnet beside others, in turns: how soon hosts find each other, how fast a file moves, how many messages reach all.
//!
//! Everything happens in network namespaces that this makes; no packet leaves them.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

mod broadcast;
mod child;
mod discovery;
mod transfer;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

/// p2pnet beside others: how soon hosts find each other, how fast a file moves, how many messages reach all.
///
/// Needs root and iproute2 (and nftables for `discovery`): it makes its own network namespaces, and only they see
/// traffic. Without a subcommand it is `discovery`.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    discovery: discovery::Arguments,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How soon two hosts that start together have found each other, beside rust-libp2p's mDNS
    Discovery(discovery::Arguments),
    /// How fast a file moves on loopback, beside raw TCP, iroh-blobs and a libp2p stream
    Transfer(transfer::Arguments),
    /// How many messages to all are delivered among nodes of one process, beside iroh-gossip and gossipsub
    Broadcast(broadcast::Arguments),
    /// What p2pnet's discovery is compared with; only for `compare` itself to start
    #[command(hide = true)]
    RivalMdns {
        /// Ends after so many seconds
        #[arg(long, value_name = "SECONDS")]
        lifetime: u32,
    },
    /// One transfer; only for `compare` itself to start
    #[command(hide = true)]
    TransferOnce(transfer::Once),
    /// One load of messages; only for `compare` itself to start
    #[command(hide = true)]
    BroadcastOnce(broadcast::Once),
}

fn main() -> ExitCode {
    let began = Instant::now();
    let arguments = Arguments::parse();
    let outcome = match &arguments.what {
        None => discovery::compare(&arguments.discovery),
        Some(What::Discovery(arguments)) => discovery::compare(arguments),
        Some(What::Transfer(arguments)) => transfer::compare(arguments),
        Some(What::Broadcast(arguments)) => broadcast::compare(arguments),
        Some(What::RivalMdns { lifetime }) => discovery::rival(began, *lifetime),
        Some(What::TransferOnce(once)) => child::run(transfer::once(once)),
        Some(What::BroadcastOnce(once)) => child::run(broadcast::once(once)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

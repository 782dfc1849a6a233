//! The `p2pnet` program: the library's node on the command line.

mod asking;
mod authorities;
#[cfg(feature = "bootstrap-server")]
mod bootstrap;
mod cert;
mod decide;
mod demo;
mod doctor;
mod duration;
mod failure;
mod files;
mod human;
mod id;
mod incoming;
mod json;
mod letting;
mod options;
mod output;
mod peers;
mod receive;
mod relays;
mod running;
mod secret;
mod send;
mod session;
mod signals;
mod store;
mod task;
mod text;
mod up;
mod why;
mod widescan;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::time::Instant;

use decide::Verb;
use failure::Failure;
use options::{Cli, Command};
use output::Output;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return options::report(&error, started),
    };
    let mut output = Output::new(cli.common.json, started);
    output.log_to_stderr(cli.common.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.end(Err(Failure::NotAchieved(format!("the system gives no threads: {error}"))));
        }
    };
    let outcome = runtime.block_on(run(&cli, &mut output));
    // What still runs has lost its purpose; a file system that hangs must not keep the program.
    runtime.shutdown_timeout(Duration::from_millis(300));
    output.end(outcome)
}

async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Demo => demo::run(output).await,
        Command::Up(arguments) => up::run(&cli.common, arguments, output).await,
        Command::Send(arguments) => send::run(&cli.common, arguments, output).await,
        Command::Receive(arguments) => receive::run(&cli.common, arguments, output).await,
        Command::Peers(arguments) => peers::run(&cli.common, arguments, output).await,
        Command::Why(arguments) => why::run(&cli.common, arguments, output).await,
        Command::Doctor(arguments) => doctor::run(&cli.common, arguments, output).await,
        Command::Trust(arguments) => decide::run(&cli.common, Verb::Trust, &arguments.who, output).await,
        Command::Distrust(arguments) => {
            decide::run(&cli.common, Verb::Distrust, &arguments.who, output).await
        }
        Command::Block(arguments) => decide::run(&cli.common, Verb::Block, &arguments.who, output).await,
        Command::Unblock(arguments) => decide::run(&cli.common, Verb::Unblock, &arguments.who, output).await,
        Command::Forget(arguments) => decide::run(&cli.common, Verb::Forget, &arguments.who, output).await,
        Command::Decisions => decide::list(&cli.common, output).await,
        #[cfg(feature = "bootstrap-server")]
        Command::Bootstrap(command) => bootstrap::run(&cli.common, command, output).await,
        Command::Cert(command) => cert::run(&cli.common, command, output),
        Command::Task(command) => task::run(&cli.common, command, output).await,
        Command::Store(command) => store::run(&cli.common, command, output),
        Command::Id => id::run(&cli.common, output).await,
        Command::Secret => secret::run(output),
        Command::Widescan(arguments) => widescan::run(&cli.common, arguments, output).await,
    }
}

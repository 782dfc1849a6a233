//! `p2pnet task`: an authority's tasks for the nodes of a network.

pub(crate) mod kinds;
mod words;

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use p2pnet::control::{Answer, Ask, Client};
use p2pnet::engine::{MAX_TASK, MAX_TASK_AHEAD};
use p2pnet::seam::Host;
use p2pnet::{NetworkTask, OsHost, PeerId, TaskTarget};

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::Common;
use crate::output::Output;
use crate::signals::Signals;
use crate::text::{escaped, span};
use crate::{cert, duration, running, session};

pub(crate) use self::words::{fields, parts, shown};

/// What to do with tasks.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  p2pnet cert new > operator.key                                  once; its first line names the authority
  p2pnet up --authority ID                                        a node that takes tasks from it
  p2pnet task issue --key operator.key --give block-peer PEER     have all nodes block a peer, beginning here
  p2pnet task issue --key operator.key --to PEER set-identifier desk-4 > name.task
  p2pnet task show name.task
  p2pnet task give name.task                                      hand it to the node that runs here

A bootstrap server hands tasks out as well: see `p2pnet bootstrap give-task` and `p2pnet bootstrap issue-task`.")]
pub(crate) enum TaskCommand {
    /// Sign a task for the nodes of the network that --network and --secret-file say
    Issue(IssueArguments),
    /// Show what a task asks for, and whether its signature is good
    Show(TaskText),
    /// Hand a task to the node that runs with this data directory
    Give(TaskText),
}

#[derive(Args, Debug)]
pub(crate) struct IssueArguments {
    /// The authority's key: what `p2pnet cert new` prints
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whom it is for [default: every node that takes tasks from the authority]
    #[arg(long, value_name = "PEER", global = true)]
    to: Option<PeerId>,
    /// How long it is good, at most 168h
    #[arg(long = "expires", value_name = "DURATION", value_parser = duration::parse, default_value = "1h", global = true)]
    lasts: Duration,
    /// Its number: of two tasks about the same the one with the higher number counts [default: the time in milliseconds]
    #[arg(long, value_name = "N", global = true)]
    sequence: Option<u64>,
    /// Hand it to the node that runs with this data directory, and do not print it
    #[arg(long, global = true)]
    give: bool,
    /// What to ask for
    #[command(subcommand)]
    what: kinds::What,
}

#[derive(Args, Debug)]
pub(crate) struct TaskText {
    /// The file that holds what `p2pnet task issue` printed; - is standard input; or the hexadecimal digits themselves
    #[arg(value_name = "FILE")]
    task: String,
}

/// Does what the command line says.
pub(crate) async fn run(common: &Common, command: &TaskCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        TaskCommand::Issue(arguments) => {
            let task = issue(common, arguments)?;
            if arguments.give { give(common, &task, output).await } else { print(&task, output) }
        }
        TaskCommand::Show(text) => show(&text.read()?, output),
        TaskCommand::Give(text) => give(common, &text.read()?, output).await,
    }
}

fn issue(common: &Common, arguments: &IssueArguments) -> Result<NetworkTask, Failure> {
    let key = cert::read(&arguments.key)?;
    let network = cert::network(common)?.tag();
    let expires = end(arguments.lasts)?;
    let target = arguments.to.map_or(TaskTarget::Everyone, TaskTarget::Peer);
    let sequence = arguments.sequence.unwrap_or_else(millis);
    NetworkTask::issue(&key, network, target, sequence, expires, arguments.what.kind())
        .map_err(|error| Failure::BadInput(error.to_string()))
}

/// When a task that begins now and lasts so long ends, in seconds since the start of 1970.
pub(crate) fn end(lasts: Duration) -> Result<u64, Failure> {
    if lasts.is_zero() || lasts.as_secs() > MAX_TASK_AHEAD {
        return Err(Failure::BadInput(
            "--expires: give up to 168h; nodes take no task that ends later".into(),
        ));
    }
    let now = OsHost::new().unix_time();
    let now = now.ok_or_else(|| Failure::NotAchieved("the host has no clock".into()))?;
    Ok(now.saturating_add(lasts.as_secs().max(1)))
}

/// The time in milliseconds since the start of 1970.
fn millis() -> u64 {
    u64::try_from(OsHost::new().wall_clock().as_millis()).unwrap_or(u64::MAX)
}

fn print(task: &NetworkTask, output: &Output) -> Result<(), Failure> {
    let hex = HEXLOWER.encode(&task.to_bytes());
    output.object(|at| object("task", at, task).text("task", &hex))?;
    output.line(&format!("# {} for {}, of {}", shown(task.kind()), task.target(), task.issuer()))?;
    output.line(&hex)
}

fn show(task: &NetworkTask, output: &Output) -> Result<(), Failure> {
    let signed = task.is_signed();
    output.object(|at| object("task", at, task).value("signed", &signed))?;
    let now = OsHost::new().unix_time().unwrap_or_default();
    let left = task.expires().saturating_sub(now).saturating_mul(1000);
    let ends = if left == 0 { "has expired".to_owned() } else { format!("expires in {}", span(left)) };
    output.line(&format!("asks for   {}", shown(task.kind())))?;
    output.line(&format!("of         {}", task.target()))?;
    output.line(&format!("issued by  {}", task.issuer()))?;
    output.line(&format!("network    {}", HEXLOWER.encode(&task.network())))?;
    output.line(&format!("sequence   {}, {ends}", task.sequence()))?;
    output.line(&format!("id         {}", task.id()))?;
    match signed {
        true => output.line("signed     yes"),
        false => Err(Failure::NotAchieved("the issuer did not sign this task".into())),
    }
}

fn object(event: &str, at: Duration, task: &NetworkTask) -> Line {
    let line = Line::new(event, at).text("id", &task.id().to_string());
    let line =
        line.text("issuer", &task.issuer().to_string()).text("network", &HEXLOWER.encode(&task.network()));
    let line = line.text("target", &task.target().to_string()).number("sequence", task.sequence());
    fields(line.number("expires", task.expires()), task.kind())
}

async fn give(common: &Common, task: &NetworkTask, output: &mut Output) -> Result<(), Failure> {
    let dir = session::data_dir(common)?;
    let mut signals = Signals::new()?;
    let Some(mut client) = Client::connect(&dir).await? else {
        return Err(Failure::NotAchieved(format!(
            "no node runs with the data directory {}; start `p2pnet up --authority {}`",
            escaped(&dir.display().to_string()),
            task.issuer()
        )));
    };
    let ask = Ask::Task { task: HEXLOWER.encode(&task.to_bytes()) };
    running::ask(&mut client, &ask, &mut signals, output, |answer, output| match answer {
        Answer::Task { id } => {
            let rest = format!("{}, {}", shown(task.kind()), escaped(&id));
            output.tell(|at| Line::new("task_given", at).text("id", &id), Word::Good("given"), &rest)
        }
        _ => Ok(()),
    })
    .await
}

/// Reads no more than a task and its remarks have.
fn bounded(from: impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    from.take(4 * MAX_TASK as u64 + 16 * 1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::BadInput(format!("{name} cannot be read: {error}")))?;
    Ok(text)
}

impl TaskText {
    /// Reads what [`print`] printed: the line that is no remark.
    pub(crate) fn read(&self) -> Result<NetworkTask, Failure> {
        let digits = self.task.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_task = digits && !std::path::Path::new(&self.task).exists();
        let text = match self.task.as_str() {
            "-" => bounded(std::io::stdin().lock(), "standard input")?,
            digits if is_task => digits.to_owned(),
            name => {
                let shown = escaped(name);
                let file = std::fs::File::open(name);
                let file =
                    file.map_err(|error| Failure::BadInput(format!("{shown} cannot be read: {error}")))?;
                bounded(file, &shown)?
            }
        };
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let bytes = HEXLOWER_PERMISSIVE.decode(line.unwrap_or_default().as_bytes());
        let wrong = || Failure::BadInput("this is not what `p2pnet task issue` prints; copy it again".into());
        let bytes = bytes.map_err(|_| wrong())?;
        NetworkTask::parse(&bytes).map_err(|_| wrong())
    }
}

//! What the operator of a bootstrap server can ask it for and tell it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use data_encoding::{BASE64, HEXLOWER};
use p2pnet::bootstrap::HttpServer;
use p2pnet::seam::Host;
use p2pnet::{OsHost, PeerId};
use serde_json::{Value, json};

use super::asking::Asking;
use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::Common;
use crate::output::Output;
use crate::task::kinds::What;
use crate::task::{self, TaskText, shown};
use crate::text::{ago, escaped};
use crate::{cert, duration};

/// Which server, and the proof that one is its operator.
#[derive(Args, Debug)]
pub(crate) struct Reach {
    /// The server's address. HTTP is not encrypted: ask on the server's own host, or through a tunnel
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8010")]
    server: HttpServer,
    /// The operator's token: the file operator.token of the server's data directory
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
}

impl Reach {
    fn asking(&self) -> Result<Asking, Failure> {
        Asking::new(&self.server, &self.token_file)
    }
}

#[derive(Args, Debug)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    reach: Reach,
    /// How many, the last first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    want: u16,
}

#[derive(Args, Debug)]
pub(crate) struct CertArguments {
    #[command(flatten)]
    reach: Reach,
    /// The peer's whole id, as `p2pnet id` shows it on its machine
    #[arg(value_name = "PEER")]
    subject: PeerId,
    /// Something that the peer may do, for applications; may be given several times
    #[arg(long, value_name = "WORD")]
    can: Vec<String>,
    /// How long it is good, such as 720h [default: for ever]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lasts: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct TaskArguments {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    task: TaskText,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
pub(crate) struct IssueArguments {
    #[command(flatten)]
    reach: Reach,
    /// Whom it is for [default: every node that takes tasks from the server's authority]
    #[arg(long, value_name = "PEER", global = true)]
    to: Option<PeerId>,
    /// How long it is good, at most 168h
    #[arg(long = "expires", value_name = "DURATION", value_parser = duration::parse, default_value = "1h", global = true)]
    lasts: Duration,
    /// What to ask for
    #[command(subcommand)]
    what: What,
}

/// What the server is, its authority, and whether it is well.
pub(super) async fn status(arguments: &StatusArguments, output: &Output) -> Result<(), Failure> {
    let asking = arguments.reach.asking()?;
    let (authority, health) = (asking.get("/v1/authority").await?, asking.get("/health").await?);
    let object = |at| {
        let line = Line::new("server", at).value("mode", &authority["mode"]);
        let line = line.value("authority", &authority["authority"]).value("status", &health["status"]);
        line.value("records", &health["records"]).value("restoring", &health["restoring"])
    };
    output.object(object)?;
    output.line(&format!("mode       {}", text(&authority, "mode")))?;
    output.line(&format!("authority  {}", text(&authority, "authority")))?;
    let restoring = if health["restoring"] == true { ", reading more back" } else { "" };
    output.line(&format!("records    {}{restoring}", number(&health, "records")))?;
    output.line(&format!("status     {}", text(&health, "status")))
}

/// Whose record was given to whom, the last first.
pub(super) async fn introductions(arguments: &ListArguments, output: &Output) -> Result<(), Failure> {
    let mut answer = arguments.reach.asking()?.get("/v1/introductions").await?;
    if let Some(all) = answer["introductions"].as_array_mut() {
        all.truncate(usize::from(arguments.want));
    }
    list(&answer, "introductions", "introduction", output, |entry| {
        format!("{} to {}, network {}", text(entry, "of"), text(entry, "to"), text(entry, "network"))
    })
}

/// Peers of all networks, by network and id.
pub(super) async fn peers(arguments: &ListArguments, output: &Output) -> Result<(), Failure> {
    let answer = arguments.reach.asking()?.get(&format!("/v1/peers?want={}", arguments.want)).await?;
    list(&answer, "peers", "peer", output, |peer| {
        let heard = ago(number(peer, "heard_secs").saturating_mul(1000));
        let (name, kind) = (text(peer, "name"), text(peer, "kind"));
        format!(
            "{} {name}, {kind}, heard {heard} from {}, network {}",
            text(peer, "peer"),
            text(peer, "from"),
            text(peer, "network")
        )
    })?;
    output.line(&format!("{} in all", number(&answer, "total")))
}

/// The log, the last line first.
pub(super) async fn log(arguments: &ListArguments, output: &Output) -> Result<(), Failure> {
    let answer = arguments.reach.asking()?.get(&format!("/v1/log?want={}", arguments.want)).await?;
    let now = OsHost::new().unix_time().unwrap_or_default().saturating_mul(1000);
    list(&answer, "log", "log", output, |line| {
        let when = ago(now.saturating_sub(number(line, "at")));
        let rest = [text(line, "peer"), text(line, "from"), text(line, "text")];
        let rest: Vec<String> = rest.into_iter().filter(|part| part != "-").collect();
        format!("{} {when} {} {}", number(line, "number"), text(line, "what"), rest.join(" "))
    })
}

/// The signing history, the last certificate first.
pub(super) async fn certs(arguments: &ListArguments, output: &Output) -> Result<(), Failure> {
    let answer = arguments.reach.asking()?.get(&format!("/v1/certificates?want={}", arguments.want)).await?;
    list(&answer, "certificates", "certificate", output, |entry| {
        let subject = text(entry, "subject");
        format!(
            "{} {subject}, network {}, asked for by {}",
            number(entry, "number"),
            text(entry, "network"),
            text(entry, "from")
        )
    })
}

/// Tasks that wait, and the last reports.
pub(super) async fn tasks(arguments: &ListArguments, output: &Output) -> Result<(), Failure> {
    let answer = arguments.reach.asking()?.get(&format!("/v1/tasks?want={}", arguments.want)).await?;
    let now = OsHost::new().unix_time().unwrap_or_default();
    list(&answer, "tasks", "task", output, |task| {
        let target = task["target"].as_str().map_or_else(|| "everybody".to_owned(), escaped);
        format!(
            "{} {} for {target}, network {}, for {} s more",
            number(task, "sequence"),
            text(task, "kind"),
            text(task, "network"),
            number(task, "expires").saturating_sub(now)
        )
    })?;
    list(&answer, "reports", "report", output, |report| {
        let (kind, sequence) = (text(report, "kind"), number(report, "sequence"));
        format!("report of {} on {kind} {sequence}: {}", text(report, "peer"), text(report, "text"))
    })
}

/// Has a certificate signed, and prints it as `p2pnet cert issue` does.
pub(super) async fn cert(common: &Common, arguments: &CertArguments, output: &Output) -> Result<(), Failure> {
    let tag = HEXLOWER.encode(&cert::network(common)?.tag());
    let body = json!({
        "network": tag,
        "subject": arguments.subject.to_string(),
        "capabilities": arguments.can,
        "expires": arguments.lasts.map(until),
    });
    let answer = arguments.reach.asking()?.post("/v1/certificates", &body).await?;
    let bytes = answer["certificate"].as_str().and_then(|text| BASE64.decode(text.as_bytes()).ok());
    let authority = answer["authority"].as_str().and_then(|id| id.parse::<PeerId>().ok());
    let (Some(bytes), Some(authority)) = (bytes, authority) else {
        return Err(Failure::NotAchieved("the server's answer has no certificate".into()));
    };
    let (authority, hex) = (authority.to_string(), HEXLOWER.encode(&bytes));
    if output.is_json() {
        let object = |at| {
            let line = Line::new("certificate", at).text("authority", &authority);
            line.text("peer", &arguments.subject.to_string()).text("certificate", &hex)
        };
        return output.tell(object, Word::Quiet("certificate"), "");
    }
    output.line(&format!("# for {}, in network {}", arguments.subject, escaped(&common.network)))?;
    output.line(&format!("authority {authority}"))?;
    output.line(&format!("certificate {hex}"))
}

/// Has a signed task passed on.
pub(super) async fn give_task(arguments: &TaskArguments, output: &Output) -> Result<(), Failure> {
    let task = arguments.task.read()?;
    let body = json!({"task": BASE64.encode(&task.to_bytes())});
    arguments.reach.asking()?.post("/v1/tasks", &body).await?;
    let object = |at| {
        Line::new("task_given", at).number("sequence", task.sequence()).text("id", &task.id().to_string())
    };
    let rest = format!("{}: nodes get it with their next announcement", shown(task.kind()));
    output.tell(object, Word::Quiet("given"), &rest)
}

/// Has the server sign a task, and pass it on.
pub(super) async fn issue_task(
    common: &Common,
    arguments: &IssueArguments,
    output: &Output,
) -> Result<(), Failure> {
    let kind = arguments.what.kind();
    let body = json!({
        "network": HEXLOWER.encode(&cert::network(common)?.tag()),
        "target": arguments.to.map(|peer| peer.to_string()),
        "expires": task::end(arguments.lasts)?,
        "kind": kind.as_str(),
        "of": task::parts(&kind),
    });
    let answer = arguments.reach.asking()?.post("/v1/tasks", &body).await?;
    let object =
        |at| Line::new("task_given", at).value("sequence", &answer["sequence"]).value("id", &answer["id"]);
    let rest = format!(
        "{}, as {}: nodes get it with their next announcement",
        shown(&kind),
        number(&answer, "sequence")
    );
    output.tell(object, Word::Quiet("issued"), &rest)
}

fn until(lasts: Duration) -> u64 {
    OsHost::new().unix_time().unwrap_or_default().saturating_add(lasts.as_secs())
}

/// Prints a list of an answer: each entry as it is for programs, as a line for people.
fn list(
    answer: &Value,
    list: &str,
    event: &str,
    output: &Output,
    line: impl Fn(&Value) -> String,
) -> Result<(), Failure> {
    for entry in answer[list].as_array().into_iter().flatten() {
        output.object(|at| Line::new(event, at).value("entry", entry))?;
        output.line(&line(entry))?;
    }
    Ok(())
}

/// A text that may hold anything, for a line.
fn text(entry: &Value, field: &str) -> String {
    entry[field].as_str().map_or_else(|| "-".to_owned(), escaped)
}

fn number(entry: &Value, field: &str) -> u64 {
    entry[field].as_u64().unwrap_or_default()
}

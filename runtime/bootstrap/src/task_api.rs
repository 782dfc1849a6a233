//! The operator's tasks: what is signed elsewhere is passed on, and what is not, the server signs with its authority's key.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, HEXLOWER};
use p2pnet_engine::{Identity, MAX_TASK, MAX_TASK_AHEAD, NetworkTask, TaskTarget};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::operator::{self, Operator, Page};
use crate::refusal::Refusal;
use crate::request::{self, Client};
use crate::state::Shared;
use crate::task_json::{self, Parts};
use crate::tasks::Task;

/// A signed task, or what to sign.
#[derive(Deserialize)]
pub(crate) struct TaskRequest {
    task: Option<String>,
    network: Option<String>,
    target: Option<String>,
    expires: Option<u64>,
    kind: Option<String>,
    #[serde(default)]
    of: Parts,
}

pub(crate) async fn give(
    State(shared): State<Arc<Shared>>,
    _: Operator,
    Extension(Client(client)): Extension<Client>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let key = operator::key(&shared)?;
    let asked: TaskRequest = request::json(request, shared.config.patience).await?;
    let from = client.ip().to_canonical();
    let signed = match &asked.task {
        Some(task) => {
            let signed = read(task, key)?;
            ends_in_time(signed.expires(), shared.clock.now())?;
            shared.give_task(from, |_, _| Ok(signed))?
        }
        None => {
            let missing = |name: &str| {
                let message = "give a signed `task`, or `network`, `kind` and `expires`";
                Refusal::bad("bad-task", format!("{message}; `{name}` is missing"))
            };
            let of = |text: &Option<String>, name| text.clone().ok_or_else(|| missing(name));
            let network = request::tag(&of(&asked.network, "network")?)?;
            let kind = task_json::kind(&of(&asked.kind, "kind")?, &asked.of)?;
            let target = asked.target.as_deref().map(request::peer).transpose()?;
            let target = target.map_or(TaskTarget::Everyone, TaskTarget::Peer);
            let expires = asked.expires.ok_or_else(|| missing("expires"))?;
            ends_in_time(expires, shared.clock.now())?;
            shared.give_task(from, |tasks, now| {
                let sequence = tasks.next_sequence(now, &network);
                let signed = NetworkTask::issue(key, network, target, sequence, expires, kind);
                signed.map_err(|error| Refusal::bad("bad-task", error.to_string()))
            })?
        }
    };
    operator::durable(&shared).await?;
    let answer = json!({
        "id": signed.id().to_string(),
        "sequence": signed.sequence(),
        "task": BASE64.encode(&signed.to_bytes()),
    });
    Ok(Json(answer).into_response())
}

/// Reads a task that this authority has signed.
fn read(text: &str, key: &Identity) -> Result<NetworkTask, Refusal> {
    let bytes = request::base64(text, MAX_TASK, "`task`")?;
    let signed = NetworkTask::parse(&bytes);
    let signed = signed.map_err(|error| Refusal::bad("bad-task", format!("`task`: {error}")))?;
    if signed.issuer() != key.peer_id() {
        let message = format!("`task` is of the authority {}, and this server is another", signed.issuer());
        return Err(Refusal::bad("wrong-issuer", message));
    }
    if !signed.is_signed() {
        return Err(Refusal::bad("bad-signature", "`task` was changed after it was signed"));
    }
    Ok(signed)
}

fn ends_in_time(expires: u64, now: u64) -> Result<(), Refusal> {
    if expires > (now / 1000).saturating_add(MAX_TASK_AHEAD) {
        return Err(Refusal::bad("too-far-ahead", "`expires` is more than a week ahead"));
    }
    Ok(())
}

pub(crate) async fn tasks(
    State(shared): State<Arc<Shared>>,
    _: Operator,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (_, want) = operator::page(query)?;
    let now = shared.clock.now();
    let state = shared.state();
    // Late reports of those that have expired are still taken, but they are given to nobody.
    let held = state.tasks.all().filter(|task| !task.signed.is_expired(now / 1000));
    let mut held: Vec<&Task> = held.collect();
    let total = held.len();
    held.sort_by_key(|task| std::cmp::Reverse(task.given));
    let tasks: Vec<Value> = held.into_iter().take(want).map(task).collect();
    let reports = state.tasks.reports().take(want).map(|report| {
        let outcome = report.signed.outcome();
        json!({
            "peer": report.signed.peer().to_string(),
            "network": HEXLOWER.encode(&report.signed.network()),
            "at": report.at,
            "task": report.signed.task().to_string(),
            "kind": report.kind,
            "sequence": report.sequence,
            "outcome": outcome.as_str(),
            "text": outcome.to_string(),
            "report": BASE64.encode(&report.signed.to_bytes()),
        })
    });
    let reports: Vec<Value> = reports.collect();
    drop(state);
    Ok(Json(json!({"tasks": tasks, "total": total, "reports": reports})).into_response())
}

fn task(task: &Task) -> Value {
    let signed = &task.signed;
    json!({
        "id": signed.id().to_string(),
        "network": HEXLOWER.encode(&signed.network()),
        "target": signed.target().peer().map(|peer| peer.to_string()),
        "sequence": signed.sequence(),
        "expires": signed.expires(),
        "kind": signed.kind().as_str(),
        "of": task_json::parts(signed.kind()),
        "given": task.given,
        "task": BASE64.encode(&task.bytes),
    })
}

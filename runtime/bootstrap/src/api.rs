//! The API of nodes: what each route does.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::metrics;
use crate::operator;
use crate::records::Held;
use crate::refusal::Refusal;
use crate::request::{self, Client, Want};
use crate::rows;
use crate::state::Shared;
use crate::task_api;

/// Bytes that a record may have, signature included.
const MAX_RECORD: usize = p2pnet_engine::MAX_RECORD;

/// Reports in one announcement, and bytes that each may have, signature included.
const MAX_REPORTS: usize = 64;
const MAX_REPORT: usize = p2pnet_engine::MAX_TASK_REPORT;

/// The OpenAPI description of all routes.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The method and the path of each route.
pub(crate) const ROUTES: &[(&str, &str)] = &[
    ("POST", "/v1/announce"),
    ("GET", "/v1/networks/{tag}/records"),
    ("GET", "/v1/networks/{tag}/records/{peer}"),
    ("GET", "/v1/observed"),
    ("GET", "/v1/authority"),
    ("GET", "/v1/verify/{hash}"),
    ("GET", "/v1/certificates"),
    ("POST", "/v1/certificates"),
    ("GET", "/v1/tasks"),
    ("POST", "/v1/tasks"),
    ("GET", "/v1/peers"),
    ("GET", "/v1/introductions"),
    ("GET", "/v1/log"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
];

/// What answers this method at this path.
pub(crate) fn route(method: &str, path: &str) -> MethodRouter<Arc<Shared>> {
    match (method, path) {
        ("POST", "/v1/announce") => post(announce),
        ("GET", "/v1/networks/{tag}/records") => get(sample),
        ("GET", "/v1/networks/{tag}/records/{peer}") => get(of_peer),
        ("GET", "/v1/observed") => get(observed),
        ("GET", "/v1/authority") => get(authority),
        ("GET", "/v1/verify/{hash}") => get(verify),
        ("GET", "/v1/certificates") => get(operator::certificates),
        ("POST", "/v1/certificates") => post(operator::certify),
        ("GET", "/v1/tasks") => get(task_api::tasks),
        ("POST", "/v1/tasks") => post(task_api::give),
        ("GET", "/v1/peers") => get(operator::peers),
        ("GET", "/v1/introductions") => get(operator::introductions),
        ("GET", "/v1/log") => get(operator::log),
        ("GET", "/health") => get(health),
        ("GET", "/metrics") => get(counters),
        ("GET", "/openapi.json") => get(openapi),
        _ => MethodRouter::new(),
    }
}

#[derive(Deserialize)]
struct Announcement {
    record: String,
    want: usize,
    #[serde(default)]
    reports: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    records: Vec<Record>,
    tasks: Vec<String>,
    authority: Option<String>,
    observed: Option<String>,
}

#[derive(Serialize)]
struct Record {
    record: String,
    age_secs: u32,
    from: Option<String>,
}

impl Record {
    fn of(held: &Held, now: u64) -> Record {
        Record {
            record: BASE64.encode(held.record.bytes()),
            age_secs: held.age_secs(now),
            from: held.from.map(|from| from.to_string()),
        }
    }
}

async fn announce(
    State(shared): State<Arc<Shared>>,
    Extension(Client(client)): Extension<Client>,
    request: Request<Body>,
) -> Result<Json<Answer>, Refusal> {
    let announcement: Announcement = request::json(request, shared.config.patience).await?;
    let want = request::check_want(announcement.want)?;
    let bytes = request::base64(&announcement.record, MAX_RECORD, "`record`")?;
    if announcement.reports.len() > MAX_REPORTS {
        return Err(Refusal::bad(
            "bad-reports",
            format!("there are more than {MAX_REPORTS} reports; send the rest later"),
        ));
    }
    let reports = announcement.reports.iter().map(|report| request::base64(report, MAX_REPORT, "a report"));
    let reports = reports.collect::<Result<Vec<_>, _>>()?;
    let (record, sample) = shared.announce(client.ip(), &bytes, want)?;
    let tasks = shared.tasks(&record, &reports);
    let now = shared.clock.now();
    Ok(Json(Answer {
        records: sample.iter().map(|held| Record::of(held, now)).collect(),
        tasks: tasks.iter().map(|task| BASE64.encode(task)).collect(),
        authority: shared.config.mode.authority().map(|authority| authority.to_string()),
        observed: shared.config.tells_observed.then(|| seen_at(client)),
    }))
}

async fn sample(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Want>, QueryRejection>,
) -> Result<Response, Refusal> {
    let tag = request::tag(&request::path(path)?)?;
    let want = request::want(query)?;
    let sample: Vec<Held> = shared.state().records.sample(&tag, None, want).into_iter().cloned().collect();
    Ok(records(&shared, &sample))
}

async fn of_peer(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Refusal> {
    let (tag, peer) = request::path(path)?;
    let key = (request::tag(&tag)?, request::peer(&peer)?);
    let held = shared.state().records.get(&key).cloned();
    let held = held.ok_or_else(|| Refusal::missing("no record of this peer is held for this network"))?;
    Ok(records(&shared, &[held]))
}

fn records(shared: &Shared, held: &[Held]) -> Response {
    let now = shared.clock.now();
    let records: Vec<Record> = held.iter().map(|held| Record::of(held, now)).collect();
    Json(json!({"records": records})).into_response()
}

async fn observed(
    State(shared): State<Arc<Shared>>,
    Extension(Client(client)): Extension<Client>,
) -> Result<Response, Refusal> {
    if !shared.config.tells_observed {
        return Err(Refusal::missing("this server does not tell where it sees somebody"));
    }
    Ok(Json(json!({"observed": seen_at(client)})).into_response())
}

/// An IPv4 address as one, even where the socket takes both.
fn seen_at(client: std::net::SocketAddr) -> String {
    std::net::SocketAddr::new(client.ip().to_canonical(), client.port()).to_string()
}

async fn authority(State(shared): State<Arc<Shared>>) -> Response {
    let authority = shared.config.mode.authority().map(|authority| authority.to_string());
    Json(json!({"mode": shared.config.mode.name(), "authority": authority})).into_response()
}

async fn verify(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let hash = request::hex::<32>(&request::path(path)?, "the hash")?;
    let Some(seen) = rows::seen(&shared.journal, &hash) else {
        return Ok(Json(json!({"known": false})).into_response());
    };
    let held = shared.state().records.get(&(seen.network, seen.peer)).map(|held| held.record.clone());
    let is_held = held.is_some_and(|record| *blake3::hash(record.bytes()).as_bytes() == hash);
    let answer = json!({
        "known": true,
        "peer": seen.peer.to_string(),
        "network": HEXLOWER.encode(&seen.network),
        "first_seen": seen.first / 1000,
        "held": is_held,
    });
    Ok(Json(answer).into_response())
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let (status, text) = match shared.journal.is_failing() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "the data directory cannot be written"),
        false => (StatusCode::OK, "ok"),
    };
    let restoring = shared.restoring.load(std::sync::atomic::Ordering::Relaxed);
    let records = shared.state().records.len();
    (status, Json(json!({"status": text, "records": records, "restoring": restoring}))).into_response()
}

async fn counters(State(shared): State<Arc<Shared>>) -> Response {
    let (records, given, networks) = {
        let state = shared.state();
        (state.records.len(), state.records.given(), state.records.networks())
    };
    let (commits, failures) = shared.journal.commits();
    let text = shared.metrics.text(&[
        ("records", records as u64),
        ("records_given", given as u64),
        ("networks", networks as u64),
        ("sources", shared.sources() as u64),
        ("journal_commits_total", commits),
        ("journal_failures_total", failures),
        ("journal_waiting", shared.journal.waiting() as u64),
        ("resident_bytes", metrics::resident_bytes().unwrap_or_default()),
    ]);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

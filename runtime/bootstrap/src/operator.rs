//! The API of the operator: certificates, peers, the log, and who the operator is. All of it needs the operator's token.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, HEXLOWER};
use p2pnet_engine::{Certificate, Identity};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Mode;
use crate::dashboard;
use crate::journal::Table;
use crate::log::LogLine;
use crate::refusal::Refusal;
use crate::request::{self, Client};
use crate::state::Shared;

/// Entries of one answer.
pub(crate) const MAX_PAGE: usize = 1000;

/// Proof that a request carries the operator's token, or, at the dashboard, a session.
#[derive(Debug)]
pub(crate) struct Operator;

impl FromRequestParts<Arc<Shared>> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Operator, Refusal> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if header.is_none()
            && let Some(session) = dashboard::has_session(shared, parts)
        {
            return session.map(|()| Operator);
        }
        let Some(token) = header.and_then(|header| header.strip_prefix("Bearer ")) else {
            let message = "this needs the operator's token: send `Authorization: Bearer TOKEN`";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "no-token", message));
        };
        if !shared.token.is(token.trim()) {
            let message =
                "this is not the operator's token; it is in the file operator.token of the data directory";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "wrong-token", message));
        }
        Ok(Operator)
    }
}

/// The authority's key, if the server has one.
pub(crate) fn key(shared: &Shared) -> Result<&Identity, Refusal> {
    match &shared.config.mode {
        Mode::Authority(key) => Ok(key),
        Mode::Trustless => {
            let message = "this server is no authority; start it with --mode authority";
            Err(Refusal::new(StatusCode::FORBIDDEN, "trustless", message))
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct CertificateRequest {
    network: String,
    subject: String,
    #[serde(default)]
    capabilities: Vec<String>,
    expires: Option<u64>,
}

pub(crate) async fn certify(
    State(shared): State<Arc<Shared>>,
    _: Operator,
    Extension(Client(client)): Extension<Client>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    let key = key(&shared)?;
    let asked: CertificateRequest = request::json(request, shared.config.patience).await?;
    let (network, subject) = (request::tag(&asked.network)?, request::peer(&asked.subject)?);
    let now = shared.clock.now();
    if asked.expires.is_some_and(|expires| expires.saturating_mul(1000) <= now) {
        return Err(Refusal::bad(
            "expired",
            "`expires` is in the past; give seconds since the start of 1970",
        ));
    }
    let issued = Certificate::issue_on(key, network, subject, asked.capabilities, asked.expires);
    let certificate = issued.map_err(|error| Refusal::bad("bad-capabilities", error.to_string()))?;
    let bytes = certificate.to_bytes();
    {
        let mut state = shared.state();
        state.last_certificate += 1;
        let number = state.last_certificate;
        let entry = json!({
            "number": number,
            "at": now,
            "network": HEXLOWER.encode(&network),
            "subject": subject.to_string(),
            "capabilities": certificate.capabilities(),
            "expires": asked.expires,
            "certificate": BASE64.encode(&bytes),
            "from": client.ip().to_canonical(),
        });
        let row = entry.to_string();
        shared.journal.change(|batch| batch.put(Table::Certificates, number.to_be_bytes(), row));
        let line = LogLine::new("issued").peer(network, &subject).from(Some(client.ip().to_canonical()));
        state.log.write(&shared.journal, now, line.text(format!("certificate {number}")));
    }
    durable(&shared).await?;
    let answer = json!({"certificate": BASE64.encode(&bytes), "authority": key.peer_id().to_string()});
    Ok(Json(answer).into_response())
}

/// What the operator was promised must survive: unlike records, it is not said again.
pub(crate) async fn durable(shared: &Shared) -> Result<(), Refusal> {
    let refused = |error: crate::journal::NotDurable| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not-durable", error.to_string())
    };
    shared.journal.settled().await.map_err(refused)
}

/// Which part of a list is asked for.
#[derive(Deserialize)]
pub(crate) struct Page {
    before: Option<u64>,
    behind: Option<u64>,
    want: Option<usize>,
}

pub(crate) fn page(query: Result<Query<Page>, QueryRejection>) -> Result<(Page, usize), Refusal> {
    let wrong = || {
        Refusal::bad(
            "bad-query",
            format!("`before`, `behind` and `want` are numbers, `want` up to {MAX_PAGE}"),
        )
    };
    let Query(page) = query.map_err(|_| wrong())?;
    let want = page.want.unwrap_or(100);
    if want > MAX_PAGE {
        return Err(wrong());
    }
    Ok((page, want))
}

pub(crate) async fn certificates(
    State(shared): State<Arc<Shared>>,
    _: Operator,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (page, want) = page(query)?;
    let rows = shared.journal.before(Table::Certificates, page.before.unwrap_or(u64::MAX), want);
    let rows = rows.map_err(|error| {
        tracing::error!(%error, "the signing history cannot be read");
        let message = "the data directory cannot be read";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not-readable", message)
    })?;
    let entries: Vec<Value> = rows.iter().filter_map(|(_, row)| serde_json::from_slice(row).ok()).collect();
    Ok(Json(json!({"certificates": entries})).into_response())
}

#[derive(Deserialize)]
pub(crate) struct PeersQuery {
    network: Option<String>,
    after: Option<String>,
    want: Option<usize>,
}

pub(crate) async fn peers(
    State(shared): State<Arc<Shared>>,
    _: Operator,
    query: Result<Query<PeersQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let wrong = || Refusal::bad("bad-query", format!("`want` is a number up to {MAX_PAGE}"));
    let Query(query) = query.map_err(|_| wrong())?;
    let want = query.want.unwrap_or(100);
    if want > MAX_PAGE {
        return Err(wrong());
    }
    let network = query.network.as_deref().map(request::tag).transpose()?;
    let after = query.after.as_deref().map(request::peer).transpose()?;
    let start = (network.unwrap_or_default(), after.unwrap_or(p2pnet_engine::PeerId::from_bytes([0; 32])));
    let now = shared.clock.now();
    let state = shared.state();
    let rows = state.records.from(start).filter(|held| held.key() != start);
    let rows = rows.take_while(|held| network.is_none_or(|network| held.key().0 == network)).take(want);
    let peers: Vec<Value> = rows
        .map(|held| {
            let record = held.record.record();
            json!({
                "network": HEXLOWER.encode(&record.network),
                "peer": record.peer.to_string(),
                "name": record.name,
                "kind": match record.kind {
                    p2pnet_engine::RecordKind::Alive => "alive",
                    p2pnet_engine::RecordKind::Leaving => "leaving",
                    p2pnet_engine::RecordKind::Gone => "gone",
                },
                "from": held.from,
                "age_secs": held.age_secs(now),
                "heard_secs": now.saturating_sub(held.heard) / 1000,
                "addrs": record.addrs,
                "port": record.port,
            })
        })
        .collect();
    let total = state.records.len();
    drop(state);
    Ok(Json(json!({"peers": peers, "total": total})).into_response())
}

pub(crate) async fn introductions(State(shared): State<Arc<Shared>>, _: Operator) -> Response {
    let state = shared.state();
    let latest = state.introductions.latest().take(MAX_PAGE);
    let latest: Vec<Value> = latest
        .map(|(network, to, of)| {
            json!({"network": HEXLOWER.encode(network), "to": to.to_string(), "of": of.to_string()})
        })
        .collect();
    drop(state);
    Json(json!({"introductions": latest})).into_response()
}

pub(crate) async fn log(
    State(shared): State<Arc<Shared>>,
    _: Operator,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (page, want) = page(query)?;
    let state = shared.state();
    let lines: Vec<&LogLine> = state.log.latest(page.behind.unwrap_or(0), want).collect();
    Ok(Json(json!({"log": lines})).into_response())
}

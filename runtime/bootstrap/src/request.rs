//! What is read of a request, and refused.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{Request, StatusCode, header};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use p2pnet_engine::PeerId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::records::Tag;
use crate::refusal::Refusal;

/// Bytes that a body may have.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The most records that may be wanted, and how many are if nothing is said.
const MAX_WANT: usize = 256;
const DEFAULT_WANT: usize = 64;

/// Who asks, put into each request where the connection is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) SocketAddr);

/// Reads the body as JSON; it must be here in time.
pub(crate) async fn json<T: DeserializeOwned>(
    request: Request<Body>,
    patience: Duration,
) -> Result<T, Refusal> {
    let too_large =
        || Refusal::too_large(format!("the body has more than {MAX_BODY} bytes; send less at once"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.is_some_and(|length| length.parse::<u64>().is_ok_and(|length| length > MAX_BODY as u64)) {
        return Err(too_large());
    }
    let reading = to_bytes(request.into_body(), MAX_BODY);
    let body = tokio::time::timeout(patience, reading).await.map_err(|_| {
        let message = format!("the body did not come within {} s", patience.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "too-slow", message)
    })?;
    let body = body.map_err(|error| {
        let is_length = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if is_length { too_large() } else { Refusal::bad("bad-body", "the body broke off") }
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        // serde_json tells where and what was expected; what it quotes of the body is escaped.
        let error: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        Refusal::bad("bad-json", format!("the body is not the JSON that belongs here: {error}"))
    })
}

/// Reads standard base64 of at most so many bytes.
pub(crate) fn base64(text: &str, most: usize, what: &str) -> Result<Vec<u8>, Refusal> {
    if text.len() > most.div_ceil(3) * 4 {
        return Err(Refusal::too_large(format!("{what} has more than {most} bytes")));
    }
    let bytes = BASE64
        .decode(text.as_bytes())
        .map_err(|_| Refusal::bad("bad-base64", format!("{what} is not standard base64 with padding")))?;
    if bytes.len() > most {
        return Err(Refusal::too_large(format!("{what} has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Reads so many bytes from hexadecimal digits.
pub(crate) fn hex<const N: usize>(text: &str, what: &str) -> Result<[u8; N], Refusal> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Refusal::bad("bad-hex", format!("{what} is not {} hexadecimal digits", 2 * N)))
}

/// Reads the tag of a network.
pub(crate) fn tag(text: &str) -> Result<Tag, Refusal> {
    hex(text, "the network's tag")
}

/// Reads a peer id.
pub(crate) fn peer(text: &str) -> Result<PeerId, Refusal> {
    text.parse().map_err(|error| Refusal::bad("bad-peer", format!("the peer id: {error}")))
}

/// The parts of the path that the route names.
pub(crate) fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Refusal> {
    let Path(parts) = path.map_err(|_| Refusal::bad("bad-path", "the path is not UTF-8"))?;
    Ok(parts)
}

/// How many records are wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct Want {
    want: Option<usize>,
}

/// How many records are wanted, by the query; *64*.
pub(crate) fn want(query: Result<Query<Want>, QueryRejection>) -> Result<usize, Refusal> {
    let wrong = || Refusal::bad("bad-want", format!("`want` is not a number from 0 to {MAX_WANT}"));
    let Query(want) = query.map_err(|_| wrong())?;
    check_want(want.want.unwrap_or(DEFAULT_WANT))
}

/// Checks how many records are wanted.
pub(crate) fn check_want(want: usize) -> Result<usize, Refusal> {
    let wrong = || Refusal::bad("bad-want", format!("`want` is not a number from 0 to {MAX_WANT}"));
    if want <= MAX_WANT { Ok(want) } else { Err(wrong()) }
}

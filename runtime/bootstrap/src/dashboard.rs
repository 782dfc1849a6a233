//! The operator's dashboard: a page of its own socket, and the operator's API for it with a session instead of the token.
//!
//! The session's cookie is for this host only and never sent from other sites (`HttpOnly; SameSite=Strict`). Whatever
//! changes something also needs a header that pages of other origins cannot send, and, if the browser says where the
//! request comes from, that has to be here.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use crate::api;
use crate::log::LogLine;
use crate::refusal::Refusal;
use crate::request::{self, Client};
use crate::server;
use crate::sources::Source;
use crate::state::Shared;

/// What the cookie's name begins with.
const COOKIE: &str = "p2pnet_session_";

/// What the page sends with each request.
const HEADER: &str = "x-p2pnet-dashboard";

/// Nothing but what is served here runs, is shown or is asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Routes of the API that the page uses.
const API: &[(&str, &str)] = &[
    ("GET", "/v1/authority"),
    ("GET", "/v1/certificates"),
    ("POST", "/v1/certificates"),
    ("GET", "/v1/tasks"),
    ("POST", "/v1/tasks"),
    ("GET", "/v1/peers"),
    ("GET", "/v1/introductions"),
    ("GET", "/v1/log"),
    ("GET", "/health"),
];

/// Marks requests to the dashboard: there a session does for the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfDashboard;

/// The whole dashboard.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/", get(|| page("text/html; charset=utf-8", include_str!("dashboard/index.html"))))
        .route("/style.css", get(|| page("text/css; charset=utf-8", include_str!("dashboard/style.css"))))
        .route("/app.js", get(|| page("text/javascript; charset=utf-8", include_str!("dashboard/app.js"))))
        .route("/map.js", get(|| page("text/javascript; charset=utf-8", include_str!("dashboard/map.js"))))
        .route(
            "/tasks.js",
            get(|| page("text/javascript; charset=utf-8", include_str!("dashboard/tasks.js"))),
        )
        .route("/session", get(session).post(login).delete(logout));
    for (method, path) in API {
        router = router.route(path, api::route(method, path));
    }
    router
        .fallback(|| async { Refusal::missing("there is nothing at this path; the dashboard is at /") })
        .layer(middleware::from_fn_with_state(shared.clone(), server::counted))
        .layer(middleware::from_fn(guarded))
        .with_state(shared.clone())
}

/// Marks requests, and adds to answers what keeps browsers from doing what they need not.
async fn guarded(mut request: Request<Body>, next: Next) -> Response {
    request.extensions_mut().insert(OfDashboard);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[derive(Deserialize)]
struct Login {
    token: String,
}

async fn login(
    State(shared): State<Arc<Shared>>,
    Extension(Client(client)): Extension<Client>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    from_here(request.method(), request.headers())?;
    let from = client.ip().to_canonical();
    let now = shared.clock.now();
    shared.logins().ask(now, Source::of(from)).map_err(Refusal::too_many)?;
    let login: Login = request::json(request, shared.config.patience).await?;
    if !shared.token.is(login.token.trim()) {
        shared.log(LogLine::new("login").from(Some(from)).text("refused: wrong token"));
        let message = "this is not the operator's token";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "wrong-token", message));
    }
    let random = server::entropy().map_err(|error| {
        tracing::error!(%error, "the system gives no entropy");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "no-entropy", "the system gives no entropy; try again")
    })?;
    let lasts = u64::try_from(shared.config.session.as_millis()).unwrap_or(u64::MAX);
    let text = shared.sessions().begin(&random, now.saturating_add(lasts));
    shared.log(LogLine::new("login").from(Some(from)));
    let name = shared.token.cookie();
    let cookie =
        format!("{COOKIE}{name}={text}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}", lasts / 1000);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn session(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let left = left(&shared, &headers).ok_or_else(over)?;
    Ok(axum::Json(json!({"left_secs": left / 1000})).into_response())
}

async fn logout(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Result<Response, Refusal> {
    from_here(request.method(), request.headers())?;
    if let Some(text) = cookie(&shared, request.headers()) {
        shared.sessions().end(text);
    }
    let name = shared.token.cookie();
    let gone = format!("{COOKIE}{name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

/// Whether a request to the dashboard has a session. None if it is not one to the dashboard.
pub(crate) fn has_session(shared: &Shared, parts: &Parts) -> Option<Result<(), Refusal>> {
    parts.extensions.get::<OfDashboard>()?;
    let checked = from_here(&parts.method, &parts.headers);
    Some(checked.and_then(|()| left(shared, &parts.headers).map(drop).ok_or_else(over)))
}

fn over() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "no-session", "the session is over; log in again")
}

fn left(shared: &Shared, headers: &HeaderMap) -> Option<u64> {
    shared.sessions().left(shared.clock.now(), cookie(shared, headers)?)
}

fn cookie<'a>(shared: &Shared, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = shared.token.cookie();
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix(name.as_str())?.strip_prefix('='))
}

/// Refuses what a page of another origin could have a browser send.
fn from_here(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method.is_safe() {
        return Ok(());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let same = origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, from)| from == host));
    if same && headers.contains_key(HEADER) {
        return Ok(());
    }
    let message = "this was not sent by the dashboard's own page; a proxy before it has to leave the header Host as it is";
    Err(Refusal::new(StatusCode::FORBIDDEN, "foreign", message))
}

/// The rate at which one source may ask the dashboard, whatever nodes there ask: one page asks five times a second.
pub(crate) const VISITS: crate::sources::Rate = crate::sources::Rate { per_second: 50, burst: 200 };

/// The rate at which one source may try to log in.
pub(crate) const LOGINS: crate::sources::Rate = crate::sources::Rate { per_second: 1, burst: 5 };

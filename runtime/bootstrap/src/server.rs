//! A server that runs: its socket, its connections, its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Request, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::api;
use crate::config::Config;
use crate::connections;
use crate::dashboard;
use crate::journal::{FILE, Journal, JournalError};
use crate::log::LogLine;
use crate::private_file::{self, PrivateFileError};
use crate::refusal::Refusal;
use crate::request::Client;
use crate::state::Shared;
use crate::token::Token;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory, or a secret there, cannot be used.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// What is stored there cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The address is taken, or not this host's.
    #[error("cannot listen at {address}: {error}; choose another {option}")]
    Listen {
        /// The option that says it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system gives no entropy or thread.
    #[error("the system gives no {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// A server whose socket is open and whose data directory is its own.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    dashboard: Option<(TcpListener, SocketAddr)>,
}

impl Server {
    /// Opens the data directory and the socket.
    ///
    /// # Errors
    /// If one of them cannot be had.
    pub async fn bind(config: Config) -> Result<Server, StartError> {
        private_file::create_directory(&config.data)?;
        let journal = Journal::open(&config.data)?;
        let drawn = || entropy().map_err(|error| StartError::System { what: "entropy", error });
        let token = Token::load(&config.data, drawn()?)?;
        let (listener, address) = listen(config.listen, "--listen").await?;
        let dashboard = match config.dashboard {
            Some(address) => Some(listen(address, "--dashboard").await?),
            None => None,
        };
        let path = config.data.join(FILE);
        let shared = Shared::load(config, journal, token, drawn()?);
        let shared = shared.map_err(|error| JournalError::Unusable { path, reason: error.to_string() })?;
        Ok(Server { shared: Arc::new(shared), listener, address, dashboard })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where its dashboard is.
    #[must_use]
    pub fn dashboard_addr(&self) -> Option<SocketAddr> {
        self.dashboard.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `stop` is done; then requests that are under way are answered for 5 s, and all is written.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let Server { shared, listener, address, dashboard } = self;
        shared.log(LogLine::new("started").text(address.to_string()));
        let for_thread = shared.clone();
        let (restored, has_restored) = oneshot::channel::<()>();
        let restoring = std::thread::Builder::new().name("restore".into()).spawn(move || {
            for_thread.restore();
            // Whoever waits for this may open the database again.
            drop(for_thread);
            drop(restored);
        });
        restoring.map_err(|error| StartError::System { what: "thread", error })?;
        let (stopping, stopped) = watch::channel(false);
        let mut sockets = JoinSet::new();
        sockets.spawn(connections::serve(shared.clone(), listener, router(&shared), stopped.clone()));
        if let Some((listener, _)) = dashboard {
            let router = dashboard::router(&shared);
            sockets.spawn(connections::serve(shared.clone(), listener, router, stopped.clone()));
        }
        let mut tidying = tokio::time::interval(Duration::from_secs(1));
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = tidying.tick() => while shared.tidy() { tokio::task::yield_now().await },
            }
        }
        stopping.send_replace(true);
        while sockets.join_next().await.is_some() {}
        shared.closing.store(true, Ordering::Relaxed);
        // It sends nothing, and is done.
        drop(has_restored.await);
        shared.log(LogLine::new("stopped"));
        Ok(())
    }
}

async fn listen(address: SocketAddr, option: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { option, address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn router(shared: &Arc<Shared>) -> Router {
    let mut router = Router::new();
    for (method, path) in api::ROUTES {
        router = router.route(path, api::route(method, path));
    }
    router
        .fallback(|| async { Refusal::missing("there is nothing at this path; /openapi.json lists all") })
        .method_not_allowed_fallback(|| async {
            let message = "this path takes another method; /openapi.json lists all";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "bad-method", message)
        })
        .layer(middleware::from_fn_with_state(shared.clone(), counted))
        .with_state(shared.clone())
}

/// Counts a request, and refuses it if its source asks too much.
pub(crate) async fn counted(
    axum::extract::State(shared): axum::extract::State<Arc<Shared>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let began = tokio::time::Instant::now();
    let route = route_of(&request);
    let client = request.extensions().get::<Client>().copied();
    let of_dashboard = request.extensions().get::<dashboard::OfDashboard>().is_some();
    let allowed = client.map_or(Ok(()), |Client(client)| shared.may_ask(client.ip(), of_dashboard));
    let response = match allowed {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    shared.metrics.request(route, response.status().as_u16(), began.elapsed());
    response
}

/// The route's name among those that there are; a path that a client made up is no name.
fn route_of(request: &Request<Body>) -> &'static str {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let known = matched.and_then(|matched| crate::route_names().find(|(_, path)| *path == matched));
    known.map_or("other", |(_, path)| path)
}

#[expect(clippy::disallowed_methods, reason = "the one place where entropy enters")]
pub(crate) fn entropy() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

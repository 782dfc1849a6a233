//! The connections of one socket: how many there are, how long they may idle, how they end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::doors::Doors;
use crate::impatient::Impatient;
use crate::request::Client;
use crate::sources::Source;
use crate::state::Shared;

/// How long requests that are under way may take when the server is to stop.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Bytes of a connection that are held at once.
const BUFFER: usize = 16 * 1024;

/// Serves what comes in at `listener` until `stopped` changes; then what is under way is answered, for 5 s at most.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(shared.config.max_connections));
    let doors = Doors::new(shared.config.max_connections.div_ceil(4));
    let mut connections = JoinSet::new();
    let for_connections = stopped.clone();
    loop {
        tokio::select! {
            biased;
            // It changes once.
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = accept(&listener, &free) => {
                let Ok((stream, client)) = accepted else {
                    // Out of files, most likely: some are closed soon.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let Some(door) = doors.enter(Source::of(client.ip())) else {
                    shared.metrics.connections_refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let serving = connection(shared.clone(), router.clone(), stream, client, for_connections.clone());
                connections.spawn(async move {
                    serving.await;
                    drop((permit, door));
                });
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(STOP_TIME, all).await);
    connections.shutdown().await;
}

/// The next connection, when one more may be.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
    // It is never closed.
    let permit = free.clone().acquire_owned().await.ok();
    (permit, listener.accept().await)
}

async fn connection(
    shared: Arc<Shared>,
    router: Router,
    stream: TcpStream,
    client: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Client(client));
        let answering = TowerToHyperService::new(router.clone()).call(request.map(Body::new));
        async move {
            match answering.await {
                Ok(response) => Ok::<_, Infallible>(response),
                Err(never) => match never {},
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(shared.config.patience).max_buf_size(BUFFER);
    let serving =
        builder.serve_connection(TokioIo::new(Impatient::new(stream, shared.config.patience)), service);
    tokio::pin!(serving);
    shared.metrics.connections.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        biased;
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            drop(serving.await);
        }
        done = &mut serving => drop(done),
    }
    shared.metrics.connections.fetch_sub(1, Ordering::Relaxed);
}

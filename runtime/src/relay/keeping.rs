//! The task that keeps an allocation at one relay.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use p2pnet_turn::{Client, Event, MAX_ATTEMPTS, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::Relay;
use super::taking::take;
use crate::driver::{Arrival, RelayNews, RelayState};
use crate::link::Halves;
use crate::seam::{Net, Stream};

/// How long connecting may take, and then writing a few bytes.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Addresses of a relay's name that are tried.
const MAX_ADDRESSES: usize = 4;

/// The time until the next try: after the first failure in a row, and twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The same where somebody has to change something first.
const FIRST_LASTING_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_LASTING_PAUSE: Duration = Duration::from_secs(600);

/// An allocation that was kept for less does not make the next try come sooner.
const STEADY_TIME: Duration = Duration::from_secs(60);

/// Why there is no allocation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the relay cannot be reached ({0}); check the address, and that it runs")]
    Unreachable(#[source] io::Error),
    #[error("the relay cannot be reached in time; check the address, and that it runs")]
    TimedOut,
    #[error("the connection to the relay broke ({0})")]
    Broken(#[source] io::Error),
    #[error("the relay has closed the connection")]
    Closed,
    #[error(transparent)]
    Refused(#[from] p2pnet_turn::Error),
}

impl Failure {
    /// Whether the same will happen until somebody changes something.
    fn is_lasting(&self) -> bool {
        use p2pnet_turn::Error;
        let Failure::Refused(error) = self else { return false };
        !matches!(error, Error::Silent | Error::Mismatch)
    }
}

/// Keeps an allocation at one relay, and says how that goes.
pub(crate) struct Keeper<N: Net> {
    /// The relay's number, in what is told.
    pub(crate) number: usize,
    pub(crate) relay: Relay,
    pub(crate) net: Arc<N>,
    /// What the relay cannot guess.
    pub(crate) seed: [u8; 32],
    pub(crate) news: mpsc::Sender<RelayNews>,
    pub(crate) arrivals: mpsc::Sender<Arrival<N::Stream>>,
    /// Addresses to let through, the one asked for last at the end. Closed, it ends the keeper.
    pub(crate) permitted: watch::Receiver<Vec<IpAddr>>,
}

impl<N: Net> Keeper<N> {
    /// Goes on until it is told to stop.
    pub(crate) async fn keep(mut self) {
        let mut failures = 0;
        for session in 0_u64.. {
            let seed = *blake3::keyed_hash(&self.seed, &session.to_le_bytes()).as_bytes();
            let mut up = None;
            let Err(failure) = self.session(seed, &mut up).await else { return };
            tracing::info!(relay = self.relay.name(), %failure, "no relay");
            failures = failures_after(failures, up.map(|up| up.elapsed()));
            self.tell(RelayState::Down(failure.to_string())).await;
            if !self.pause(pause(failures, failure.is_lasting())).await {
                return;
            }
        }
    }

    async fn tell(&self, state: RelayState) {
        let _ = self.news.send(RelayNews { relay: self.number, state }).await;
    }

    /// Waits; false if it is told to stop meanwhile.
    async fn pause(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            tokio::select! {
                biased;
                changed = self.permitted.changed() => if changed.is_err() { return false },
                () = sleep_until(end) => return true,
            }
        }
    }

    /// One control connection, from its beginning to its end. Ok when it is told to stop.
    async fn session(&mut self, seed: [u8; 32], up: &mut Option<Instant>) -> Result<(), Failure> {
        let (stream, address) = self.connect().await?;
        let (mut read, mut write) = stream.split();
        let start = Instant::now();
        let credentials = self.relay.credentials.clone();
        let mut client = Client::new(Duration::ZERO, credentials, Settings::default(), seed);
        let mut taking = JoinSet::new();
        let mut buffer = [0; p2pnet_turn::MAX_MESSAGE];
        let mut stopped = false;
        for &address in self.permitted.borrow_and_update().iter() {
            client.permit(Duration::ZERO, address);
        }
        loop {
            while let Some(event) = client.poll_event() {
                match event {
                    Event::Allocated { relayed } => {
                        *up = Some(Instant::now());
                        self.tell(RelayState::Up(relayed)).await;
                    }
                    Event::Attempt { connection, peer } => {
                        if taking.len() < MAX_ATTEMPTS
                            && let Some(bind) = client.bind(start.elapsed(), connection)
                        {
                            let taken = take(Arc::clone(&self.net), address, bind);
                            taking.spawn(hand_over(taken, peer, self.arrivals.clone()));
                        }
                    }
                    Event::Observed(address) => self.tell(RelayState::Observed(address)).await,
                    Event::NotPermitted { address, error } => {
                        tracing::debug!(%address, %error, "the relay does not let an address through");
                    }
                    Event::Failed(error) => return Err(error.into()),
                    other => tracing::debug!(?other, "a relay"),
                }
            }
            while let Some(bytes) = client.poll_transmit() {
                let written = timeout(CONNECT_TIME, write.write_all(&bytes)).await;
                written.map_err(|_| Failure::TimedOut)?.map_err(Failure::Broken)?;
            }
            if stopped {
                let _ = timeout(CONNECT_TIME, write.shutdown()).await;
                return Ok(());
            }
            let due = client.poll_timeout().unwrap_or(CONNECT_TIME);
            tokio::select! {
                biased;
                changed = self.permitted.changed() => {
                    if changed.is_err() {
                        client.release();
                        stopped = true;
                    }
                    for &address in self.permitted.borrow_and_update().iter() {
                        client.permit(start.elapsed(), address);
                    }
                }
                Some(_) = taking.join_next() => {}
                () = sleep_until(start + due) => client.handle_timeout(start.elapsed()),
                read = read.read(&mut buffer) => match read.map_err(Failure::Broken)? {
                    0 => return Err(Failure::Closed),
                    n => client.handle_bytes(start.elapsed(), buffer.get(..n).unwrap_or_default()),
                },
            }
        }
    }

    /// Connects to the first of the relay's addresses that answers.
    async fn connect(&self) -> Result<(N::Stream, SocketAddr), Failure> {
        let Relay { host, port, .. } = &self.relay;
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, *port)],
            Err(_) => {
                let found = timeout(CONNECT_TIME, tokio::net::lookup_host((host.as_str(), *port))).await;
                let found = found.map_err(|_| Failure::TimedOut)?.map_err(Failure::Unreachable)?;
                found.take(MAX_ADDRESSES).collect()
            }
        };
        let mut failure = Failure::Unreachable(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            match timeout(CONNECT_TIME, self.net.connect(None, address)).await {
                Ok(Ok(stream)) => return Ok((stream, address)),
                Ok(Err(error)) => failure = Failure::Unreachable(error),
                Err(_) => failure = Failure::TimedOut,
            }
        }
        Err(failure)
    }
}

/// Gives the driver a stream that was taken, as if it had been accepted here.
async fn hand_over<T: Stream>(
    taken: impl Future<Output = Result<Halves<T>, Failure>>,
    source: SocketAddr,
    arrivals: mpsc::Sender<Arrival<T>>,
) {
    match taken.await {
        Ok(stream) => {
            let _ = arrivals.send(Arrival::Accepted { interface: None, stream, source }).await;
        }
        Err(failure) => tracing::debug!(%source, %failure, "a relayed connection was not taken"),
    }
}

/// The failures in a row after one more, of a session that had an allocation for so long.
fn failures_after(before: u32, up: Option<Duration>) -> u32 {
    if up.is_some_and(|up| up >= STEADY_TIME) { 0 } else { before.saturating_add(1) }
}

fn pause(failures: u32, is_lasting: bool) -> Duration {
    let (first, longest) = match is_lasting {
        true => (FIRST_LASTING_PAUSE, LONGEST_LASTING_PAUSE),
        false => (FIRST_PAUSE, LONGEST_PAUSE),
    };
    let doubled = 1_u32 << failures.saturating_sub(1).min(10);
    first.saturating_mul(doubled).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_grow_rarer() {
        let pauses = |is_lasting| [0, 1, 2, 3, 9, 1000].map(|failures| pause(failures, is_lasting).as_secs());
        assert_eq!(pauses(false), [1, 1, 2, 4, 60, 60]);
        assert_eq!(pauses(true), [60, 60, 120, 240, 600, 600]);
    }

    #[test]
    fn a_relay_that_grants_and_drops_is_asked_more_and_more_rarely() {
        let after = |failures, secs| failures_after(failures, Some(Duration::from_secs(secs)));
        let failures = (0..4).fold(0, |failures, _| after(failures, 1));
        assert_eq!(pause(failures, false).as_secs(), 8);
        assert_eq!(failures_after(failures, None), 5);
        assert_eq!(after(failures, 60), 0);
    }
}

//! What asks the program to stop.

use std::future::Future;

use crate::failure::Failure;

/// Ctrl-C, and where there are such things SIGTERM and SIGHUP (the terminal is gone).
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    streams: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    /// From now on the signals come here and no longer end the program by themselves.
    pub(crate) fn new() -> Result<Signals, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let all = || {
                Ok([
                    signal(SignalKind::interrupt())?,
                    signal(SignalKind::terminate())?,
                    signal(SignalKind::hangup())?,
                ])
            };
            let streams = all().map_err(|error: std::io::Error| {
                Failure::NotAchieved(format!("the system gives no signals: {error}"))
            })?;
            Ok(Signals { streams })
        }
        #[cfg(not(unix))]
        Ok(Signals {})
    }

    /// Waits for the next one.
    pub(crate) fn stop(&mut self) -> impl Future<Output = ()> + '_ {
        #[cfg(unix)]
        return async {
            let [interrupt, terminate, hangup] = &mut self.streams;
            tokio::select! {
                biased;
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        #[cfg(not(unix))]
        async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

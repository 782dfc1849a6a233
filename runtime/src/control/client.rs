//! The side that asks.

use std::path::Path;

use super::ControlError;
use super::protocol::{Answer, Ask, Greeting};

/// A connection to a running node.
#[derive(Debug)]
pub struct Client {
    greeting: Greeting,
    #[cfg(unix)]
    stream: tokio::io::BufReader<tokio::net::UnixStream>,
}

impl Client {
    /// Connects to the node that uses this data directory; `None` if there is none that can be asked.
    ///
    /// # Errors
    /// If there is one and it does not speak this version, or not at all.
    #[cfg(unix)]
    pub async fn connect(data_dir: &Path) -> Result<Option<Client>, ControlError> {
        use std::io;

        let path = super::socket_path(data_dir);
        if super::check_length(&path).is_err() {
            // Nobody can serve it either.
            return Ok(None);
        }
        let connected = imp::within(imp::GREETING, tokio::net::UnixStream::connect(&path)).await;
        let stream = match connected {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(ControlError::Io { path, source }),
        };
        let mut stream = tokio::io::BufReader::new(stream);
        let line = imp::line(&mut stream, imp::GREETING).await?;
        if let Ok(Answer::Error(_)) = serde_json::from_str(&line) {
            return Err(ControlError::Broken("it has too many clients"));
        }
        let greeting: Greeting =
            serde_json::from_str(&line).map_err(|_| ControlError::Broken("no greeting"))?;
        if greeting.p2pnet_control != super::VERSION {
            return Err(ControlError::OtherVersion);
        }
        Ok(Some(Client { greeting, stream }))
    }

    /// Connects to nobody: there are no such sockets here.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    #[expect(clippy::unused_async, reason = "elsewhere it waits")]
    pub async fn connect(_: &Path) -> Result<Option<Client>, ControlError> {
        Ok(None)
    }

    /// Who answers.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Asks; the answers are taken with [`answer`](Client::answer).
    ///
    /// # Errors
    /// If the node is gone.
    #[cfg_attr(not(unix), expect(clippy::unused_async, unused_variables, reason = "nobody is there"))]
    pub async fn ask(&mut self, ask: &Ask) -> Result<(), ControlError> {
        #[cfg(unix)]
        return imp::within(imp::GREETING, super::lines::write(&mut self.stream, ask))
            .await
            .map_err(|_| ControlError::Broken("it is gone"));
        #[cfg(not(unix))]
        Err(ControlError::Unsupported)
    }

    /// The next answer. After [`Answer::Done`] or [`Answer::Error`] the next request may come.
    ///
    /// # Errors
    /// If the node is gone, or says what is no answer.
    #[cfg_attr(not(unix), expect(clippy::unused_async, reason = "nobody is there"))]
    pub async fn answer(&mut self) -> Result<Answer, ControlError> {
        #[cfg(unix)]
        {
            let line = imp::line(&mut self.stream, imp::ANSWER).await?;
            serde_json::from_str(&line)
                .map_err(|_| ControlError::Broken("it says what this version does not know"))
        }
        #[cfg(not(unix))]
        Err(ControlError::Unsupported)
    }
}

#[cfg(unix)]
mod imp {
    use std::future::Future;
    use std::io;
    use std::time::Duration;

    use tokio::io::BufReader;
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::super::protocol::MAX_ANSWER;
    use super::super::{ControlError, lines};

    /// How long a node may take to greet.
    pub(super) const GREETING: Duration = Duration::from_secs(5);

    /// How long it may take to its next answer: a delivery may wait for ten minutes.
    pub(super) const ANSWER: Duration = Duration::from_secs(660);

    pub(super) async fn line(
        stream: &mut BufReader<UnixStream>,
        patience: Duration,
    ) -> Result<String, ControlError> {
        match within(patience, lines::read(stream, MAX_ANSWER)).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(ControlError::Broken("it is gone")),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(ControlError::Broken("a line is not one"))
            }
            Err(_) => Err(ControlError::Broken("it is silent")),
        }
    }

    pub(super) async fn within<T>(
        patience: Duration,
        what: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        timeout(patience, what).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
    }
}

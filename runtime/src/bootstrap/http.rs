//! A bootstrap server that is asked over HTTP.

use std::fmt;
use std::io;
use std::str::FromStr;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use p2pnet_engine::ServerAnswer;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::{Announcement, Answering, BootstrapServer, ServerError, json};
use crate::link::Task;

/// How long a connection may take, and then the answer.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Bytes of an answer. 64 records and as many tasks fit.
const MAX_ANSWER: usize = 2 << 20;

/// The port of a server whose URL has none.
const DEFAULT_PORT: u16 = 8010;

/// A bootstrap server at a URL.
///
/// Plain HTTP: what matters of an answer is signed, so that a server in between can withhold it and nothing else. Who may
/// not see which records are asked for needs a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpServer {
    host: String,
    port: u16,
    /// What stands before `/v1`, without a slash at its end.
    path: String,
    name: String,
}

/// Why a text is no URL of a bootstrap server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// It is no URL at all, or has more than a host, a port and a path.
    #[error("`{0}` is not the URL of a bootstrap server; give one such as http://192.0.2.1:8010")]
    Malformed(String),
    /// Another scheme.
    #[error("`{0}` cannot be used: only http:// can, which is enough since what a server says is signed")]
    Scheme(String),
}

impl FromStr for HttpServer {
    type Err = ServerUrlError;

    /// Reads a URL such as `http://192.0.2.1:8010`; the port is 8010 unless it says another.
    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let shown = || text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        let malformed = || ServerUrlError::Malformed(shown());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(_) => return Err(ServerUrlError::Scheme(shown())),
            None => return Err(malformed()),
        }
        let authority = uri.authority().ok_or_else(malformed)?;
        if uri.query().is_some() || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(malformed());
        }
        let port = authority.port_u16().unwrap_or(DEFAULT_PORT);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path().trim_end_matches('/').to_owned();
        let name = format!("http://{}:{port}{path}", authority.host());
        Ok(HttpServer { host, port, path, name })
    }
}

impl fmt::Display for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl BootstrapServer for HttpServer {
    fn name(&self) -> &str {
        &self.name
    }

    fn announce(&self, announcement: Announcement) -> Answering<'_> {
        Box::pin(async move {
            let body = json::request(&announcement);
            let (status, body) = self.post("/v1/announce", body).await?;
            read(status, &body, announcement.want)
        })
    }
}

impl HttpServer {
    async fn post(&self, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), ServerError> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout(CONNECT_TIME, connecting).await.map_err(|_| ServerError::TimedOut)?;
        let stream = stream.map_err(ServerError::Unreachable)?;
        timeout(ANSWER_TIME, self.exchange(stream, path, body)).await.map_err(|_| ServerError::TimedOut)?
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), ServerError> {
        let no_http = |error: hyper::Error| ServerError::NotAServer(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(no_http)?;
        let _connection = Task(tokio::spawn(async move { drop(connection.await) }));
        let host = self.name.trim_start_matches("http://").trim_end_matches(self.path.as_str());
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.path))
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("p2pnet/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| ServerError::Unreachable(io::Error::other(error)))?;
        let response = sender.send_request(request).await.map_err(no_http)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| ServerError::NotAServer(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }
}

fn read(status: StatusCode, body: &[u8], want: u16) -> Result<ServerAnswer, ServerError> {
    if status.is_success() {
        return json::answer(body, want).map_err(ServerError::NotAServer);
    }
    match json::refusal(body) {
        Some(message) => Err(ServerError::Refused(message)),
        None => Err(ServerError::NotAServer(format!("status {}", status.as_u16()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_people_write_them() {
        let server: HttpServer = "http://boot.example".parse().unwrap();
        assert_eq!(server.to_string(), "http://boot.example:8010");
        let server: HttpServer = "http://192.0.2.1:80/p2p/".parse().unwrap();
        assert_eq!((server.host.as_str(), server.port, server.path.as_str()), ("192.0.2.1", 80, "/p2p"));
        let server: HttpServer = "http://[2001:db8::1]:9000".parse().unwrap();
        assert_eq!((server.host.as_str(), server.port), ("2001:db8::1", 9000));
        let malformed = |text: &str| matches!(text.parse::<HttpServer>(), Err(ServerUrlError::Malformed(_)));
        for text in ["", "boot.example", "192.0.2.1:8010", "http://", "http://a:b@c", "http://a/?x=1", "/x"] {
            assert!(malformed(text), "{text}");
        }
        let https = "https://boot.example".parse::<HttpServer>();
        assert_eq!(https, Err(ServerUrlError::Scheme("https://boot.example".into())));
    }

    #[test]
    fn what_answers_is_told_apart() {
        let what = |status, body: &str| match read(status, body.as_bytes(), 64) {
            Ok(_) => "good".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(what(StatusCode::OK, r#"{"records": []}"#), "good");
        assert!(what(StatusCode::OK, "hello").starts_with("answers, but not as a bootstrap server"));
        assert!(what(StatusCode::NOT_FOUND, "<html>").contains("status 404"));
        let refused = what(StatusCode::TOO_MANY_REQUESTS, r#"{"error": {"code": "x", "message": "slower"}}"#);
        assert_eq!(refused, "refuses the announcement: slower");
    }
}

//! Asks a bootstrap server as its operator.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use p2pnet::bootstrap::HttpServer;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;

/// How long an answer may take, and how many bytes it may have.
const PATIENCE: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 8 << 20;

/// A server and the token of its operator.
#[derive(Debug)]
pub(super) struct Asking {
    server: String,
    token: String,
}

impl Asking {
    /// Reads the token.
    pub(super) fn new(server: &HttpServer, token_file: &Path) -> Result<Asking, Failure> {
        let token = p2pnet_bootstrap::read_token(token_file);
        let token = token.map_err(|error| Failure::BadInput(error.to_string()))?.ok_or_else(|| {
            let path = token_file.display();
            Failure::BadInput(format!(
                "there is no file {path}; the server has its token in --data, as operator.token"
            ))
        })?;
        Ok(Asking { server: server.to_string(), token })
    }

    /// Asks for what is at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Sends something to a path.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Bytes::from(body.to_string())).await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let failed = |why: &str| Failure::NotAchieved(format!("the server {}: {why}", self.server));
        let exchange = timeout(PATIENCE, self.exchange(method, path, body)).await;
        let answer = exchange.map_err(|_| failed("no answer in time"))?;
        let (status, body) = answer.map_err(|error| {
            failed(&format!(
                "{error}; see that `p2pnet bootstrap serve` runs there, and give its address as --server"
            ))
        })?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer["error"]["message"].as_str().map(|message| message.chars().take(300).collect());
        Err(failed(
            &message.unwrap_or_else(|| format!("status {}, so this is no bootstrap server", status.as_u16())),
        ))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(hyper::StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let uri: Uri = format!("{}{path}", self.server).parse()?;
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        connection.abort();
        Ok((status, body))
    }
}

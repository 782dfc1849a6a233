//! The bootstrap server of p2pnet.
//!
//! Nodes that cannot hear each other tell it their signed records, and it gives each of them a random few of the others'.
//! It knows nothing that its clients do not prove: it checks each record's signature, and so do those who get it. What it
//! says of ages and addresses is only its word.
//!
//! With an authority's key ([`Mode::Authority`]) it also signs certificates, and passes on tasks that the authority signed.
//! Only its operator has that done: who has the token of the data directory, by the API, by `p2pnet bootstrap` or on the
//! dashboard.
//!
//! # Limits
//!
//! Everything is bounded: records ([`Config::max_records`]; who was heard longest ago goes), requests and connections of
//! each source ([`Config::rate`], [`Config::max_connections`]; refused with 429, closed), bodies (64 KiB; 413), the time
//! that a request may take ([`Config::patience`]), tasks ([`tasks::MAX_TASKS`]; refused until some are over), reports
//! ([`tasks::MAX_REPORTS`]), the log ([`journal::MAX_LOG`]), the signing history ([`journal::MAX_CERTIFICATES`]) and the
//! hashes that `/v1/verify` knows ([`journal::MAX_SEEN`]), of which the oldest go.
//!
//! What is announced is on disk after [`journal::COMMIT_MILLIS`]: who kills the server loses no more. Certificates and
//! tasks are on disk before the operator hears that they are.
//!
//! [`Server::bind`] opens the data directory and the socket, [`Server::serve`] runs until it is told to stop.

mod api;
pub mod clock;
pub mod config;
mod connections;
mod dashboard;
mod doors;
mod impatient;
pub mod introductions;
pub mod journal;
pub mod log;
mod metrics;
mod operator;
pub mod private_file;
pub mod records;
mod refusal;
mod request;
mod rows;
mod server;
mod sessions;
pub mod sources;
mod state;
mod stored_tasks;
mod task_api;
mod task_json;
pub mod tasks;
mod token;

pub use api::OPENAPI;
pub use config::{Config, Mode};
pub use server::{Server, StartError};
pub use token::{TOKEN_FILE, read_token};

/// The method and the path of each route, as the [`OPENAPI`] description has them.
pub fn route_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    api::ROUTES.iter().copied()
}

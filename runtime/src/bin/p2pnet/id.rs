//! `p2pnet id`: this node's identity.

use p2pnet::engine::Identity;
use p2pnet::seam::{Host, Store};
use p2pnet::{DiskStore, OsHost};

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::Common;
use crate::output::Output;
use crate::session;

/// Prints the id, short and long. Makes the key if there is none; a node that runs does not mind.
pub(crate) async fn run(common: &Common, output: &Output) -> Result<(), Failure> {
    let dir = session::data_dir(common)?;
    let bad = |error: p2pnet::DiskStoreError| Failure::BadInput(error.to_string());
    let seed = match DiskStore::stored_identity(&dir).map_err(bad)? {
        Some(seed) => seed,
        None => {
            let store = DiskStore::open(&dir, None).map_err(bad)?;
            let made = OsHost::new().entropy();
            let made =
                made.map_err(|error| Failure::NotAchieved(format!("the system gives no entropy: {error}")))?;
            store.identity_seed(made).await.map_err(|error| Failure::BadInput(error.to_string()))?
        }
    };
    let id = Identity::from_seed(seed).peer_id();
    if output.is_json() {
        let object = |at| Line::new("id", at).text("peer", &id.to_string()).text("short", &id.short());
        return output.tell(object, Word::Quiet("id"), "");
    }
    output.line(&format!("{}  {id}", id.short()))
}

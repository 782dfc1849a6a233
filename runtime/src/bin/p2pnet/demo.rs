//! `p2pnet demo`: three nodes in this process show the whole job, on loopback only.

mod actor;
mod stage;

use std::fs;
use std::path::Path;
use std::time::Duration;

use p2pnet::seam::Host;
use p2pnet::{OsHost, Source};

use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;
use actor::Actor;
use stage::{Stage, Step};

/// Bytes of the file that is moved.
const FILE_BYTES: usize = 16 << 20;

/// How long each scene may take. In vain, the demo fails and says what is missing.
const SCENE: Duration = Duration::from_secs(15);

/// The cast; the first one has the file, the last one leaves first.
const NAMES: [&str; 3] = ["anna", "ben", "cleo"];

/// Plays all scenes; whatever happens, nothing is left behind.
pub(crate) async fn run(output: &mut Output) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    // Holds the file and all that the nodes write.
    let scratch = tempfile::Builder::new().prefix("p2pnet-demo-").tempdir();
    let scratch = scratch
        .map_err(|error| Failure::NotAchieved(format!("cannot make a temporary directory: {error}")))?;
    let random = OsHost::new().entropy();
    let random =
        random.map_err(|error| Failure::NotAchieved(format!("the system gives no entropy: {error}")))?;
    tokio::select! {
        biased;
        () = signals.stop() => Err(Failure::Interrupted),
        outcome = play(scratch.path(), random, output) => outcome,
    }
}

async fn play(scratch: &Path, random: [u8; 32], output: &Output) -> Result<(), Failure> {
    let file = scratch.join("demo.bin");
    write_random(&file, random)
        .map_err(|error| Failure::NotAchieved(format!("cannot write a file: {error}")))?;
    let suffix = data_encoding::BASE32_NOPAD.encode(random.get(..5).unwrap_or_default()).to_ascii_lowercase();
    let mut stage = Stage::open(&format!("demo-{suffix}"), scratch, output).await?;

    stage.until(SCENE, "everybody trusts everybody", |actors| actors.iter().all(Actor::trusts_all)).await?;
    stage.check_lists().await?;

    let content = stage.share(Source::File(file)).await?;
    stage
        .until(SCENE, "the file is with both", |actors| {
            actors.iter().skip(1).all(|actor| actor.received.is_some())
        })
        .await?;
    stage.check_hashes(&content)?;
    stage
        .until(SCENE, "the file's owner knows that", |actors| {
            actors.first().is_some_and(|owner| owner.delivered >= 2)
        })
        .await?;

    let last = NAMES.len() - 1;
    stage.leave(last).await?;
    stage
        .until(SCENE, "the others heard the goodbye", |actors| {
            actors.iter().take(last).all(|actor| actor.has(Step::Goodbye))
        })
        .await?;
    stage.close().await?;
    stage.summary()
}

/// A file that no compression or cache can shorten.
fn write_random(path: &Path, seed: [u8; 32]) -> std::io::Result<()> {
    let mut bytes = vec![0; FILE_BYTES];
    blake3::Hasher::new_keyed(&seed).finalize_xof().fill(&mut bytes);
    fs::write(path, bytes)
}

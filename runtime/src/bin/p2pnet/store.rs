//! `p2pnet store`: what is known of contents that were received or sent.

use p2pnet::{StoredContent, StoredContents, StoredState};

use crate::failure::Failure;
use crate::files;
use crate::human::Word;
use crate::json::Line;
use crate::options::{Common, GcArguments, StoreCommand};
use crate::output::Output;
use crate::session;
use crate::text::{escaped, size};

/// Lists, checks or tidies up. No node may use the data directory meanwhile.
pub(crate) fn run(common: &Common, command: &StoreCommand, output: &Output) -> Result<(), Failure> {
    let dir = session::data_dir(common)?;
    let mut contents = StoredContents::open(dir).map_err(|error| Failure::BadInput(error.to_string()))?;
    let bad = |error: std::io::Error| Failure::NotAchieved(format!("cannot read what is stored: {error}"));
    match command {
        StoreCommand::Ls => contents.list().map_err(bad)?.iter().try_for_each(|stored| show(stored, output)),
        StoreCommand::Verify => {
            let mut wrong = 0usize;
            contents.verify(|stored| {
                wrong += usize::from(stored.state != StoredState::Good);
                show(&stored, output)
            })?;
            match wrong {
                0 => Ok(()),
                1 => Err(Failure::NotAchieved("1 content is not there any more as it was".into())),
                _ => {
                    Err(Failure::NotAchieved(format!("{wrong} contents are not there any more as they were")))
                }
            }
        }
        StoreCommand::Gc(arguments) => collect(&mut contents, arguments, output),
    }
}

fn collect(contents: &mut StoredContents, arguments: &GcArguments, output: &Output) -> Result<(), Failure> {
    let lost = contents.collect();
    let lost = lost.map_err(|error| Failure::NotAchieved(format!("cannot tidy up: {error}")))?;
    lost.iter().try_for_each(|stored| show(stored, output))?;
    let leftovers = match &arguments.inbox {
        Some(inbox) => StoredContents::collect_leftovers(files::prepare_inbox(inbox)?),
        None => 0,
    };
    let object = |at| {
        let line = Line::new("collected", at).number("forgotten", lost.len() as u64);
        line.number("leftovers", leftovers as u64)
    };
    let text = format!("{} contents forgotten, {leftovers} left-overs of transfers removed", lost.len());
    output.tell(object, Word::Quiet("collected"), &text)
}

fn show(stored: &StoredContent, output: &Output) -> Result<(), Failure> {
    let state = stored.state.as_str();
    let object = |at| {
        Line::new("stored", at)
            .text("hash", &stored.content.to_string())
            .number("bytes", stored.content.size)
            .text("kind", if stored.is_folder { "folder" } else { "file" })
            .text("path", &stored.path.to_string_lossy())
            .text("state", state)
    };
    let word = match stored.state {
        StoredState::Changed | StoredState::Gone => Word::Bad(state),
        StoredState::Good => Word::Good(state),
        _ => Word::Quiet(state),
    };
    let hash = stored.content.to_string();
    let text = format!(
        "{}  {}, {}",
        hash.get(..12).unwrap_or_default(),
        escaped(&stored.path.to_string_lossy()),
        size(stored.content.size)
    );
    output.tell(object, word, &text)
}

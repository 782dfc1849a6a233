//! Files that are being fetched, and how far they are.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use tokio::time::{Duration, Instant};

use p2pnet::{ContentId, Event, Manifest, NodeHandle};

use crate::failure::Failure;
use crate::json::Line;
use crate::output::Output;
use crate::text::escaped;

/// The fetches under way. As many as the engine allows.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bars: BTreeMap<ContentId, ProgressBar>,
    told: Option<Instant>,
}

/// Programs are told how far things are no more often than this.
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(500);

impl Incoming {
    /// Takes an offer, and tells programs that it begins. Does nothing if it is taken already.
    pub(crate) async fn fetch(
        &mut self,
        manifest: &Manifest,
        node: &NodeHandle,
        output: &Output,
    ) -> Result<(), Failure> {
        let content = manifest.content;
        if self.bars.contains_key(&content) {
            return Ok(());
        }
        match node.fetch(content).await {
            Ok(()) => {
                self.bars.insert(content, output.bar(content.size, escaped(&manifest.name)));
                tell(&content, 0, output)?;
            }
            // The offer was withdrawn meanwhile, or came twice.
            Err(error) => tracing::warn!(%content, %error, "an offer was not taken"),
        }
        Ok(())
    }

    /// Ends the bar of what has come or will not come; says whether it was one.
    pub(crate) fn ended(&mut self, event: &Event) -> bool {
        let (Event::ContentReceived { manifest, .. } | Event::ContentFailed { manifest, .. }) = event else {
            return false;
        };
        let bar = self.bars.remove(&manifest.content);
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        bar.is_some()
    }

    /// Moves the bars, and tells programs; says whether anything had come.
    pub(crate) async fn tick(&mut self, node: &NodeHandle, output: &Output) -> Result<bool, Failure> {
        let now = Instant::now();
        let tells = self.told.is_none_or(|told| now - told >= TELL_EVERY);
        let mut moved = false;
        for (content, bar) in &self.bars {
            if let Ok(Some(progress)) = node.progress(*content).await {
                let bytes = (u64::from(progress.written) << 20).min(content.size);
                moved |= bytes != bar.position();
                bar.set_position(bytes);
                if tells {
                    tell(content, bytes, output)?;
                }
            }
        }
        if tells && !self.bars.is_empty() {
            self.told = Some(now);
        }
        Ok(moved)
    }

    /// Whether this content is being fetched.
    pub(crate) fn contains(&self, content: &ContentId) -> bool {
        self.bars.contains_key(content)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.bars.len()
    }
}

/// Tells programs how much of a content is there.
fn tell(content: &ContentId, bytes: u64, output: &Output) -> Result<(), Failure> {
    output.object(|at| {
        let line = Line::new("content_progress", at).text("hash", &content.to_string());
        line.number("bytes", bytes).number("of", content.size)
    })?;
    Ok(())
}

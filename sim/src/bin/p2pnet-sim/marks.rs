//! How a sweep shows which branches of the engine its seeds have taken.

use std::io::{self, Write};

use p2pnet_engine::{Mark, Marks};
use p2pnet_sim::world::coverage::by_rarity;

/// So many of those that were taken are shown.
const RAREST: usize = 15;

/// The rarest marks, then those that were never taken.
pub(crate) fn print(out: &mut impl Write, marks: &Marks) -> io::Result<()> {
    let sorted = by_rarity(marks);
    let (never, taken): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|(_, count)| *count == 0);
    writeln!(out, "\nrarest coverage marks")?;
    for (mark, count) in taken.iter().take(RAREST) {
        writeln!(out, "{count:>10}  {}: {}", mark.name(), mark.sentence())?;
    }
    if !never.is_empty() {
        writeln!(out, "\ncoverage marks that were never taken")?;
        for (mark, _) in &never {
            writeln!(out, "{:>10}  {}: {}", 0, mark.name(), mark.sentence())?;
        }
    }
    Ok(())
}

/// Every mark, those that were never taken too.
pub(crate) fn json(marks: &Marks) -> serde_json::Map<String, serde_json::Value> {
    marks.iter().map(|(mark, count): (Mark, u64)| (mark.name().to_owned(), count.into())).collect()
}

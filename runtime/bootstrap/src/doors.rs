//! How many connections each source holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sources::Source;

/// Counts connections; no source may have more than so many.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    most: usize,
    open: Arc<Mutex<BTreeMap<Source, usize>>>,
}

impl Doors {
    pub(crate) fn new(most: usize) -> Doors {
        Doors { most, open: Arc::default() }
    }

    /// One more connection, counted until what is returned is dropped; none if it would be too many.
    pub(crate) fn enter(&self, source: Source) -> Option<Door> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Door { source, doors: self.clone() })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Door {
    source: Source,
    doors: Doors,
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_connections_and_others_have_theirs() {
        let source = |last| Source::of([192, 0, 2, last].into());
        let doors = Doors::new(2);
        let first = doors.enter(source(1)).unwrap();
        let _second = doors.enter(source(1)).unwrap();
        assert!(doors.enter(source(1)).is_none());
        let other = doors.enter(source(2)).unwrap();
        drop((first, other));
        assert!(doors.enter(source(1)).is_some());
        assert_eq!(doors.open.lock().unwrap().len(), 1);
    }
}

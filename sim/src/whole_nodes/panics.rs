//! Panics of spawned tasks, which tokio swallows.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Sees each panic of this thread, caught or not. A simulation runs on one thread.
#[derive(Debug)]
pub(crate) struct Panics {
    taken: usize,
}

impl Panics {
    /// Watches from now on. What is printed of a panic does not change.
    pub(crate) fn watch() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // During the end of a thread there may be nothing to write into any more.
                let _ = SEEN.try_with(|seen| {
                    if let Ok(mut seen) = seen.try_borrow_mut() {
                        seen.push(format!("a panic: {info}"));
                    }
                });
                before(info);
            }));
        });
        Panics { taken: SEEN.with_borrow(Vec::len) }
    }

    /// The next panic that was not taken yet.
    pub(crate) fn take(&mut self) -> Option<String> {
        let panic = SEEN.with_borrow(|seen| seen.get(self.taken).cloned())?;
        self.taken += 1;
        Some(panic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_a_task_swallows_is_seen() {
        let mut panics = Panics::watch();
        assert_eq!(panics.take(), None);
        let caught = std::panic::catch_unwind(|| panic!("in a task"));
        assert!(caught.is_err());
        assert!(panics.take().is_some_and(|panic| panic.contains("in a task")));
        assert_eq!(panics.take(), None);
    }
}

//! What time it is.

use std::time::Duration;

use tokio::time::Instant;

/// The wall clock as it was once, and how long ago that is: ages must survive a restart, and must not jump when somebody
/// sets the clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    wall: Duration,
}

impl Clock {
    /// Looks at the wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is looked at")]
    pub fn new() -> Clock {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let started = Instant::now();
        Clock { started, wall }
    }

    /// Milliseconds since the start of 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from((self.wall + self.started.elapsed()).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

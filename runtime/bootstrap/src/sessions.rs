//! Who is logged in to the dashboard.

use std::collections::BTreeMap;

/// Sessions at once; of more, the one that ends first goes.
const MAX_SESSIONS: usize = 64;

/// Sessions by the hash of what the browser was given: who reads this memory cannot log in with it.
#[derive(Debug, Default)]
pub(crate) struct Sessions(BTreeMap<[u8; 32], u64>);

impl Sessions {
    /// Begins the session of these random bytes, until `ends` in milliseconds; gives what the browser keeps.
    pub(crate) fn begin(&mut self, random: &[u8; 32], ends: u64) -> String {
        if self.0.len() >= MAX_SESSIONS
            && let Some((&first, _)) = self.0.iter().min_by_key(|(_, ends)| **ends)
        {
            self.0.remove(&first);
        }
        let text = data_encoding::HEXLOWER.encode(random);
        self.0.insert(hash(&text), ends);
        text
    }

    /// For how many milliseconds more this session lasts.
    pub(crate) fn left(&mut self, now: u64, text: &str) -> Option<u64> {
        self.0.retain(|_, ends| *ends > now);
        self.0.get(&hash(text)).map(|ends| ends - now)
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, text: &str) {
        self.0.remove(&hash(text));
    }
}

fn hash(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_its_time_is_over_or_its_user_says_so() {
        let mut sessions = Sessions::default();
        let (one, two) = (sessions.begin(&[1; 32], 1000), sessions.begin(&[2; 32], 2000));
        assert_eq!((sessions.left(999, &one), sessions.left(999, &two)), (Some(1), Some(1001)));
        assert_eq!((sessions.left(1000, &one), sessions.left(1000, "")), (None, None));
        sessions.end(&two);
        assert_eq!(sessions.left(1000, &two), None);
        for number in 0..=MAX_SESSIONS as u64 {
            sessions.begin(&[number as u8; 32], 5000 + number);
        }
        assert_eq!(sessions.0.len(), MAX_SESSIONS);
        assert_eq!(sessions.left(0, &data_encoding::HEXLOWER.encode(&[0; 32])), None);
    }
}

//! A sans-IO client for relays: STUN (RFC 8489), TURN (RFC 8656) and its TCP allocations (RFC 6062).
//!
//! A program behind a router connects to a relay and asks it for an address. Whoever connects to that address is
//! announced to the program, which connects to the relay once more for each and then has an ordinary byte stream. The
//! others need to know nothing of TURN: they dial an address.
//!
//! [`Client`] is the control connection: an allocation with its refreshes, permissions and announcements. [`Bind`] is
//! what is said on a data connection before it becomes a stream. Both take bytes and the time and give bytes, deadlines
//! and events; they have no socket, no clock and no entropy. Time is a [`Duration`](std::time::Duration) since a moment
//! of the caller's choice; transaction ids come from a seed that the server must not be able to guess.
//!
//! Long-term credentials (RFC 8489, section 9.2) are used with MD5 and HMAC-SHA1, which every server knows. The session
//! that is relayed has to protect itself: nothing here does.
//!
//! Nothing that a server sends is trusted: a message has at most [`MAX_MESSAGE`] bytes, answers that nobody waits for
//! are ignored, and an answer that grants something must be signed with the password.

mod bind;
mod client;
mod credentials;
mod error;
mod framing;
mod ids;
mod message;
mod permissions;

pub use bind::Bind;
pub use client::{Client, Event, MAX_ATTEMPTS, Settings};
pub use credentials::Credentials;
pub use error::Error;
pub use framing::MAX_MESSAGE;
pub use permissions::MAX_PERMISSIONS;

//! Buffers of blocks that were used before. A fresh MiB costs 256 page faults, which take longer than to fill it.

use std::sync::{Mutex, PoisonError};

use p2pnet_engine::BLOCK_SIZE;

/// Buffers that are kept. What is beyond them is freed.
const KEPT: usize = 8;

/// What a cipher needs behind a block while it opens it.
const ROOM: usize = 64;

/// The most that a kept buffer may have, and the least: a short one would have to grow all the same.
const MOST: usize = BLOCK_SIZE + 16 * ROOM;
const LEAST: usize = BLOCK_SIZE;

/// Those of the whole process: a block that comes by one link goes out by others.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A buffer of this length, filled with anything.
pub(crate) fn of_length(length: usize) -> Vec<u8> {
    let mut buffer = spare().unwrap_or_else(|| Vec::with_capacity(length.max(1)));
    buffer.resize(length, 0);
    buffer
}

/// A buffer that was used before, with what was in it, if there is one.
pub(crate) fn spare() -> Option<Vec<u8>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// Keeps a buffer that nobody needs any more.
pub(crate) fn give_back(buffer: Vec<u8>) {
    if (LEAST..=MOST).contains(&buffer.capacity()) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < KEPT {
            spare.push(buffer);
        }
    }
}

//! Tests that need several crates at once: see the folder `tests` in here. The library itself is empty.

//! Proves that the engine needs `core` and `alloc` and nothing else: neither it nor any crate below it.
//!
//! `#![no_std]` at the top of a crate proves little, for a dependency may still bring std along. This program has its
//! own panic handler; std has one too, so as soon as std is anywhere below, the build fails with E0152, a duplicate
//! lang item. It is meant for `cargo check --manifest-path engine/no-std-proof/Cargo.toml` and not to be linked or run.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::ToString;
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
use core::panic::PanicInfo;
use core::ptr;

use p2pnet_engine::{ContentHasher, Identity};

/// An allocator that never has memory: enough to be compiled.
struct Nothing;

// SAFETY: a null pointer is the documented answer of an allocator that has no memory; nothing is ever freed.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Uses the engine, so that its code is really compiled for this program.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let mut hasher = ContentHasher::new();
    hasher.update(Identity::from_seed([1; 32]).peer_id().to_string().as_bytes());
    black_box(hasher.finish().is_ok().into())
}

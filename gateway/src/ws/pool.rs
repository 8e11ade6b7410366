//! Buffers that belong to the thread, so that connections need not own any.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};

/// Bytes one read may bring.
pub const SCRATCH: usize = 256 * 1024;
/// A larger buffer goes back to the allocator.
const KEPT_CAPACITY: usize = 256 * 1024;
/// Most buffers kept by a thread: with [`KEPT_CAPACITY`] it bounds what an idle thread holds to 8 MiB.
const KEPT: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SCRATCHES: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// An empty buffer, used before or new.
#[inline]
pub fn take() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a buffer back.
#[inline]
pub fn put(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > KEPT_CAPACITY {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT {
            pool.push(buffer);
        }
    });
}

/// The thread's read buffer, held for the length of one batch. It is taken out of its place meanwhile, so that a
/// handler that read another connection would get a second one and not a panic.
pub struct Scratch(Option<Box<[u8]>>);

/// Borrows the thread's read buffer.
#[inline]
pub fn scratch() -> Scratch {
    Scratch(Some(SCRATCHES.take().unwrap_or_else(|| vec![0; SCRATCH].into_boxed_slice())))
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        SCRATCHES.set(self.0.take());
    }
}

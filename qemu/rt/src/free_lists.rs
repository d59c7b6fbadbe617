//! Lists of freed blocks by size, in front of a heap that searches.
//!
//! Most blocks are small, and one of the size of a block that was freed lately. Such a block is taken off a list and put
//! back on it, which is 50 instructions where a search and joining neighbours are 170. A list keeps a bounded
//! number of bytes. When the heap refuses, everything that is kept is given back to it and it is asked once more: so
//! kept blocks are free memory, and are counted as such.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

/// Bytes that a block takes besides its contents.
const HEADER: usize = 16;
/// Blocks are multiples of this.
const STEP: usize = 32;
/// Lists there are: one for each size of block.
const LISTS: usize = 32;
/// Largest alignment of a block on a list.
const ALIGN: usize = 16;
/// Most bytes that one list keeps.
const KEPT: usize = 8 << 10;
/// Bytes that the heap spends on a larger block besides its contents, at most, alignment aside.
const OVERHEAD: usize = 32;

/// What a freed block holds: the next one.
struct Block {
    next: *mut Block,
}

/// Blocks of one size.
struct List {
    first: Cell<*mut Block>,
    /// Bytes on it.
    kept: Cell<usize>,
}

/// A heap with lists of freed blocks in front, for one thread.
pub struct FreeLists<A> {
    heap: A,
    lists: [List; LISTS],
    /// Bytes in use.
    used: Cell<usize>,
}

// SAFETY: whoever makes one promises that no two threads use it ([`FreeLists::new`]).
unsafe impl<A> Sync for FreeLists<A> {}

/// The list for blocks of this layout, if they are kept on one.
fn list_of(layout: Layout) -> Option<usize> {
    let list = (layout.size() + (STEP - HEADER - 1)) / STEP;
    (list < LISTS && layout.align() <= ALIGN).then_some(list)
}

/// Bytes that a block of a list takes of the heap.
const fn block_size(list: usize) -> usize {
    (list + 1) * STEP
}

/// What every block of a list can hold. It is what the heap is asked for, so that one fits for the other.
fn layout_of(list: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size is small.
    unsafe { Layout::from_size_align_unchecked(block_size(list) - HEADER, ALIGN) }
}

/// What a block that is on no list takes of the heap, at most.
fn cost(layout: Layout) -> usize {
    layout
        .size()
        .next_multiple_of(ALIGN)
        .saturating_add(OVERHEAD)
        .saturating_add(layout.align().saturating_sub(ALIGN))
}

impl<A> FreeLists<A> {
    /// Empty lists in front of `heap`.
    ///
    /// # Safety
    /// No two threads use it at one time, and no interrupt comes between that uses it.
    pub const unsafe fn new(heap: A) -> Self {
        // All zero, so that it takes no room in a program's file.
        let lists = [const { List { first: Cell::new(ptr::null_mut()), kept: Cell::new(0) } }; LISTS];
        FreeLists { heap, lists, used: Cell::new(0) }
    }

    /// The heap behind.
    pub const fn heap(&self) -> &A {
        &self.heap
    }

    /// Bytes in use, from above, with what is spent on each block. What is kept on lists is not in use.
    pub fn used(&self) -> usize {
        self.used.get()
    }
}

impl<A: GlobalAlloc> FreeLists<A> {
    /// Asks the heap for a block, and once more with everything that is kept if it refuses.
    #[cold]
    #[inline(never)]
    fn take(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not 0: a list's is not, and the caller of `alloc` has promised it of every other.
        let block = unsafe { self.heap.alloc(layout) };
        if block.is_null() && self.give_back() {
            // SAFETY: as above.
            return unsafe { self.heap.alloc(layout) };
        }
        block
    }

    /// Gives everything that is kept back to the heap. False if there was nothing.
    fn give_back(&self) -> bool {
        let mut found = false;
        for (at, list) in self.lists.iter().enumerate() {
            while let Some(block) = pop(list, block_size(at)) {
                found = true;
                // SAFETY: what is on a list was taken for its layout, and is nobody's.
                unsafe { self.heap.dealloc(block, layout_of(at)) };
            }
        }
        found
    }
}

/// Takes the first block off a list of blocks of this size.
#[inline(always)]
fn pop(list: &List, size: usize) -> Option<*mut u8> {
    let block = list.first.get();
    if block.is_null() {
        return None;
    }
    // SAFETY: what is on a list is a block that nobody else uses, and `push` has written there.
    list.first.set(unsafe { (*block).next });
    list.kept.set(list.kept.get() - size);
    Some(block.cast())
}

/// Puts a block on a list of blocks of this size. False if the list is full.
///
/// # Safety
/// The block was taken for the list's layout, and nobody uses it any more.
#[inline(always)]
unsafe fn push(list: &List, block: *mut u8, size: usize) -> bool {
    let kept = list.kept.get() + size;
    if kept > KEPT {
        return false;
    }
    let block = block.cast::<Block>();
    // SAFETY: as promised; every block has room for that, and the alignment of a word.
    unsafe { block.write(Block { next: list.first.get() }) };
    list.first.set(block);
    list.kept.set(kept);
    true
}

// SAFETY: a block comes from the heap or off a list; on a list are only blocks that were given back, of a size and an
// alignment that are enough for every layout of that list. What is on a list is in no other use until it is taken off.
unsafe impl<A: GlobalAlloc> GlobalAlloc for FreeLists<A> {
    // Not inlined: it is called from everywhere, and the manager would be 60 KiB larger.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (block, size) = match list_of(layout).and_then(|at| Some((at, self.lists.get(at)?))) {
            Some((at, list)) => {
                let size = block_size(at);
                (pop(list, size).unwrap_or_else(|| self.take(layout_of(at))), size)
            }
            None => (self.take(layout), cost(layout)),
        };
        if !block.is_null() {
            self.used.set(self.used.get() + size);
        }
        block
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (taken_for, size) = match list_of(layout).and_then(|at| Some((at, self.lists.get(at)?))) {
            Some((at, list)) => {
                let size = block_size(at);
                // SAFETY: the caller gives back what `alloc` gave for this layout: a block of this list.
                if unsafe { push(list, block, size) } {
                    self.used.set(self.used.get() - size);
                    return;
                }
                (layout_of(at), size)
            }
            None => (layout, cost(layout)),
        };
        self.used.set(self.used.get() - size);
        // SAFETY: as above, and it was the heap that gave it for that.
        unsafe { self.heap.dealloc(block, taken_for) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is not too large for the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if list_of(layout).is_some_and(|list| list_of(new) == Some(list)) {
            return block;
        }
        // SAFETY: the new size is not 0, by the caller's promise. Both blocks have the bytes that are copied, and are
        // not the same. The old one is given back as it was taken.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests;

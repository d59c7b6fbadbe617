//! The lists over a heap that counts, and over one that has no more than it was given.
#![allow(clippy::unwrap_used, reason = "a test says no by panicking")]

extern crate std;

use super::*;
use std::alloc::System;
use std::collections::BTreeMap;
use std::vec::Vec;

/// The system's heap, cut off at some number of bytes. It minds who gives back what.
struct Small {
    left: Cell<usize>,
    out: core::cell::RefCell<BTreeMap<usize, Layout>>,
}

// SAFETY: blocks are the system's.
unsafe impl GlobalAlloc for Small {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(left) = self.left.get().checked_sub(layout.size()) else { return ptr::null_mut() };
        self.left.set(left);
        // SAFETY: passed on.
        let block = unsafe { System.alloc(layout) };
        self.out.borrow_mut().insert(block as usize, layout);
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        assert_eq!(
            self.out.borrow_mut().remove(&(block as usize)),
            Some(layout),
            "given back as it was taken"
        );
        self.left.set(self.left.get() + layout.size());
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

fn lists(bytes: usize) -> FreeLists<Small> {
    // SAFETY: a test has one thread.
    unsafe { FreeLists::new(Small { left: Cell::new(bytes), out: BTreeMap::new().into() }) }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A block that is filled with a byte of its own as long as it lives.
struct Held {
    block: *mut u8,
    layout: Layout,
    mark: u8,
}

impl Held {
    fn new(lists: &FreeLists<Small>, layout: Layout, mark: u8) -> Option<Held> {
        // SAFETY: no layout here has size 0.
        let block = unsafe { lists.alloc(layout) };
        if block.is_null() {
            return None;
        }
        assert_eq!(block as usize % layout.align(), 0, "aligned");
        // SAFETY: it was allocated with that size.
        unsafe { block.write_bytes(mark, layout.size()) };
        Some(Held { block, layout, mark })
    }
    fn check(&self) {
        // SAFETY: it lives, and was filled to its end.
        let bytes = unsafe { core::slice::from_raw_parts(self.block, self.layout.size()) };
        assert!(bytes.iter().all(|byte| *byte == self.mark), "nobody else has written there");
    }
    fn free(self, lists: &FreeLists<Small>) {
        self.check();
        // SAFETY: allocated with this layout, and forgotten now.
        unsafe { lists.dealloc(self.block, self.layout) }
    }
    fn resize(&mut self, lists: &FreeLists<Small>, size: usize) {
        // SAFETY: allocated with this layout; the size is not 0.
        let moved = unsafe { lists.realloc(self.block, self.layout, size) };
        if moved.is_null() {
            return;
        }
        let kept = Held { block: moved, layout: layout(self.layout.size().min(size), 1), mark: self.mark };
        kept.check();
        (self.block, self.layout) = (moved, layout(size, self.layout.align()));
        // SAFETY: it has this size now.
        unsafe { moved.write_bytes(self.mark, size) };
    }
}

/// SplitMix64.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) as usize
}

#[test]
fn blocks_are_disjoint_aligned_and_go_back_as_they_were_taken() {
    for seed in 0..20 {
        let (lists, mut state) = (lists(300 << 10), seed);
        let mut held: Vec<Held> = Vec::new();
        for round in 0..5000 {
            let new = layout(1 + random(&mut state) % 1500, 1 << (random(&mut state) % 8));
            match random(&mut state) % 6 {
                0..=2 => held.extend(Held::new(&lists, new, round as u8)),
                3 if !held.is_empty() => {
                    let at = random(&mut state) % held.len();
                    held.get_mut(at).unwrap().resize(&lists, new.size());
                }
                _ if !held.is_empty() => held.swap_remove(random(&mut state) % held.len()).free(&lists),
                _ => {}
            }
        }
        let sizes: usize = held.iter().map(|one| one.layout.size()).sum();
        assert!(sizes > 0 && lists.used() >= sizes);
        held.into_iter().for_each(|one| one.free(&lists));
        assert_eq!(lists.used(), 0, "what is kept is free");
        lists.give_back();
        assert!(lists.heap().out.borrow().is_empty(), "and can be given back");
    }
}

#[test]
fn a_freed_block_is_the_next_of_its_size() {
    let lists = lists(1 << 20);
    let first = Held::new(&lists, layout(40, 8), 1).unwrap();
    let (place, left) = (first.block, lists.heap().left.get());
    first.free(&lists);
    let again = Held::new(&lists, layout(20, 4), 2).unwrap();
    assert_eq!((again.block, lists.heap().left.get()), (place, left), "without the heap");
    again.free(&lists);
}

#[test]
fn what_is_kept_is_there_for_blocks_of_another_size() {
    let lists = lists(4096);
    let small: Vec<Held> = core::iter::from_fn(|| Held::new(&lists, layout(100, 8), 1)).collect();
    assert!(small.len() > 20, "they fill the heap");
    small.into_iter().for_each(|one| one.free(&lists));
    assert!(lists.heap().left.get() < 4000, "some are kept");
    let large = Held::new(&lists, layout(4000, 8), 2).expect("the whole heap is free");
    assert!(Held::new(&lists, layout(1000, 8), 3).is_none(), "and nothing more");
    large.free(&lists);
}

#[test]
fn a_list_keeps_a_bounded_number_of_bytes() {
    let lists = lists(1 << 20);
    let many: Vec<Held> = (0..2000).map(|_| Held::new(&lists, layout(100, 8), 1).unwrap()).collect();
    many.into_iter().for_each(|one| one.free(&lists));
    let kept = (1 << 20) - lists.heap().left.get();
    assert!((KEPT / 2..=KEPT).contains(&kept), "{kept}");
}

#[test]
fn comparing_tells_the_first_byte_that_differs() {
    unsafe extern "C" {
        fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32;
    }
    let compare = |a: &[u8], b: &[u8]| {
        assert_eq!(a.len(), b.len());
        // SAFETY: both have that many bytes.
        unsafe { memcmp(a.as_ptr(), b.as_ptr(), a.len()) }
    };
    for length in 0..40 {
        let plain: Vec<u8> = (0..length).map(|at| at as u8 ^ 0x5a).collect();
        assert_eq!(compare(&plain, &plain), 0);
        for at in 0..length {
            let mut other = plain.clone();
            // What follows says the opposite.
            for (index, byte) in other.iter_mut().enumerate().skip(at) {
                *byte = if index == at { byte.wrapping_add(1) } else { 0 };
            }
            let expected = plain.cmp(&other) as i32;
            assert_eq!(compare(&plain, &other).signum(), expected, "{length} {at}");
            assert_eq!(compare(&other, &plain).signum(), -expected, "{length} {at}");
        }
    }
}

//! A call made directly does what it does when it is found by its number.

use crate::memory::HEAP_RESERVE;
use crate::native::testing::{Actor, Came, World};
use crate::testing::Dice;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_abi::{Call, Handle, MessageInfo};

/// Two processes, of which the first receives at an endpoint and the second can send there.
struct Small {
    w: World,
    actors: [Actor; 2],
    handles: Vec<u64>,
}

impl Small {
    fn new() -> Self {
        let mut w = World::new();
        let actors = [w.actor(), w.actor()];
        let (first, second) = (w.endpoint(actors[0]).0, w.endpoint(actors[1]).0);
        let mut small = Small { w, actors, handles: [0, first.0, second.0].into() };
        // Others, so that nobody who makes a call has to wait for it.
        for (actor, endpoint) in [(0, first), (1, second)] {
            let waits = small.w.thread(small.actors[actor].process);
            let call = if actor == 0 { Call::Receive } else { Call::Send };
            small.w.enter(waits, call, endpoint.0, MessageInfo::new(0).0);
        }
        small
    }
    /// Everything that such a call can change.
    fn state(&self) -> String {
        let threads =
            self.w.k.threads.iter().map(|(id, thread)| (id, *thread.registers(), self.w.k.is_runnable(id)));
        let threads: Vec<_> = threads.collect();
        format!("{:?}\n{:?}\n{:?}\n{threads:?}", self.w.k.caps, self.w.k.ipc, self.w.k.sched.current())
    }
}

#[test]
fn a_call_made_directly_does_what_it_does_by_its_number() {
    for seed in 0..200 {
        let (mut dice, mut by_number, mut direct) = (Dice::new(seed), Small::new(), Small::new());
        for _ in 0..60 {
            let thread = by_number.actors[dice.below(2) as usize].thread;
            let call =
                [Call::Null, Call::Derive, Call::Derive, Call::Delete, Call::Revoke][dice.below(5) as usize];
            let known = by_number.handles.len() as u64;
            let mut handle = by_number.handles[dice.below(known) as usize];
            if dice.below(10) == 0 {
                handle ^= 1 << dice.below(40);
            }
            let args = [handle, dice.below(256), [0, 0, 5, 7][dice.below(4) as usize]];
            let heap = if dice.below(20) == 0 { HEAP_RESERVE - 1 } else { HEAP_RESERVE };
            for small in [&mut by_number, &mut direct] {
                small.w.k.mem.hw.heap_free = heap;
            }
            let r = by_number.w.k.threads.get_mut(thread).unwrap().registers_mut();
            r.rdx = args[2];
            let came = by_number.w.enter(thread, call, args[0], args[1]);
            assert_eq!(
                direct.w.enter_directly(thread, call, args),
                Some(came),
                "{call:?} {args:?}, seed {seed}"
            );
            assert_eq!(by_number.state(), direct.state(), "{call:?} {args:?}, seed {seed}");
            if let (Call::Derive, Came::Back(0, [made, ..])) = (call, came) {
                assert!(Handle(made).slot() > 0);
                by_number.handles.push(made);
            }
        }
    }
}

//! Virtual time: it stands still until somebody waits, then jumps to the next thing that is due.

use super::Model;
use super::container::{Ended, Motion};
use super::process::Run;
use crate::glue::{ContainerKey, Event, Pid};
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;

/// Something that happens by itself.
#[derive(Clone, Copy)]
enum Due {
    Command(Pid),
    Job(ContainerKey),
}

/// Who says what comes first of things that are due at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Chance, by the seed.
    Chance,
    /// A number that was told: what is left of it, and how many numbers there are that make a difference.
    Told { left: u64, orders: u64 },
}

impl Model {
    /// From now on a number says what comes first of things that are due at once, and not chance. Each possible order
    /// comes of some number below [`Model::orders`], as that is after some smaller number.
    pub fn set_order(&mut self, number: u64) {
        self.order = Order::Told { left: number, orders: 1 };
    }

    /// In how many orders things could have happened since [`Model::set_order`], as far as that is known by now; 1 if
    /// that was not called.
    pub const fn orders(&self) -> u64 {
        match self.order {
            Order::Chance => 1,
            Order::Told { orders, .. } => orders,
        }
    }

    /// Lets this much time pass, and everything happen that is due by then. Its events wait in order.
    pub fn advance(&mut self, time: Nanos) {
        let end = Nanos(self.clock.0.saturating_add(time.0));
        while let Some((due, what)) = self.earliest()
            && due <= end
        {
            self.clock = self.clock.max(due);
            self.happen_one(&what);
        }
        self.clock = end;
    }

    /// Everything happens that is due now.
    pub(super) fn settle(&mut self) {
        self.advance(Nanos(0));
    }

    /// Jumps to the next thing that is due; says whether there was one.
    pub(super) fn jump(&mut self) -> Jump {
        match self.earliest() {
            Some((due, what)) => {
                self.clock = self.clock.max(due);
                self.happen_one(&what);
                Jump::Done
            }
            None => Jump::Nothing,
        }
    }

    /// One of these things, which are due at once, happens.
    fn happen_one(&mut self, what: &[Due]) {
        let first = self.choose(what.len());
        if let Some(one) = what.get(first) {
            self.happen(*one);
        }
    }

    /// Which of so many things comes first.
    fn choose(&mut self, many: usize) -> usize {
        let many = many as u64;
        let first = match &mut self.order {
            _ if many < 2 => 0,
            Order::Chance => self.chance(many),
            Order::Told { left, orders } => {
                let first = *left % many;
                *left /= many;
                *orders = orders.saturating_mul(many);
                first
            }
        };
        first as usize
    }

    fn happen(&mut self, what: Due) {
        match what {
            Due::Command(pid) => self.run_command(pid),
            Due::Job(key) => {
                let before = self.events.len();
                if let Some(ended) = self.go_on(key) {
                    let event = match ended {
                        Ended::Prepared(result) => Event::Prepared { key, result },
                        Ended::Released(result) => Event::Released { key, result },
                        Ended::Destroyed => Event::Destroyed { key },
                    };
                    // That a release failed is told before the end of the process at the gate, which follows from it.
                    self.events.insert(before.min(self.events.len()), event);
                }
            }
        }
    }

    /// What is due first, and when: all of it that is due at once.
    fn earliest(&self) -> Option<(Nanos, Vec<Due>)> {
        let mut first: Option<Nanos> = None;
        let mut what: Vec<Due> = Vec::new();
        let mut offer = |due: Nanos, thing: Due| match first {
            Some(earlier) if earlier < due => {}
            Some(equal) if equal == due => what.push(thing),
            _ => {
                first = Some(due);
                what = Vec::from([thing]);
            }
        };
        for process in self.objects.processes.values() {
            let container = self.containers.get(&process.key.container());
            if let Run::Ready { due } = process.run
                && container.is_some_and(|c| c.motion == Motion::Free)
            {
                offer(due.max(self.clock), Due::Command(process.pid));
            }
        }
        for (key, container) in self.containers.iter() {
            if let Some(job) = &container.job {
                offer(job.due.max(self.clock), Due::Job(*key));
            }
        }
        Some((first?, what))
    }
}

/// Whether time could go on.
pub(super) enum Jump {
    Done,
    Nothing,
}

/// The container an event is about.
pub(super) fn container_of(event: &Event) -> ContainerKey {
    match event {
        Event::Prepared { key, .. }
        | Event::Released { key, .. }
        | Event::Destroyed { key }
        | Event::OutOfMemory { key } => *key,
        Event::Exited { process, .. } | Event::Output { process } => process.container(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_of_things_that_are_due_at_once_comes_of_a_number() {
        let first = |number: u64| {
            let mut model = Model::new(1);
            model.set_order(number);
            let mut left = alloc::vec!['a', 'b', 'c', 'd'];
            let mut order = Vec::new();
            while !left.is_empty() {
                order.push(left.remove(model.choose(left.len())));
            }
            (order, model.orders())
        };
        let orders: alloc::collections::BTreeSet<_> = (0..24).map(first).collect();
        assert_eq!(orders.len(), 24);
        assert!(orders.iter().all(|(_, orders)| *orders == 24));
    }
}

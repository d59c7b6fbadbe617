//! What has happened, as far back as there is room.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{EventKind, EventPage, EventRow, Nanos};

/// Events kept for each container and each factory.
pub const EVENTS_MAX: usize = 64;

/// One event, as it is kept: with the id that everybody else has.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was noticed.
    pub at: Nanos,
    /// The container.
    pub id: Arc<ContainerId>,
    /// What happened.
    pub kind: EventKind,
}

/// A bounded stream of events. Positions count every event ever told, so a reader can tell what it has missed, and
/// however slow a reader is, nobody waits for it.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    rows: VecDeque<Event>,
    /// Position of the oldest event kept.
    start: u64,
}

impl Stream {
    /// Position after the newest event.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.rows.len() as u64)
    }

    /// Adds an event; the oldest makes room.
    pub fn push(&mut self, row: Event) {
        if self.rows.len() >= EVENTS_MAX {
            self.rows.pop_front();
            self.start = self.start.saturating_add(1);
        }
        if self.rows.is_empty() {
            // Many streams never hold a second one.
            self.rows.reserve_exact(1);
        }
        self.rows.push_back(row);
    }

    /// The events at `cursor` or, if they were dropped, after it, as many as a page holds. None if `cursor` is past the
    /// end.
    pub fn read(&self, cursor: u64) -> Option<EventPage> {
        if cursor > self.end() {
            return None;
        }
        let from = cursor.max(self.start);
        let mut page = EventPage { next: from, lost: from - cursor, ..EventPage::default() };
        for Event { at, id, kind } in self.rows.iter().skip((from - self.start) as usize) {
            if page.rows.push(EventRow { at: *at, id: (**id).clone(), kind: *kind }).is_err() {
                break;
            }
            page.next += 1;
        }
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_protocol::message::PAGE_ROWS;

    #[test]
    fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
        let mut stream = Stream::default();
        for at in 0..100 {
            let id = Arc::new(ContainerId::new("web").unwrap());
            stream.push(Event { at: Nanos(at), id, kind: EventKind::Created });
        }
        let page = stream.read(3).unwrap();
        assert_eq!((page.lost, page.rows.len(), page.rows[0].at), (33, PAGE_ROWS, Nanos(36)));
        let page = stream.read(page.next).unwrap();
        assert_eq!((page.lost, page.rows.len(), page.next), (0, 32, 100));
        assert!(stream.read(100).unwrap().rows.is_empty() && stream.read(101).is_none());
    }
}

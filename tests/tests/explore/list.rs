//! Who derived what from what, and what was taken back since: by the word of the answers, with no line of the server's.

use bailiwick_kernel_glue::ContainerKey;
use bailiwick_protocol::id::{Badge, GrantHandle};
use bailiwick_protocol::message::Nanos;
use bailiwick_protocol::op::ObjectKind;
use bailiwick_protocol::rights::Rights;

/// A capability in the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Id(u32);

/// What is known of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// None of one that is stored with a container: nobody holds it.
    pub(super) badge: Option<Badge>,
    pub(super) parent: Option<Id>,
    pub(super) kind: ObjectKind,
    /// What it allows, neither more nor less.
    pub(super) rights: Rights,
    /// What its giver can have it taken back by.
    pub(super) handle: Option<GrantHandle>,
    /// The container it is on or in.
    pub(super) container: Option<ContainerKey>,
    pub(super) uses: Option<u32>,
    pub(super) expires: Option<Nanos>,
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    There,
    GivenUp,
    TakenBack,
}

#[derive(Clone, Debug)]
pub(super) struct List {
    rows: Vec<(Id, Known)>,
    next: u32,
}

impl List {
    /// The first capability.
    pub(super) fn new(root: Badge) -> (List, Id) {
        let first = Known {
            badge: Some(root),
            parent: None,
            kind: ObjectKind::Factory,
            rights: Rights::FACTORY,
            handle: None,
            container: None,
            uses: None,
            expires: None,
            standing: Standing::There,
        };
        (List { rows: vec![(Id(0), first)], next: 1 }, Id(0))
    }

    pub(super) fn add(&mut self, known: Known) -> Id {
        let id = Id(self.next);
        self.next += 1;
        self.rows.push((id, known));
        id
    }

    pub(super) fn find(&self, id: Id) -> Option<&Known> {
        self.rows.iter().find(|row| row.0 == id).map(|row| &row.1)
    }

    /// One that somebody holds or waits on, which is never forgotten.
    pub(super) fn get(&self, id: Id) -> &Known {
        self.find(id).unwrap()
    }

    pub(super) fn of_badge(&self, badge: Badge) -> Option<Id> {
        self.rows.iter().find(|row| row.1.badge == Some(badge)).map(|row| row.0)
    }

    fn change(&mut self, id: Id, change: impl FnOnce(&mut Known)) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.0 == id) {
            change(&mut row.1);
        }
    }

    /// It and all above it, up to the first one.
    pub(super) fn chain(&self, id: Id) -> impl Iterator<Item = &Known> {
        std::iter::successors(self.find(id), |known| known.parent.and_then(|parent| self.find(parent)))
    }

    /// Whether a call on this capability must be let through, as far as taking back, time and uses go.
    pub(super) fn is_live(&self, id: Id, now: Nanos) -> bool {
        self.get(id).standing == Standing::There
            && self.chain(id).all(|known| {
                known.standing != Standing::TakenBack
                    && known.uses != Some(0)
                    && known.expires.is_none_or(|end| end > now)
            })
    }

    /// The least uses that are left here or above.
    pub(super) fn uses(&self, id: Id) -> Option<u32> {
        self.chain(id).filter_map(|known| known.uses).min()
    }

    /// Those derived from it that it can name.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = (Id, GrantHandle)> {
        let own = move |known: &Known| known.parent == Some(id) && known.standing != Standing::TakenBack;
        self.rows.iter().filter(move |row| own(&row.1)).filter_map(|row| Some((row.0, row.1.handle?)))
    }

    pub(super) fn spend(&mut self, id: Id) {
        let mut at = Some(id);
        while let Some(id) = at {
            at = None;
            self.change(id, |known| {
                known.uses = known.uses.map(|uses| uses.saturating_sub(1));
                at = known.parent;
            });
        }
    }

    pub(super) fn give_up(&mut self, id: Id) {
        self.change(id, |known| {
            if known.standing == Standing::There {
                known.standing = Standing::GivenUp;
            }
        });
    }

    pub(super) fn take_back(&mut self, id: Id) {
        self.change(id, |known| known.standing = Standing::TakenBack);
    }

    pub(super) fn take_back_below(&mut self, id: Id) {
        for (_, known) in self.rows.iter_mut().filter(|row| row.1.parent == Some(id)) {
            known.standing = Standing::TakenBack;
        }
    }

    /// Forgets what nobody needs any more, nor anything derived from it.
    pub(super) fn forget(&mut self, needed: impl Fn(Id) -> bool) {
        loop {
            let parents: Vec<Id> = self.rows.iter().filter_map(|row| row.1.parent).collect();
            let before = self.rows.len();
            self.rows.retain(|(id, _)| id.0 == 0 || parents.contains(id) || needed(*id));
            if self.rows.len() == before {
                return;
            }
        }
    }
}

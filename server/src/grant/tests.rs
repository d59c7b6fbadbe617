#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]
use super::*;
use alloc::vec;

const NOW: Nanos = Nanos(0);

fn not_found<T>(result: Result<T, Refusal>) -> bool {
    matches!(result, Err(refusal) if refusal == RefusalCode::NotFound.into())
}

/// Grants that are all on one object.
#[derive(Default)]
struct Tree {
    grants: Grants<u32>,
    peers: Peers,
}

impl Tree {
    fn root(&mut self, rights: Rights) -> Badge {
        self.grants.root(1, rights, &mut self.peers).unwrap()
    }
    fn derive(&mut self, parent: Badge, terms: impl Into<Terms>) -> Badge {
        self.derived(parent, terms).badge
    }
    fn derived(&mut self, parent: Badge, terms: impl Into<Terms>) -> Derived {
        self.grants.derive(parent, 1, terms.into(), &mut self.peers).unwrap()
    }
    fn live(&self, badge: Badge) -> bool {
        self.grants.resolve(badge, || NOW).is_ok()
    }
    /// Sweeps to the end; gives what was freed.
    fn sweep(&mut self, mut sweep: Sweep) -> Vec<Badge> {
        let mut ended = vec![];
        loop {
            match sweep.step(&mut self.grants) {
                Swept::Ripe(badge) => {
                    self.grants.free(badge, &mut self.peers).unwrap();
                    ended.push(badge);
                }
                Swept::Onward => {}
                Swept::Done => break,
            }
        }
        ended.extend(self.wither());
        self.grants.audit([], |_| false).unwrap();
        ended.sort();
        ended
    }
    fn wither(&mut self) -> Vec<Badge> {
        let mut ended = vec![];
        while let Some(badge) = self.grants.take_withered() {
            ended.extend(self.grants.free(badge, &mut self.peers).map(|_| badge));
        }
        ended
    }
    fn give_up(&mut self, badge: Badge) {
        match self.grants.give_up(badge).unwrap() {
            GivenUp::Bare => drop(self.grants.free(badge, &mut self.peers)),
            GivenUp::Joint => self.peers.let_go(),
        }
        self.wither();
        self.grants.audit([], |_| false).unwrap();
    }
}

#[test]
fn a_derived_grant_never_holds_more_than_its_parent() {
    let mut tree = Tree::default();
    let held = Rights::INSPECT | Rights::DERIVE;
    let root = tree.root(held);
    let child = tree.derive(root, Rights::all());
    let found = tree.grants.resolve(child, || NOW).unwrap();
    assert_eq!((found.object, found.rights, found.depth), (1, held, 1));
    let grandchild = tree.derive(child, Rights::INSPECT | Rights::DELETE);
    assert_eq!(tree.grants.resolve(grandchild, || NOW).unwrap().rights, Rights::INSPECT);
}

#[test]
fn cutting_below_ends_all_descendants_at_once_and_nothing_else() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let (a, b) = (tree.derive(root, Rights::all()), tree.derive(root, Rights::all()));
    let mut below: Vec<Badge> = (0..3).map(|_| tree.derive(a, Rights::all())).collect();
    below.push(tree.derive(below[1], Rights::all()));
    let sweep = tree.grants.cut_below(a);
    assert!(below.iter().all(|badge| not_found(tree.grants.resolve(*badge, || NOW))));
    assert!(tree.live(a) && tree.live(b));
    let later = tree.derive(a, Rights::all());
    below.sort();
    assert_eq!(tree.sweep(sweep), below);
    assert!(tree.live(later) && tree.grants.len() == 4);
    let sweep = tree.grants.cut_below(b);
    assert_eq!(tree.sweep(sweep), []);
}

#[test]
fn a_handle_names_one_descendant_and_is_never_used_again() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let (a, b) = (tree.derived(root, Rights::all()), tree.derived(root, Rights::all()));
    let below = tree.derived(a.badge, Rights::all());
    assert_eq!(tree.grants.find(root, &[a.handle, below.handle]), Ok(below.badge));
    let sweep = tree.grants.cut(below.badge);
    assert!(!tree.live(below.badge) && tree.live(a.badge));
    tree.sweep(sweep);
    let next = tree.derived(a.badge, Rights::all());
    assert_ne!(next.handle, below.handle);
    assert!(not_found(tree.grants.find(root, &[a.handle, below.handle])));
    assert!(not_found(tree.grants.find(b.badge, &[GrantHandle(u64::MAX)])));
    let sweep = tree.grants.cut(a.badge);
    assert_eq!(tree.sweep(sweep).len(), 2);
    assert!(tree.live(b.badge) && not_found(tree.grants.find(root, &[a.handle])));
}

#[test]
fn what_was_given_up_can_still_be_named_and_takes_its_descendants_along() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let a = tree.derived(root, Rights::all());
    let below = tree.derive(a.badge, Rights::all());
    tree.give_up(a.badge);
    assert!(!tree.live(a.badge) && tree.live(below));
    let found = tree.grants.find(root, &[a.handle]).unwrap();
    let sweep = tree.grants.cut(found);
    assert!(!tree.live(below));
    tree.sweep(sweep);
    assert_eq!((tree.grants.len(), tree.peers.records(), tree.peers.held()), (1, 1, 1));
}

#[test]
fn a_joint_goes_with_the_last_that_hangs_on_it() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let chain: Vec<Badge> = (0..3).fold(vec![root], |mut chain, _| {
        chain.push(tree.derive(chain[chain.len() - 1], Rights::all()));
        chain
    });
    tree.give_up(chain[1]);
    tree.give_up(chain[2]);
    assert_eq!((tree.grants.len(), tree.peers.held()), (4, 2));
    tree.give_up(chain[3]);
    assert_eq!((tree.grants.len(), tree.peers.held()), (1, 1));
}

#[test]
fn an_old_badge_finds_nothing_after_its_slot_was_used_again() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let old = tree.derive(root, Rights::all());
    let orphan = tree.derive(old, Rights::all());
    let sweep = tree.grants.cut(old);
    // As long as the sweep is not done, what is below finds its parent cut; afterwards, gone or another.
    assert!(!tree.live(orphan));
    tree.sweep(sweep);
    let new = [tree.derive(root, Rights::all()), tree.derive(root, Rights::all())];
    assert!(new.iter().any(|badge| badge.index() == old.index()));
    assert!(not_found(tree.grants.resolve(old, || NOW)) && not_found(tree.grants.give_up(old)));
    assert!(not_found(tree.grants.derive(old, 1, Rights::all().into(), &mut tree.peers)));
}

#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let mut tree = Tree::default();
    let badge = tree.root(Rights::all());
    tree.grants.slots[0].generation = u32::MAX;
    let last = Badge::new(badge.index(), u32::MAX);
    let sweep = tree.grants.cut(last);
    tree.sweep(sweep);
    assert_ne!(tree.root(Rights::all()).index(), badge.index());
    assert!(not_found(tree.grants.resolve(last, || NOW)));
}

#[test]
fn a_badge_of_nobody_looks_like_one_that_was_revoked() {
    let mut tree = Tree::default();
    let badge = tree.root(Rights::all());
    let sweep = tree.grants.cut(badge);
    tree.sweep(sweep);
    assert_eq!(tree.grants.resolve(badge, || NOW), tree.grants.resolve(Badge(u64::MAX), || NOW));
}

#[test]
fn nothing_outlives_the_time_set_above_it() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let at = |time| Terms { expires: Some(Nanos(time)), ..Rights::all().into() };
    let a = tree.derive(root, at(10));
    let late = tree.derive(a, at(20));
    let early = tree.derive(a, at(5));
    let ends = |badge| tree.grants.resolve(badge, || NOW).unwrap().expires;
    assert_eq!([a, late, early].map(ends), [Some(Nanos(10)), Some(Nanos(10)), Some(Nanos(5))]);
    assert!(
        tree.grants.resolve(a, || Nanos(9)).is_ok() && not_found(tree.grants.resolve(late, || Nanos(10)))
    );
    assert_eq!(tree.grants.next_expiry(), Some(Nanos(5)));
    assert_eq!(tree.grants.take_expired(|| Nanos(4)), None);
    assert_eq!(tree.grants.take_expired(|| Nanos(30)), Some(early));
    let sweep = tree.grants.cut(a);
    tree.sweep(sweep);
    assert_eq!(tree.grants.next_expiry(), None);
}

#[test]
fn uses_are_counted_on_every_grant_above() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let times = |uses| Terms { uses: Some(uses), ..Rights::all().into() };
    let a = tree.derive(root, times(3));
    let (b, c) = (tree.derive(a, times(9)), tree.derive(a, Rights::all()));
    let left = |tree: &Tree, badge| tree.grants.resolve(badge, || NOW).map(|found| found.uses);
    assert_eq!((left(&tree, b), left(&tree, root)), (Ok(Some(3)), Ok(None)));
    tree.grants.spend(b);
    tree.grants.spend(c);
    assert_eq!((left(&tree, a), left(&tree, b)), (Ok(Some(1)), Ok(Some(1))));
    tree.grants.spend(c);
    assert!([a, b, c].into_iter().all(|badge| not_found(tree.grants.resolve(badge, || NOW))));
    assert!(tree.live(root) && tree.grants.is_attached(c));
}

#[test]
fn derivations_in_a_row_are_bounded() {
    let mut tree = Tree::default();
    let mut at = tree.root(Rights::all());
    for _ in 0..DEPTH_MAX {
        at = tree.derive(at, Rights::all());
    }
    let refused = tree.grants.derive(at, 1, Rights::all().into(), &mut tree.peers);
    assert_eq!(refused.unwrap_err().code, RefusalCode::Full);
    assert_eq!(tree.grants.len(), 1 + usize::from(DEPTH_MAX));
    tree.grants.audit([], |_| false).unwrap();
}

#[test]
fn a_sweep_may_rest_anywhere_while_others_free_what_it_is_about_to() {
    for rest in 0..40 {
        let mut tree = Tree::default();
        let root = tree.root(Rights::all());
        let a = tree.derive(root, Rights::all());
        let below: Vec<Badge> = (0..4).map(|_| tree.derive(a, Rights::all())).collect();
        let deep: Vec<Badge> = below.iter().map(|badge| tree.derive(*badge, Rights::all())).collect();
        let mut sweep = tree.grants.cut_below(root);
        for _ in 0..rest {
            if let Swept::Ripe(badge) = sweep.step(&mut tree.grants) {
                tree.grants.free(badge, &mut tree.peers);
            }
        }
        tree.grants.audit([&sweep], |_| false).unwrap();
        // As when objects end: all grants on them, in any order.
        for badge in [below[2], deep[1], deep[2], deep[3]] {
            tree.grants.free(badge, &mut tree.peers);
        }
        tree.sweep(sweep);
        assert_eq!(tree.grants.len(), 1);
        assert!(below.iter().chain(&deep).all(|badge| !tree.live(*badge)));
    }
}

#[test]
fn a_sweep_that_rested_leaves_alone_whoever_has_the_slot_it_was_about_to_free() {
    for rest in 0..3 {
        let mut tree = Tree::default();
        let root = tree.root(Rights::all());
        let a = tree.derive(root, Rights::all());
        let mut sweep = tree.grants.cut(a);
        for _ in 0..rest {
            sweep.step(&mut tree.grants);
        }
        // As when its object ends meanwhile.
        tree.grants.free(a, &mut tree.peers);
        let new = tree.derive(root, Rights::all());
        let below = tree.derive(new, Rights::all());
        assert_eq!(new.index(), a.index());
        tree.sweep(sweep);
        assert!(tree.live(new) && tree.live(below));
    }
}

/// Random histories against a list of (badge, parent, rights) that is searched from the front.
#[test]
fn random_histories_agree_with_a_naive_list() {
    let mut state = 7u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut tree = Tree::default();
    // Badge, parent, rights, depth, and whether it is held.
    let mut naive: Vec<(Badge, Option<Badge>, Rights, u16, bool)> = vec![];
    for _ in 0..20_000 {
        let held: Vec<usize> = (0..naive.len()).filter(|at| naive[*at].4).collect();
        if held.is_empty() || random(10) == 0 {
            naive.push((tree.root(Rights::all()), None, Rights::all(), 0, true));
            continue;
        }
        let at = held[random(held.len())];
        let (badge, _, rights, depth, _) = naive[at];
        match random(6) {
            0 => {
                naive[at].4 = false;
                tree.give_up(badge);
                while let Some(bare) =
                    naive.iter().position(|row| !row.4 && naive.iter().all(|r| r.1 != Some(row.0)))
                {
                    naive.remove(bare);
                }
            }
            1 => {
                let sweep = tree.grants.cut(badge);
                let mut gone = vec![badge];
                while let Some(row) = naive
                    .iter()
                    .find(|row| !gone.contains(&row.0) && row.1.is_some_and(|p| gone.contains(&p)))
                {
                    gone.push(row.0);
                }
                naive.retain(|row| !gone.contains(&row.0));
                while let Some(bare) =
                    naive.iter().position(|row| !row.4 && naive.iter().all(|r| r.1 != Some(row.0)))
                {
                    gone.push(naive.remove(bare).0);
                }
                gone.sort();
                assert_eq!(tree.sweep(sweep), gone);
            }
            _ if depth == DEPTH_MAX => {}
            _ => {
                let mask = Rights::from_bits_truncate(random(1 << 13) as u32);
                let child = tree.derive(badge, mask);
                naive.push((child, Some(badge), rights & mask, depth + 1, true));
            }
        }
        assert_eq!(tree.grants.len(), naive.len());
        // One is remembered now and then, so that there is something to be wrong.
        if let Some((badge, ..)) = naive.get(random(naive.len().max(1))) {
            assert_eq!(tree.grants.steady(*badge), tree.grants.resolve(*badge, || NOW).ok());
        }
    }
    for (badge, _, rights, ..) in naive.iter().filter(|row| row.4) {
        assert_eq!(tree.grants.resolve(*badge, || NOW).unwrap().rights, *rights);
    }
}

/// What was found once to be attached is found to be so no more, however it ended.
#[test]
fn what_is_remembered_ends_with_everything_that_ends_a_grant() {
    type End = fn(&mut Tree, [Badge; 3]);
    let ends: [(&str, End); 6] = [
        ("a cut of its own", |tree, [_, _, leaf]| drop(tree.grants.cut(leaf))),
        ("a cut above", |tree, [_, middle, _]| drop(tree.grants.cut(middle))),
        ("a cut below the root", |tree, [root, ..]| drop(tree.grants.cut_below(root))),
        ("giving it up", |tree, [_, _, leaf]| tree.give_up(leaf)),
        ("its record's end", |tree, [_, _, leaf]| {
            tree.grants.free(leaf, &mut tree.peers);
        }),
        ("the end of a record above", |tree, [_, middle, _]| {
            tree.grants.free(middle, &mut tree.peers);
        }),
    ];
    for (how, end) in ends {
        let mut tree = Tree::default();
        let root = tree.root(Rights::all());
        let middle = tree.derive(root, Rights::all());
        let leaf = tree.derive(middle, Rights::INSPECT);
        for _ in 0..2 {
            assert_eq!(tree.grants.steady(leaf), tree.grants.resolve(leaf, || NOW).ok(), "{how}");
        }
        assert!(tree.grants.known(tree.grants.get(leaf).unwrap()));
        end(&mut tree, [root, middle, leaf]);
        assert_eq!(tree.grants.steady(leaf), None, "{how}");
        assert!(!tree.live(leaf), "{how}");
        // Another one in its place begins with nothing remembered.
        let other = tree.root(Rights::DELETE);
        assert!(!tree.grants.known(tree.grants.get(other).unwrap()), "{how}");
    }
}

#[test]
fn nothing_is_remembered_of_what_ends_by_itself_or_counts_calls() {
    let mut tree = Tree::default();
    let root = tree.root(Rights::all());
    let own = Terms { uses: Some(2), ..Terms::from(Rights::all()) };
    let timed = Terms { expires: Some(Nanos(5)), ..Terms::from(Rights::all()) };
    for terms in [own, timed] {
        let above = tree.derive(root, terms);
        let below = tree.derive(above, Rights::all());
        for badge in [above, below, above, below] {
            assert_eq!(tree.grants.steady(badge), None);
            assert!(tree.live(badge) && !tree.grants.known(tree.grants.get(badge).unwrap()));
        }
    }
    assert!(tree.grants.steady(root).is_some());
}

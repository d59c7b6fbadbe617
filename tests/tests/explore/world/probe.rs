//! Questions that change nothing, and the end of everything.

use super::super::alphabet::reads;
use super::super::list::Id;
use super::{World, refusal};
use bailiwick_kernel_glue::model::{Directory, Model};
use bailiwick_kernel_glue::picture::Picture;
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::*;
use bailiwick_protocol::op::Op;
use bailiwick_protocol::rights::Rights;
use bailiwick_server::Leftover;
use bailiwick_tests::desk::Answer;

impl World {
    /// Everything that only reads or is refused, on every capability: it is answered as it must be, and changes nothing.
    pub(in super::super) fn try_the_rest(mut self, bundle: &Directory, picture: &mut Picture) {
        // Asked for anything, the model does first what is due.
        self.desk.glue.advance(Nanos(0));
        let before = self.fingerprint(picture);
        let quiet = self.is_quiet();
        for badge in self.dead.clone() {
            for request in [Request::Describe, Request::Sync, Request::Revoke] {
                let answer = self.ask(badge, &request, None);
                assert_eq!(refusal(answer.as_ref()), Some(RefusalCode::NotFound.into()), "{request:?}");
            }
        }
        for id in self.held.clone() {
            for what in self.calls(id) {
                if self.allows(id, what) {
                    continue;
                }
                let request = what.request(id, &self.list);
                let directory = (request.capabilities() > 0).then_some(bundle);
                let badge = self.badge(id);
                let answer = self.ask(badge, &request, directory);
                // What was left over may have called the creation of its container off. Of one that ends only by itself
                // time is not over yet: the rest is refused for want of rights.
                let gone = self.list.get(id).container.is_some_and(|key| !self.exists(key));
                let live = self.is_live(id) && !gone;
                let code = if live { RefusalCode::Rights } else { RefusalCode::NotFound };
                assert_eq!(refusal(answer.as_ref()).map(|refusal| refusal.code), Some(code), "{what:?}");
            }
            if self.list.uses(id).is_none() {
                self.read_everything(id, bundle);
            }
        }
        self.read_answers();
        if quiet {
            assert_eq!(before, self.fingerprint(picture), "a question has changed something");
        }
    }

    fn ask(&mut self, badge: Badge, request: &Request<'_>, directory: Option<&Directory>) -> Option<Answer> {
        let sent = self.desk.send(badge, request, directory);
        let answer = self.desk.answer(sent).cloned();
        self.desk.forget(sent);
        answer
    }

    fn read_everything(&mut self, id: Id, bundle: &Directory) {
        let (known, badge) = (*self.list.get(id), self.badge(id));
        let plan = Request::Plan(Page { from: 0 });
        for request in reads().into_iter().chain([plan]) {
            let (op, directory) = (request.op(), (request.capabilities() > 0).then_some(bundle));
            if op == Op::Sync && self.desk.manager.leftover() == Leftover::Some {
                continue;
            }
            let Some(answer) = self.ask(badge, &request, directory) else { continue };
            let live = self.is_live(id);
            let refusal = refusal(Some(&answer));
            match refusal.map(|refusal| refusal.code) {
                None if answer.error().is_some() => {}
                None => {
                    let fits = op.target().accepts(known.kind) && known.rights.contains(op.rights());
                    assert!(live && fits, "{request:?} was carried out");
                }
                Some(RefusalCode::Rights) => assert!(!known.rights.contains(op.rights()), "{request:?}"),
                Some(RefusalCode::WrongKind) => assert!(!op.target().accepts(known.kind), "{request:?}"),
                Some(RefusalCode::NotFound) => {
                    let empty = matches!(
                        request,
                        Request::RevokeOne(_) | Request::Lookup(_) | Request::Annotation(_)
                    );
                    assert!(empty || !live || known.container.is_some_and(|key| !self.exists(key)));
                }
                Some(code) => assert_ne!(code, RefusalCode::Internal),
            }
            if request == Request::Describe && answer.error().is_none() {
                let told: Description = answer.read().unwrap();
                assert_eq!((told.kind, told.rights), (known.kind, known.rights), "{told:?}");
                assert_eq!(usize::from(told.depth), self.list.chain(id).count() - 1, "{told:?}");
            }
        }
    }

    /// Everybody dies and everything is removed. Nothing is left.
    pub(in super::super) fn wind_up(mut self) {
        let page = Page { from: 0 };
        let root = self.desk.root;
        for id in std::mem::take(&mut self.held) {
            if self.badge(id) != root {
                self.close(id);
            }
        }
        while self.desk.pump(Waiting::Yes).is_some() {}
        if self.desk.call(root, &Request::Describe, None).is_ok() {
            let delete = Request::Delete(Delete { mode: DeleteMode::Force });
            self.desk.call(root, &Request::Revoke, None).unwrap();
            self.desk.call(root, &Request::Sync, None).unwrap();
            loop {
                let list: ListPage =
                    self.desk.call(root, &Request::List(page), None).unwrap().read().unwrap();
                let Some(row) = list.rows.first() else { break };
                let lookup = Request::Lookup(Lookup { id: row.id.as_str(), rights: Rights::all() });
                let badge = self.desk.call(root, &lookup, None).unwrap().mint.unwrap();
                // One that is being removed is waited for.
                let _ = self.desk.call(badge, &delete, None);
                while self.desk.pump(Waiting::Yes).is_some() {}
                self.desk.close(badge);
            }
            self.desk.close(root);
            while self.desk.pump(Waiting::Yes).is_some() {}
            assert_eq!(self.desk.glue.census(), Model::new(1).census());
            assert_eq!((self.desk.manager.container_count(), self.desk.manager.grant_count()), (0, 0));
        }
        for (token, answers) in self.desk.take_answers() {
            self.open.retain(|open| open.token != token);
            assert_eq!(answers.len(), 1);
        }
        assert!(self.open.is_empty(), "without an answer: {:?}", self.open);
        self.desk.manager.audit().unwrap();
    }
}

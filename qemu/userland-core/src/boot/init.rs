//! The supervisor's decisions, carried out through the client library.

use super::{Action, Millis, Supervisor};
use crate::console::{Bundles, Console, Waiter, say};
use crate::shell::exit_text;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_client::{CallError, Container, Factory};
use bailiwick_manifest::{BUNDLES_PATH, Container as Declared, Manifest, Stored};
use bailiwick_protocol::channel::Channel;
use bailiwick_protocol::message::{DeleteMode, Grant, ListRow, Page, Request, Scope, Status, Stdio};
use bailiwick_protocol::op::Op;
use bailiwick_protocol::signal;

/// How soon to look again when nobody will tell of an end, in milliseconds.
const LOOK_MS: u64 = 20;

/// Init over one factory.
///
/// Its waiter waits for the end of each container; woken, it looks at all of them in one list.
#[derive(Debug)]
pub struct Init<'m, C, B, W> {
    supervisor: Supervisor<'m>,
    factory: Factory<C>,
    bundles: B,
    waiter: W,
    /// What is waited for. Dropping a capability ends the wait on it.
    watched: Vec<(usize, Container<C>)>,
}

impl<'m, C: Channel, B: Bundles<Directory = C::Directory>, W: Waiter<C>> Init<'m, C, B, W> {
    /// Nothing is started yet.
    pub fn new(manifest: &'m Manifest, factory: Factory<C>, bundles: B, waiter: W) -> Self {
        Init { supervisor: Supervisor::new(manifest), factory, bundles, waiter, watched: Vec::new() }
    }

    /// How everything stands.
    pub fn supervisor(&self) -> &Supervisor<'m> {
        &self.supervisor
    }

    /// The factory, to hand narrower ones on.
    pub fn factory(&self) -> &Factory<C> {
        &self.factory
    }

    /// Looks at what runs and does all that is due; tells about it on the console. Gives the time at which to do
    /// so again, if the waiter does not wake it before.
    pub fn step(&mut self, now: Millis, console: &mut dyn Console) -> Millis {
        if let Err(error) = self.look(now, console) {
            say(console, format_args!("init: cannot list the containers: {error}\n"));
        }
        while let Some(action) = self.supervisor.next_action(now) {
            self.act(action, now, console);
        }
        let told = |index| self.watched.iter().any(|(watched, _)| *watched == index);
        let again = if self.supervisor.running().all(told) { u64::MAX } else { LOOK_MS };
        let again = now.after(again);
        self.supervisor.deadline().map_or(again, |deadline| deadline.min(again))
    }

    fn look(&mut self, now: Millis, console: &mut dyn Console) -> Result<(), CallError<C::Error>> {
        let running: Vec<usize> = self.supervisor.running().collect();
        if running.is_empty() {
            return Ok(());
        }
        let rows = self.rows()?;
        for index in running {
            let Some(container) = self.supervisor.container(index) else { continue };
            match rows.iter().find(|row| row.id.as_str() == container.id) {
                None => self.supervisor.removed(index),
                Some(row) if row.status == Status::Stopped => self.ended(index, row, now, console),
                Some(_) => continue,
            }
            self.watched.retain(|(watched, _)| *watched != index);
        }
        Ok(())
    }

    fn rows(&self) -> Result<Vec<ListRow>, CallError<C::Error>> {
        let (mut rows, mut from) = (Vec::new(), Some(0));
        while let Some(position) = from {
            let page = self.factory.list(Page { from: position })?;
            rows.extend(page.rows);
            from = page.next;
        }
        Ok(rows)
    }

    fn ended(&mut self, index: usize, row: &ListRow, now: Millis, console: &mut dyn Console) {
        let Some(exit) = row.exit else { return };
        let restart = self.supervisor.ended(index, exit, now);
        let (id, how) = (&row.id, exit_text(exit));
        match restart {
            Some(delay) => say(console, format_args!("init: {id}: {how}, restart in {delay} ms\n")),
            None => say(console, format_args!("init: {id}: {how}\n")),
        }
    }

    fn act(&mut self, action: Action, now: Millis, console: &mut dyn Console) {
        let (Action::Start(index) | Action::Restart(index) | Action::Drill(index, _)) = action;
        let Some(container) = self.supervisor.container(index) else { return };
        if let Action::Drill(_, number) = action {
            let name = signal::name(number).unwrap_or("?");
            say(console, format_args!("init: {}: drill, signal {name}\n", container.id));
            if let Err(error) = self.drill(container, number) {
                say(console, format_args!("init: {}: drill: {error}\n", container.id));
            }
            return;
        }
        // What is left of a life before has stopped; if it cannot be removed the creation says why.
        if let Action::Restart(_) = action
            && let Ok(old) = self.factory.lookup(&container.id, Op::Delete.rights())
        {
            let _ = old.delete(DeleteMode::Again(self.supervisor.restarts(index).saturating_add(1)));
        }
        match self.start(container, console) {
            Ok(made) => {
                say(console, format_args!("init: {}: started\n", container.id));
                self.supervisor.started(index, now);
                if self.waiter.wake_when_answered(made.channel(), &Request::Wait) {
                    self.watched.push((index, made));
                }
            }
            Err(reason) => {
                say(console, format_args!("init: {}: refused: {reason}\n", container.id));
                self.supervisor.refused(index, reason);
            }
        }
    }

    /// Stores what the manifest wants stored with the container that was just made, and what it wants on it.
    fn store(&self, made: &str, console: &mut dyn Console) {
        let there = |id: &str| id == made || self.supervisor.is_there(id);
        for (to, Stored { name, on, rights }) in self.supervisor.stored() {
            if (to.id != made && on != made) || !there(&to.id) || !there(on) {
                continue;
            }
            if let Err(error) = self.factory.grant(Grant { to: &to.id, name, on, rights: *rights }) {
                say(console, format_args!("init: {}: grant {name}: {error}\n", to.id));
            }
        }
    }

    fn drill(&self, container: &Declared, number: u8) -> Result<(), CallError<C::Error>> {
        self.factory.lookup(&container.id, Op::Signal.rights())?.signal(number, Scope::First)
    }

    fn start(&self, container: &Declared, console: &mut dyn Console) -> Result<Container<C>, String> {
        let Declared { id, bundle, .. } = container;
        let directory =
            self.bundles.open(bundle).map_err(|error| alloc::format!("bundle {bundle:?}: {error}"))?;
        let path = alloc::format!("{BUNDLES_PATH}/{bundle}");
        let made = self.factory.create(id, &path, Stdio::Console, &directory);
        let made = made.map_err(|error| error.to_string())?;
        self.store(id, console);
        if let Err(error) = made.start() {
            // It may have gone already; the reason that matters is why it did not start.
            let _ = made.delete(DeleteMode::Force);
            return Err(error.to_string());
        }
        Ok(made)
    }
}

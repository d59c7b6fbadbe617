//! Each command as calls.

use super::named::Named;
use super::{Failure, Next, Result, Shell, print};
use crate::command::Command;
use crate::console::{Attention, Bundles, Console, Waited, say};
use alloc::string::{String, ToString};
use bailiwick_client::{CallError, Container, Process};
use bailiwick_manifest::BUNDLES_PATH;
use bailiwick_protocol::channel::Channel;
use bailiwick_protocol::error::{ErrorReply, RefusalCode};
use bailiwick_protocol::message::{
    DeleteMode, Events, Exec, Grant, InputEnd, Logs, Page, Request, Scope, Stdio, Waiting,
};
use bailiwick_protocol::op::Op;

/// Signals of signal(7): what Ctrl-C sends to a program, the first time and from then on.
const INT: u8 = 2;
const KILL: u8 = 9;

impl<C: Channel, B: Bundles<Directory = C::Directory>, A: Attention<C>> Shell<C, B, A> {
    /// Carries a command out.
    pub(super) fn act(&self, command: Command<'_>, console: &mut dyn Console) -> Result<Next, C, B> {
        match command {
            Command::PowerOff => return Ok(Next::PowerOff),
            Command::Help => print::help(console),
            Command::List => self.list(console)?,
            Command::WhoAmI => self.whoami(console)?,
            Command::Plan { bundle } => self.plan(bundle, console)?,
            Command::Create { id, bundle } => drop(self.create(id, bundle, Stdio::Console)?),
            Command::Run { id, bundle, stdio } => self.create_and_start(id, bundle, stdio)?,
            Command::Input { id, line } => self.input(id, line)?,
            Command::Exec { id, args, stdio } => self.exec(id, args, stdio, console)?,
            Command::Start { id } => self.container(id, Op::Start.rights())?.start()?,
            Command::State { id } => self.state(id, console)?,
            Command::Kill { id, signal } => {
                self.container(id, Op::Signal.rights())?.signal(signal, Scope::First)?;
            }
            Command::Wait { id } => self.wait(id, console)?,
            Command::Pause { id } => self.container(id, Op::Pause.rights())?.pause()?,
            Command::Resume { id } => self.container(id, Op::Resume.rights())?.resume()?,
            Command::Delete { id, mode } => self.container(id, Op::Delete.rights())?.delete(mode)?,
            Command::Logs { id } => self.logs(id, console)?,
            Command::Ps { id } => self.ps(id, console)?,
            Command::Events => self.events(console)?,
            Command::Update { id, limits } => {
                self.container(id, Op::Update.rights())?.update(&limits.to_string())?;
            }
            Command::Grant { id, name, on, rights } => {
                self.factory.grant(Grant { to: id, name, on, rights })?;
            }
            Command::Take { id, name } => {
                let taken = self.container(id, Op::Take.rights())?.take(name)?;
                print::description(&taken.describe()?, console);
            }
            Command::Pivot { id } => {
                let container = self.container(id, Op::PivotRoot.rights())?;
                container.pivot_root(|pair| print::pivot(pair, console))?;
            }
            Command::Stats { id } => {
                print::statistics(&self.container(id, Op::Statistics.rights())?.statistics()?, console)
            }
        }
        Ok(Next::Command)
    }

    fn bundle(&self, name: &str) -> Result<C::Directory, C, B> {
        self.bundles.open(name).map_err(|error| Failure::Bundle(name.into(), error))
    }

    fn create(&self, id: &str, bundle: &str, stdio: Stdio) -> Result<Container<C>, C, B> {
        let directory = self.bundle(bundle)?;
        let path = alloc::format!("{BUNDLES_PATH}/{bundle}");
        self.factory.create(id, &path, stdio, &directory).map_err(|error| {
            if stdio != Stdio::Terminal && wants_terminal(&error) {
                Failure::NoTerminal { error, id: id.into(), bundle: bundle.into() }
            } else {
                error.into()
            }
        })
    }

    /// A container that cannot be started is removed again: after a failure nothing is left. One that has the terminal
    /// is waited for, since nobody else can use it meanwhile.
    fn create_and_start(&self, id: &str, bundle: &str, stdio: Stdio) -> Result<(), C, B> {
        let container = self.create(id, bundle, stdio)?;
        if let Err(error) = container.start() {
            // It may have gone already; the reason that matters is why it did not start.
            let _ = container.delete(DeleteMode::Force);
            return Err(error.into());
        }
        match stdio {
            Stdio::Terminal => succeeded(container.wait()?.status()),
            _ => Ok(()),
        }
    }

    fn exec(&self, id: &str, args: &[String], stdio: Stdio, console: &mut dyn Console) -> Result<(), C, B> {
        let mut run = String::new();
        for arg in args {
            run.push_str(arg);
            run.push('\0');
        }
        let exec = Exec { args: &run, env: "", cwd: None, user: None, stdio };
        let rights = Op::Exec.rights() | Op::Wait.rights();
        // The right to interrupt it is taken along if there is one.
        let container = self.container(id, rights | Op::Signal.rights());
        let (_, process) = container.or_else(|_| self.container(id, rights))?.exec(exec)?;
        if stdio == Stdio::Log {
            self.follow(&process, console)?;
        }
        match process.wait()?.status() {
            0 => Ok(()),
            status => {
                say(console, format_args!("exec {id}: it ended with status {status}\n"));
                Err(Failure::Status(status))
            }
        }
    }

    /// Writes a line to a program's input, or ends it.
    fn input(&self, id: &str, line: Option<&str>) -> Result<(), C, B> {
        let container = self.container(id, Op::Input.rights())?;
        let (text, then) = match line {
            Some(line) => (alloc::format!("{line}\n"), InputEnd::Open),
            None => (String::new(), InputEnd::Close),
        };
        let taken = container.input(text.as_bytes(), then)?;
        if taken as usize == text.len() { Ok(()) } else { Err(Failure::Full(taken, text.len())) }
    }

    fn state(&self, id: &str, console: &mut dyn Console) -> Result<(), C, B> {
        let mut text = String::new();
        self.container(id, Op::State.rights())?.state_json(&mut text)?;
        console.write(text.as_bytes());
        Ok(())
    }

    fn wait(&self, id: &str, console: &mut dyn Console) -> Result<(), C, B> {
        let container = self.container(id, Op::Wait.rights())?;
        // Dropping the capability is what gives the wait up: one that the shell keeps is waited on to the end.
        if let Named::Own(container) = &container
            && self.attention.until_answered(container.channel(), &Request::Wait) == Waited::Interrupted
        {
            return Err(Failure::Interrupted);
        }
        let status = container.wait()?.status();
        say(console, format_args!("{status}\n"));
        succeeded(status)
    }

    /// Shows what a process writes, until it has ended. Ctrl-C interrupts the process, and kills it the second time.
    fn follow(&self, process: &Process<C>, console: &mut dyn Console) -> Result<(), C, B> {
        let (mut cursor, mut signal) = (0, INT);
        loop {
            let logs = |waiting| Logs { cursor, waiting };
            let more = Request::Logs(logs(Waiting::Yes));
            if self.attention.until_answered(process.channel(), &more) == Waited::Interrupted {
                console.write(b"^C\n");
                // It may just have ended.
                let _ = process.signal(signal, Scope::First);
                signal = KILL;
                continue;
            }
            let end = process.logs(logs(Waiting::Yes), |reply| {
                print::lost(reply.lost, console);
                console.write(reply.bytes);
                cursor = reply.next;
                reply.end
            })?;
            if end {
                return Ok(());
            }
        }
    }

    /// Everything that is kept, but nothing that is still to come.
    fn logs(&self, id: &str, console: &mut dyn Console) -> Result<(), C, B> {
        let container = self.container(id, Op::Logs.rights())?;
        let mut cursor = 0;
        loop {
            let before = cursor;
            let logs = Logs { cursor, waiting: Waiting::No };
            let end = container.logs(logs, |reply| {
                print::lost(reply.lost, console);
                console.write(reply.bytes);
                cursor = reply.next;
                reply.end
            })?;
            if end || cursor == before {
                return Ok(());
            }
        }
    }

    fn events(&self, console: &mut dyn Console) -> Result<(), C, B> {
        let mut cursor = 0;
        loop {
            let page = self.factory.events(Events { cursor: Some(cursor), waiting: Waiting::No })?;
            if page.lost > 0 {
                say(console, format_args!("({} events are no longer kept)\n", page.lost));
            }
            page.rows.iter().for_each(|row| print::event(row, console));
            if page.rows.is_empty() {
                return Ok(());
            }
            cursor = page.next;
        }
    }

    fn list(&self, console: &mut dyn Console) -> Result<(), C, B> {
        let mut from = Some(0);
        print::list_head(console);
        while let Some(position) = from {
            let page = self.factory.list(Page { from: position })?;
            page.rows.iter().for_each(|row| print::list_row(row, console));
            from = page.next;
        }
        Ok(())
    }

    fn ps(&self, id: &str, console: &mut dyn Console) -> Result<(), C, B> {
        let container = self.container(id, Op::Processes.rights())?;
        let mut from = Some(0);
        print::process_head(console);
        while let Some(position) = from {
            let page = container.processes(Page { from: position })?;
            page.rows.iter().for_each(|row| print::process_row(row, console));
            from = page.next;
        }
        Ok(())
    }

    fn plan(&self, bundle: &str, console: &mut dyn Console) -> Result<(), C, B> {
        let directory = self.bundle(bundle)?;
        let mut from = Some(0);
        while let Some(position) = from {
            from = self.factory.plan(Page { from: position }, &directory, |page| {
                console.write(page.text.as_bytes());
                page.next
            })?;
        }
        Ok(())
    }

    fn whoami(&self, console: &mut dyn Console) -> Result<(), C, B> {
        print::description(&self.factory.describe()?, console);
        let used = self.factory.usage()?.used;
        Ok(self.factory.limits(|limits| print::limits(&used, &limits, console))?)
    }
}

/// Whether a creation was refused because the bundle wants a terminal.
fn wants_terminal<E>(error: &CallError<E>) -> bool {
    let CallError::Reply(ErrorReply::Refusal(refusal)) = error else { return false };
    refusal.code == RefusalCode::BadValue
        && refusal.detail.as_str().starts_with("config.json: process.terminal: true")
}

/// Only a status of 0 is a success.
fn succeeded<E, B>(status: u8) -> core::result::Result<(), Failure<E, B>> {
    if status == 0 { Ok(()) } else { Err(Failure::Status(status)) }
}

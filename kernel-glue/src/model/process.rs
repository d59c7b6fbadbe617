//! Processes: what they run, what they write, how signals end them.

use super::container::Motion;
use super::directory::{Above, Node};
use super::script::{self, Script, Words};
use super::{INPUT_MAX, MEMORY, Model, OUTPUT_MAX};
use crate::glue::{ContainerKey, Event, Pid, ProcessKey};
use crate::plan::Namespace;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::{Exit, InputEnd, Nanos, Stdio};
use core::ops::Deref;

/// Memory a process takes as it is.
const PROCESS_MEMORY: u64 = 256 * 1024;
/// CPU time one command takes.
const COMMAND_TIME: u64 = 10_000;
/// How often a program that writes for ever does so.
const TICK: u64 = 1_000_000;
/// Signals that do nothing unless handled (signal(7)): CHLD, CONT, URG, WINCH.
const HARMLESS: [u8; 4] = [17, 18, 23, 28];
const KILL: u8 = 9;

/// Who a process is.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub cwd: String,
}

/// What a process does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Run {
    /// It waits at the gate.
    Gate,
    /// It goes on at this time.
    Ready { due: Nanos },
    /// It does nothing that could be seen, until a signal comes.
    Idle,
    /// It has ended.
    Ended(Exit),
}

/// What a signal does to it.
#[derive(Clone, Debug)]
enum Action {
    Ignore,
    Run(Script),
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub pid: Pid,
    pub inner: u32,
    pub key: ProcessKey,
    pub run: Run,
    pub stdio: Stdio,
    script: Script,
    status: u8,
    identity: Identity,
    env: Vec<String>,
    actions: BTreeMap<u8, Action>,
    /// Signals that came while it was frozen.
    pending: Vec<u8>,
    pub output: VecDeque<u8>,
    pub lost: u64,
    input: VecDeque<u8>,
    input_end: InputEnd,
    told: Told,
    pub memory: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    No,
    Yes,
}

impl Process {
    pub(super) fn new(
        pid: Pid,
        inner: u32,
        key: ProcessKey,
        script: Script,
        identity: Identity,
        stdio: Stdio,
        env: &[String],
    ) -> Self {
        Process {
            pid,
            inner,
            key,
            run: Run::Gate,
            stdio,
            script,
            status: 0,
            identity,
            env: env.to_vec(),
            actions: BTreeMap::new(),
            pending: Vec::new(),
            output: VecDeque::new(),
            lost: 0,
            input: VecDeque::new(),
            input_end: InputEnd::Open,
            told: Told::No,
            memory: PROCESS_MEMORY,
        }
    }

    /// Whether there is output, whether that was told, how much input is left, and whether more may come.
    pub(super) fn streams(&self) -> (bool, bool, usize, bool) {
        let (told, open) = (self.told == Told::Yes, self.input_end == InputEnd::Open);
        (!self.output.is_empty(), told, self.input.len(), open)
    }

    /// How many commands of its program it has still to do.
    pub(super) fn commands_left(&self) -> usize {
        self.script.0.len()
    }

    /// Signals that came while it was frozen.
    pub(super) fn signals_pending(&self) -> &[u8] {
        &self.pending
    }

    /// Whether it has not ended.
    pub(super) fn lives(&self) -> bool {
        !matches!(self.run, Run::Ended(_))
    }

    /// Takes output into `buffer`: (bytes, lost before them).
    pub(super) fn take_output(&mut self, buffer: &mut [u8]) -> (usize, u64) {
        self.told = Told::No;
        let lost = core::mem::take(&mut self.lost);
        let len = self.output.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.output.drain(..len)) {
            *to = from;
        }
        (len, lost)
    }
}

impl Model {
    /// Whether one more process fits into the container's limits.
    pub(super) fn admit(&self, key: ContainerKey) -> Result<(), Errno> {
        let container = self.containers.get(&key).ok_or(Errno::ESRCH)?;
        let count = self.living(key).count();
        if container.resources.pids.is_some_and(|limit| count as u64 >= u64::from(limit)) {
            return Err(Errno::EAGAIN);
        }
        let memory = self.memory(key) + PROCESS_MEMORY;
        if memory > container.resources.memory.unwrap_or(MEMORY) { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// The processes of a container that have not ended, in the order of their numbers.
    pub(super) fn living(&self, key: ContainerKey) -> impl Iterator<Item = &Process> {
        self.objects
            .processes_of(key)
            .filter_map(|pid| self.objects.processes.get(&pid).map(Deref::deref))
            .filter(|p| p.lives())
    }

    /// Memory in use in a container.
    pub(super) fn memory(&self, key: ContainerKey) -> u64 {
        self.living(key).map(|p| p.memory).sum()
    }

    /// Keeps the peak of memory use.
    pub(super) fn note_memory(&mut self, key: ContainerKey) {
        let memory = self.memory(key);
        if let Some(container) = self.containers.get_mut(&key) {
            container.memory_peak = container.memory_peak.max(memory);
        }
    }

    /// Runs the next command of a process that is ready.
    pub(super) fn run_command(&mut self, pid: Pid) {
        let Some(process) = self.objects.processes.get_mut(&pid) else { return };
        let Some(words) = process.script.0.pop_front() else {
            let status = process.status;
            return self.end(pid, Exit::Code(status));
        };
        let key = process.key.container();
        let words = script::expand(&words, process.inner, process.status);
        if let Some(container) = self.containers.get_mut(&key) {
            container.cpu.0 += COMMAND_TIME;
        }
        self.command(pid, key, words);
    }

    fn command(&mut self, pid: Pid, key: ContainerKey, words: Words) {
        let (name, rest) = match words.split_first() {
            Some((name, rest)) => (script::base(name), rest),
            None => return,
        };
        let argument = rest.first().map_or("", String::as_str);
        match name {
            "true" | ":" | "wait" | "while" | "done" => self.finish(pid, 0),
            _ if name.contains('=') => self.finish(pid, 0),
            // A variable that grows for ever.
            "do" if argument == "a=$a$a" => self.out_of_memory(pid, key),
            "exec" => self.command(pid, key, rest.to_vec()),
            "false" => self.finish(pid, 1),
            "exit" => {
                let status = self.objects.processes.get(&pid).map_or(0, |p| p.status);
                let code = if argument.is_empty() { status } else { script::number(argument) };
                self.end(pid, Exit::Code(code));
            }
            "sleep" => {
                self.finish(pid, 0);
                let due = Nanos(self.clock.0.saturating_add(script::duration(argument).0));
                self.set_run(pid, Run::Ready { due });
            }
            "spin" => self.set_run(pid, Run::Idle),
            "hog" => self.out_of_memory(pid, key),
            "trap" => self.trap(pid, rest),
            "kill" => self.kill(pid, rest),
            "sh" => self.shell(pid, &words),
            "cat" if argument.is_empty() => self.copy_input(pid, words.clone()),
            "yes" => self.write_for_ever(pid, words.clone()),
            _ => match self.text(pid, key, name, rest) {
                Ok(text) => {
                    self.write(pid, text.as_bytes());
                    self.finish(pid, 0);
                }
                Err(complaint) => {
                    self.write(pid, complaint.as_bytes());
                    self.finish(pid, if complaint.ends_with("not found\n") { 127 } else { 1 });
                }
            },
        }
    }

    /// What a command that only prints prints; or its complaint.
    fn text(&mut self, pid: Pid, key: ContainerKey, name: &str, rest: &[String]) -> Result<String, String> {
        let process = self.objects.processes.get(&pid).ok_or_else(String::new)?;
        let container = self.containers.get(&key).ok_or_else(String::new)?;
        let argument = rest.first().map_or("", String::as_str);
        let identity = process.identity.clone();
        match name {
            "echo" if argument == "-n" => Ok(script::joined(rest.get(1..).unwrap_or_default())),
            "echo" => Ok(format!("{}\n", script::joined(rest))),
            "env" => Ok(process.env.iter().map(|e| format!("{e}\n")).collect()),
            "id" => Ok(match argument {
                "-u" => format!("{}\n", identity.uid),
                "-g" => format!("{}\n", identity.gid),
                _ => format!("uid={} gid={}\n", identity.uid, identity.gid),
            }),
            "pwd" => Ok(format!("{}\n", identity.cwd)),
            "uname" => Ok("model\n".to_string()),
            "hostname" | "domainname" => {
                let uts = self.objects.namespace(container.namespace(Namespace::Uts));
                let names = uts.map(|uts| (uts.hostname.clone(), uts.domainname.clone()));
                let (host, domain) = names.unwrap_or_else(|| ("host".to_string(), "(none)".to_string()));
                Ok(format!("{}\n", if name == "hostname" { host } else { domain }))
            }
            "readlink" => {
                let kinds = |kind: &Namespace| argument == format!("/proc/self/ns/{}", kind.proc_name());
                let kind = Namespace::ALL.into_iter().find(kinds).ok_or_else(String::new)?;
                Ok(format!("{}:[{}]\n", kind.proc_name(), container.namespace(kind)))
            }
            "cat" | "head" if argument.is_empty() => Ok(String::new()),
            "cat" | "head" => {
                let (tree, top) = container.root.as_ref().ok_or_else(String::new)?;
                let found = tree.resolve(top, argument, Above::Stay);
                match found.ok().and_then(|path| tree.node(&path)) {
                    Some(Node::File { bytes, .. }) => Ok(String::from_utf8_lossy(bytes).into_owned()),
                    _ => Err(format!("{name}: {argument}: No such file or directory\n")),
                }
            }
            _ => Err(format!("sh: {name}: not found\n")),
        }
    }

    fn shell(&mut self, pid: Pid, words: &[String]) {
        let script = if words.len() > 1 { Script::of(words) } else { Script::default() };
        if let Some(process) = self.objects.processes.get_mut(&pid) {
            for words in script.0.into_iter().rev() {
                process.script.0.push_front(words);
            }
        }
    }

    fn trap(&mut self, pid: Pid, rest: &[String]) {
        let Some(process) = self.objects.processes.get_mut(&pid) else { return };
        if let Some((text, names)) = rest.split_first() {
            for signal in names.iter().filter_map(|name| script::signal(name)) {
                let action = if text.is_empty() { Action::Ignore } else { Action::Run(Script::parse(text)) };
                process.actions.insert(signal, action);
            }
        }
        process.status = 0;
    }

    /// kill(1), on the process itself only.
    fn kill(&mut self, pid: Pid, rest: &[String]) {
        let inner = self.objects.processes.get(&pid).map(|p| p.inner.to_string());
        let signal = match rest {
            [_] => Some(15),
            [name, ..] => script::signal(name),
            [] => None,
        };
        match signal {
            Some(signal) if rest.last() == inner.as_ref() => {
                self.finish(pid, 0);
                self.deliver(pid, signal);
            }
            _ => self.finish(pid, 1),
        }
    }

    fn write_for_ever(&mut self, pid: Pid, words: Words) {
        let line =
            if words.len() > 1 { script::joined(words.get(1..).unwrap_or_default()) } else { "y".into() };
        let room = self.objects.processes.get(&pid).map_or(0, |p| OUTPUT_MAX - p.output.len());
        if room > line.len() {
            self.write(pid, format!("{line}\n").as_bytes());
        }
        let due = Nanos(self.clock.0 + TICK);
        if let Some(process) = self.objects.processes.get_mut(&pid) {
            process.script.0.push_front(words);
            // A full pipe stops its writer until somebody reads.
            process.run = if room > line.len() { Run::Ready { due } } else { Run::Idle };
        }
    }

    /// Copies its input to its output, and waits for more of it until it ends.
    fn copy_input(&mut self, pid: Pid, words: Words) {
        let Some(process) = self.objects.processes.get_mut(&pid) else { return };
        let bytes: Vec<u8> = process.input.drain(..).collect();
        if process.stdio == Stdio::Piped && process.input_end == InputEnd::Open {
            process.script.0.push_front(words);
            process.run = Run::Idle;
        } else {
            process.status = 0;
        }
        self.write(pid, &bytes);
    }

    /// Gives a process something to read, and lets it go on if it waits for that.
    pub(super) fn feed(&mut self, pid: Pid, bytes: &[u8], then: InputEnd) -> Result<usize, Errno> {
        let clock = self.clock;
        let process = self.objects.processes.get_mut(&pid).ok_or(Errno::ESRCH)?;
        if process.stdio != Stdio::Piped {
            return Err(Errno::EINVAL);
        }
        if process.input_end == InputEnd::Close || !process.lives() {
            return Err(Errno::EPIPE);
        }
        let taken = bytes.len().min(INPUT_MAX - process.input.len());
        process.input.extend(bytes.get(..taken).unwrap_or_default());
        if taken == bytes.len() {
            process.input_end = then;
        }
        let reads = process.script.0.front().and_then(|words| words.first());
        if process.run == Run::Idle && reads.is_some_and(|name| script::base(name) == "cat") {
            process.run = Run::Ready { due: clock };
        }
        Ok(taken)
    }

    /// Lets a writer go on that a full pipe had stopped.
    pub(super) fn wake_writer(&mut self, pid: Pid) {
        let clock = self.clock;
        if let Some(process) = self.objects.processes.get_mut(&pid)
            && process.run == Run::Idle
            && process.script.0.front().and_then(|w| w.first()).is_some_and(|n| script::base(n) == "yes")
        {
            process.run = Run::Ready { due: clock };
        }
    }

    fn set_run(&mut self, pid: Pid, run: Run) {
        if let Some(process) = self.objects.processes.get_mut(&pid)
            && process.lives()
        {
            process.run = run;
        }
    }

    fn finish(&mut self, pid: Pid, status: u8) {
        if let Some(process) = self.objects.processes.get_mut(&pid) {
            process.status = status;
        }
    }

    fn write(&mut self, pid: Pid, bytes: &[u8]) {
        let Some(process) = self.objects.processes.get_mut(&pid) else { return };
        if bytes.is_empty() {
            return;
        }
        if process.stdio == Stdio::Inherit {
            self.inherited.extend_from_slice(bytes);
            return;
        }
        process.output.extend(bytes);
        let excess = process.output.len().saturating_sub(OUTPUT_MAX);
        process.output.drain(..excess);
        process.lost += excess as u64;
        if process.told == Told::No {
            process.told = Told::Yes;
            self.events.push_back(Event::Output { process: process.key });
        }
    }

    /// The hog took memory until there was no more: it or, without a limit, the model's own memory is at an end.
    fn out_of_memory(&mut self, pid: Pid, key: ContainerKey) {
        if let Some(container) = self.containers.get_mut(&key) {
            container.memory_peak = container.memory_peak.max(container.resources.memory.unwrap_or(MEMORY));
            container.oom_kills += 1;
        }
        self.events.push_back(Event::OutOfMemory { key });
        self.end(pid, Exit::OutOfMemory);
    }

    /// Sends a signal to one process, which must live.
    pub(super) fn deliver(&mut self, pid: Pid, signal: u8) {
        let Some(process) = self.objects.processes.get_mut(&pid) else { return };
        let key = process.key;
        let container = self.containers.get(&key.container());
        if container.is_some_and(|c| c.motion == Motion::Frozen) {
            process.pending.push(signal);
            return;
        }
        let handled = if signal == KILL { None } else { process.actions.get(&signal).cloned() };
        match handled {
            Some(Action::Ignore) => {}
            Some(Action::Run(script)) => {
                for words in script.0.into_iter().rev() {
                    process.script.0.push_front(words);
                }
                process.run = Run::Ready { due: self.clock };
            }
            None if HARMLESS.contains(&signal) => {}
            // The first process of a pid namespace gets no signal it has no handler for (pid_namespaces(7)).
            None if signal != KILL && is_init(process, container.map(|c| &c.namespaces)) => {}
            None => self.end(pid, Exit::Signal(signal)),
        }
    }

    /// Delivers what came while the container was frozen.
    pub(super) fn deliver_pending(&mut self, key: ContainerKey) {
        let pids: Vec<Pid> = self.living(key).map(|p| p.pid).collect();
        for pid in pids {
            let Some(process) = self.objects.processes.get_mut(&pid) else { continue };
            for signal in core::mem::take(&mut process.pending) {
                if self.objects.processes.get(&pid).is_some_and(|process| process.lives()) {
                    self.deliver(pid, signal);
                }
            }
        }
    }

    /// Ends a process; with the first one of a pid namespace, all others of it end.
    pub(super) fn end(&mut self, pid: Pid, exit: Exit) {
        let Some(process) = self.objects.processes.get_mut(&pid) else { return };
        if !process.lives() {
            return;
        }
        process.run = Run::Ended(exit);
        process.memory = 0;
        let key = process.key;
        let process = &*process;
        let last = is_init(process, self.containers.get(&key.container()).map(|c| &c.namespaces));
        if last {
            let others: Vec<Pid> = self.living(key.container()).map(|p| p.pid).collect();
            for other in others {
                self.end(other, Exit::Signal(KILL));
            }
        }
        self.events.push_back(Event::Exited { process: key, exit });
    }
}

fn is_init(process: &Process, namespaces: Option<&BTreeMap<Namespace, u64>>) -> bool {
    process.inner == 1 && namespaces.is_some_and(|n| n.contains_key(&Namespace::Pid))
}

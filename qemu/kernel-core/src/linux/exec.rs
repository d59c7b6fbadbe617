//! execve(2): finding the program, its interpreter, and the new stack.

use super::birth::destroy;
use super::call::{Call, Outcome, Stop, linux_of, linux_of_mut, task_of_mut, with_files};
use super::descriptor::{self, OnExec};
use super::process::{LinuxProcess, Progress, limit};
use super::{birth, death};
use crate::cred::{Credentials, Program};
use crate::hw::{Hw, PAGE, Protection, USER_END};
use crate::kernel::Kernel;
use crate::mm::{AddressSpace, Backing, Image, Loaded, MapRequest, Place, Role, Sharing, parse};
use crate::ns::ProcessId;
use crate::thread::{Channel, Context, ThreadId};
use crate::vfs::{FileId, From, Last};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// Bytes of all arguments and environment strings, with their zero bytes.
pub(super) const STRINGS_MAX: usize = 512 << 10;
/// How often a script may be another script's interpreter.
const SCRIPTS_MAX: usize = 4;
/// Bytes of a script's first line that are looked at.
const LINE_MAX: usize = 256;
/// Bytes of arguments and of environment that proc shows.
const SHOWN_MAX: usize = 4096;
/// Where a program that can be anywhere is put.
const PROGRAM_BASE: u64 = 0x5555_5555_4000;
const FIXED_STACK: u64 = 128 << 10;

/// An open program; close its file.
struct Found {
    file: FileId,
    program: Program,
    start: Vec<u8>,
}

fn close<H: Hw>(k: &mut Kernel<H>, file: FileId) {
    descriptor::close_file(k, file);
}

fn open<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    from: From,
    path: &[u8],
    last: Last,
) -> Result<Found, Errno> {
    let (file, program) =
        with_files(k, process, |vfs, env, caller| vfs.open_program(env, caller, from, path, last))?;
    let mut start = alloc::vec![0; PAGE];
    let read =
        with_files(k, process, |vfs, env, caller| vfs.read_at(env, caller, file, 0, start.as_mut_slice()));
    match read {
        Ok(count) => {
            start.truncate(count);
            Ok(Found { file, program, start })
        }
        Err(errno) => {
            close(k, file);
            Err(errno)
        }
    }
}

/// A script's interpreter and the one argument it may give it.
type Interpreter = (Vec<u8>, Option<Vec<u8>>);

/// The interpreter a script's first line names, and the one argument it gives it. None if it is no script.
fn script(start: &[u8]) -> Option<Result<Interpreter, Errno>> {
    let rest = start.strip_prefix(b"#!")?;
    let rest = rest.get(..LINE_MAX - 2).unwrap_or(rest);
    let line = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => rest.get(..end).unwrap_or(rest),
        None => rest,
    };
    let line = line.split(|byte| *byte == 0).next().unwrap_or(line).trim_ascii();
    let end = line.iter().position(|byte| *byte == b' ' || *byte == b'\t').unwrap_or(line.len());
    let (name, argument) = line.split_at_checked(end)?;
    if name.is_empty() {
        return Some(Err(Errno::ENOEXEC));
    }
    let argument = argument.trim_ascii();
    Some(Ok((name.to_vec(), (!argument.is_empty()).then(|| argument.to_vec()))))
}

/// What is run in the end: scripts are resolved.
struct Target {
    found: Found,
    image: Image,
    interpreter: Option<(FileId, Image)>,
    args: Vec<Vec<u8>>,
}

fn resolve<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    from: From,
    path: &[u8],
    last: Last,
    mut args: Vec<Vec<u8>>,
) -> Result<Target, Errno> {
    let mut found = open(k, process, from, path, last)?;
    let mut name = path.to_vec();
    let mut depth = 0;
    while let Some(line) = script(&found.start) {
        close(k, found.file);
        depth += 1;
        if depth > SCRIPTS_MAX {
            return Err(Errno::ELOOP);
        }
        let (interpreter, argument) = line?;
        let mut new = alloc::vec![interpreter.clone()];
        new.extend(argument);
        new.push(name);
        new.extend(args.into_iter().skip(1));
        args = new;
        found = open(k, process, From::CWD, &interpreter, Last::Follow)?;
        name = interpreter;
    }
    let file = found.file;
    let loaded = parse(&found.start).and_then(|image| {
        let interpreter = open_interpreter(k, process, file, &image)?;
        Ok((image, interpreter))
    });
    match loaded {
        Ok((image, interpreter)) => Ok(Target { found, image, interpreter, args }),
        Err(errno) => {
            close(k, file);
            Err(errno)
        }
    }
}

/// The dynamic linker a program asks for.
fn open_interpreter<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    file: FileId,
    image: &Image,
) -> Result<Option<(FileId, Image)>, Errno> {
    let Some((offset, length)) = image.interpreter else { return Ok(None) };
    let mut path = alloc::vec![0; length];
    let count = with_files(k, process, |vfs, env, caller| {
        vfs.read_at(env, caller, file, offset, path.as_mut_slice())
    })?;
    if count != length || path.pop() != Some(0) {
        return Err(Errno::ENOEXEC);
    }
    let found = open(k, process, From::CWD, &path, Last::Follow)?;
    match parse(&found.start) {
        Ok(image) => Ok(Some((found.file, image))),
        Err(_) => {
            close(k, found.file);
            Err(Errno::EIO)
        }
    }
}

/// What the new program finds on its stack besides strings.
struct Start {
    loaded: Loaded,
    interpreter: Option<Loaded>,
    credentials: Credentials,
    secure: u64,
    random: [u8; 16],
}

/// Replaces the program of a process by the one at `path`. Success changes everything, failure nothing.
///
/// # Errors
/// Those of execve(2).
fn execute<H: Hw>(
    k: &mut Kernel<H>,
    thread: ThreadId,
    process: ProcessId,
    (from, path, last): (From, &[u8], Last),
    args: Vec<Vec<u8>>,
    env: &[Vec<u8>],
) -> Result<(), Errno> {
    let target = resolve(k, process, from, path, last, args)?;
    let Target { found, image, interpreter, args } = target;
    let built = build(k, process, &found, &image, interpreter.as_ref(), (&args, env, path));
    if let Some((file, _)) = interpreter {
        close(k, file);
    }
    match built {
        Ok((memory, context, credentials)) => {
            let texts = (shown(&args), shown(env));
            if let Err(errno) = pay_for(k, process, &texts) {
                close(k, found.file);
                destroy(k, memory);
                return Err(errno);
            }
            commit(k, thread, process, memory, context, credentials, found.file, path);
            let linux = linux_of_mut(k, process)?;
            (linux.arguments, linux.environment) = texts;
            Ok(())
        }
        Err(errno) => {
            close(k, found.file);
            Err(errno)
        }
    }
}

/// Has the process pay for these arguments and environment in place of those it has.
fn pay_for<H: Hw>(k: &mut Kernel<H>, process: ProcessId, texts: &(Vec<u8>, Vec<u8>)) -> Result<(), Errno> {
    let process = k.processes.get_mut(process).ok_or(Errno::ESRCH)?;
    let linux = process.linux().ok_or(Errno::ESRCH)?;
    let kept = linux.text() - linux.arguments.len() - linux.environment.len();
    process.pay_for_text(kept + texts.0.len() + texts.1.len())
}

fn shown(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for text in strings {
        if all.len() + text.len() + 1 > SHOWN_MAX {
            break;
        }
        all.extend_from_slice(text);
        all.push(0);
    }
    all
}

type Strings<'a> = (&'a [Vec<u8>], &'a [Vec<u8>], &'a [u8]);

/// Makes the new address space, with the program and its stack in it.
fn build<H: Hw>(
    k: &mut Kernel<H>,
    process: ProcessId,
    found: &Found,
    image: &Image,
    interpreter: Option<&(FileId, Image)>,
    strings: Strings<'_>,
) -> Result<(AddressSpace, Context, Credentials), Errno> {
    let group = k.processes.get(process).map(|process| process.group).ok_or(Errno::ESRCH)?;
    let linux = linux_of(k, process)?;
    let root = k.vfs.namespaces.root_uid(linux.credentials.user_namespace);
    let credentials = linux.credentials.after_execve(found.program, root);
    let differs = credentials.euid != linux.credentials.uid || credentials.egid != linux.credentials.gid;
    let gains = !linux.credentials.capabilities.permitted.contains(credentials.capabilities.permitted);
    let secure = u64::from(differs || gains && credentials.euid != credentials.uid);
    let (stack_max, bytes_max) = (linux.limit(limit::STACK), linux.limit(limit::AS));

    let words: [u64; 4] = core::array::from_fn(|_| k.mem.hw.random());
    let mut random = [0; 16];
    random[..8].copy_from_slice(&words[0].to_le_bytes());
    random[8..].copy_from_slice(&words[1].to_le_bytes());
    let pages = |word: u64, bits: u32| (word & ((1 << bits) - 1)) * PAGE as u64;
    let stack_top = USER_END - PAGE as u64 - pages(words[2], 12);
    let map_top = stack_top - (1 << 30) - pages(words[3], 14);

    let mut memory = AddressSpace::new(&mut k.supply(), group).map_err(|_| Errno::ENOMEM)?;
    memory.stack_max = stack_max.clamp(FIXED_STACK, 512 << 20);
    memory.bytes_max = bytes_max;
    memory.set_top(map_top);
    let s = &mut k.supply();
    let mut load = || {
        let base = PROGRAM_BASE + pages(words[3] >> 32, 12);
        let loaded = memory.load(s, image, found.file, Some(base))?;
        let linker = match interpreter {
            Some((file, image)) => Some(memory.load(s, image, *file, None)?),
            None => None,
        };
        memory.set_heap(loaded.end.saturating_add(PAGE as u64 + pages(words[2] >> 32, 10)));
        let start = stack_top - 4 * PAGE as u64;
        let request = MapRequest {
            place: Place::FixedNoReplace(start),
            length: stack_top - start,
            protection: Protection::READ | Protection::WRITE,
            sharing: Sharing::Private,
            backing: Backing::Anonymous,
            may_write: true,
            role: Role::Stack,
        };
        memory.map(s, request)?;
        Ok(Start { loaded, interpreter: linker, credentials: credentials.clone(), secure, random })
    };
    let laid = load();
    let result = laid.and_then(|start| {
        let ids = {
            let c = &start.credentials;
            let user = k.vfs.namespaces.user(c.user_namespace).ok_or(Errno::EINVAL)?;
            [
                user.map_from(c.uid),
                user.map_from(c.euid),
                user.map_group_from(c.gid),
                user.map_group_from(c.egid),
            ]
        };
        let rsp = fill_stack(&mut memory, &mut k.supply(), stack_top, &start, ids, strings)?;
        let entry = start.interpreter.map_or(start.loaded.entry, |linker| linker.entry);
        Ok(Context::new(entry.min(USER_END), rsp))
    });
    match result {
        Ok(context) => Ok((memory, context, credentials)),
        Err(errno) => {
            birth::destroy(k, memory);
            Err(errno)
        }
    }
}

/// Writes strings, vectors and the auxiliary vector; returns the stack pointer.
fn fill_stack<H: Hw>(
    memory: &mut AddressSpace,
    s: &mut crate::mm::Supply<'_, H>,
    top: u64,
    start: &Start,
    ids: [u32; 4],
    (args, env, path): Strings<'_>,
) -> Result<u64, Errno> {
    let mut at = top - 8;
    let mut push = |memory: &mut AddressSpace, bytes: &[u8], zero: usize| -> Result<u64, Errno> {
        at = at.checked_sub((bytes.len() + zero) as u64).ok_or(Errno::E2BIG)?;
        memory.write(s, at, bytes).map_err(|fault| match fault.into() {
            Errno::EFAULT => Errno::E2BIG,
            errno => errno,
        })?;
        Ok(at)
    };
    let name = push(memory, path, 1)?;
    let mut strings = |memory: &mut AddressSpace, all: &[Vec<u8>]| {
        all.iter().rev().map(|text| push(memory, text, 1)).collect::<Result<Vec<u64>, Errno>>()
    };
    let mut env_at = strings(memory, env)?;
    let mut args_at = strings(memory, args)?;
    env_at.reverse();
    args_at.reverse();
    let platform = push(memory, b"x86_64", 1)?;
    let random = push(memory, &start.random, 0)?;

    let loaded = &start.loaded;
    let auxiliary: [(u64, u64); 18] = [
        (3, loaded.headers),
        (4, 56),
        (5, loaded.header_count),
        (6, PAGE as u64),
        (7, start.interpreter.map_or(0, |linker| linker.base)),
        (8, 0),
        (9, loaded.entry),
        (11, ids[0].into()),
        (12, ids[1].into()),
        (13, ids[2].into()),
        (14, ids[3].into()),
        (16, 0x078b_fbff),
        (17, 100),
        (23, start.secure),
        (25, random),
        (31, name),
        (15, platform),
        (0, 0),
    ];
    let words = 1 + args_at.len() + 1 + env_at.len() + 1 + auxiliary.len() * 2;
    let mut table = Vec::with_capacity(words * 8);
    let mut word = |value: u64| table.extend_from_slice(&value.to_le_bytes());
    word(args_at.len() as u64);
    args_at.iter().copied().chain([0]).chain(env_at).chain([0]).for_each(&mut word);
    auxiliary.iter().flat_map(|(key, value)| [*key, *value]).for_each(&mut word);
    let rsp = (random & !15).checked_sub((words as u64 * 8).next_multiple_of(16)).ok_or(Errno::E2BIG)?;
    memory.write(s, rsp, &table).map_err(|_| Errno::E2BIG)?;
    Ok(rsp)
}

/// The process becomes its new program.
#[allow(clippy::too_many_arguments, reason = "everything of a process is replaced at once")]
fn commit<H: Hw>(
    k: &mut Kernel<H>,
    thread: ThreadId,
    process: ProcessId,
    memory: AddressSpace,
    context: Context,
    credentials: Credentials,
    file: FileId,
    path: &[u8],
) {
    death::end_others(k, process, thread);
    if let Some(old) = k.replace_memory(process, memory) {
        birth::destroy(k, old);
    }
    let Ok(linux) = linux_of_mut(k, process) else { return };
    let numbers = linux.numbers.clone();
    let closing: Vec<u32> = linux
        .descriptors
        .iter()
        .filter(|(_, descriptor)| descriptor.on_exec == OnExec::Close)
        .map(|(number, _)| number)
        .collect();
    let closed: Vec<_> = closing.into_iter().filter_map(|number| linux.descriptors.take(number)).collect();
    become_program(linux, credentials, path);
    let old = linux.executable.replace(file);
    let parent = linux.parent;
    for descriptor in closed {
        descriptor::release(k, descriptor.description);
    }
    if let Some(old) = old {
        close(k, old);
    }
    if let Ok(task) = task_of_mut(k, thread) {
        task.numbers = numbers;
        task.alternate = (0, 0);
        task.clear_tid = 0;
        task.progress = Progress::None;
        task.waits = None;
    }
    if let Some(thread) = k.threads.get_mut(thread) {
        *thread.context = context;
    }
    if let Some(parent) = parent {
        k.wake(Channel::Process(parent));
    }
    k.wake(Channel::Process(process));
}

fn become_program(linux: &mut LinuxProcess, credentials: Credentials, path: &[u8]) {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    linux.name.clear();
    let _ = linux.name.extend_from_slice(name.get(..15).unwrap_or(name));
    linux.actions.reset_handlers();
    linux.dumpable = credentials.euid == credentials.uid && credentials.egid == credentials.gid;
    linux.credentials = credentials;
    linux.executed = true;
    linux.on_its_own = true;
}

/// The program at a path, whatever its arguments call it.
pub(crate) fn by_path<H: Hw>(
    k: &mut Kernel<H>,
    thread: ThreadId,
    process: ProcessId,
    path: &[u8],
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
) -> Result<(), Errno> {
    if args.iter().chain(&env).map(|text| text.len() + 1).sum::<usize>() > STRINGS_MAX {
        return Err(Errno::E2BIG);
    }
    execute(k, thread, process, (From::CWD, path, Last::Follow), args, &env)
}

/// As execvp(3) does: a name without a slash is looked for in the `PATH` of `env`.
pub(crate) fn by_search<H: Hw>(
    k: &mut Kernel<H>,
    thread: ThreadId,
    process: ProcessId,
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let name = args.first().filter(|name| !name.is_empty()).cloned().ok_or(Errno::ENOENT)?;
    if args.iter().chain(&env).map(|text| text.len() + 1).sum::<usize>() > STRINGS_MAX {
        return Err(Errno::E2BIG);
    }
    if name.contains(&b'/') {
        return execute(k, thread, process, (From::CWD, &name, Last::Follow), args, &env);
    }
    let default: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let path = env.iter().find_map(|text| text.strip_prefix(b"PATH=")).unwrap_or(default).to_vec();
    let mut refused = Errno::ENOENT;
    for directory in path.split(|byte| *byte == b':') {
        let mut full = if directory.is_empty() { b".".to_vec() } else { directory.to_vec() };
        full.push(b'/');
        full.extend_from_slice(&name);
        match execute(k, thread, process, (From::CWD, &full, Last::Follow), args.clone(), &env) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => refused = Errno::EACCES,
            other => return other,
        }
    }
    Err(refused)
}

impl<H: Hw> Call<'_, H> {
    /// execve(2)
    pub(crate) fn execve(&mut self) -> Outcome {
        let path = self.path(0)?;
        self.run((From::CWD, &path, Last::Follow), self.arg(1), self.arg(2))
    }
    /// execveat(2)
    pub(crate) fn execveat(&mut self) -> Outcome {
        let path = self.path(1)?;
        let flags = self.word(4);
        let from = self.from(self.int(0))?;
        let last = if flags & super::paths::AT_SYMLINK_NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow };
        if path.is_empty() && flags & super::paths::AT_EMPTY_PATH != 0 {
            let text = alloc::format!("/proc/self/fd/{}", self.int(0));
            return self.run((From::CWD, text.as_bytes(), Last::Follow), self.arg(2), self.arg(3));
        }
        self.run((from, &path, last), self.arg(2), self.arg(3))
    }

    fn run(&mut self, target: (From, &[u8], Last), args: u64, env: u64) -> Outcome {
        let mut left = STRINGS_MAX;
        let mut args = self.strings(args, &mut left)?;
        let env = self.strings(env, &mut left)?;
        if args.is_empty() {
            args.push(Vec::new());
        }
        execute(self.k, self.thread, self.process, target, args, &env)?;
        Err(Stop::Gone)
    }

    /// A vector of strings that ends with a null pointer.
    fn strings(&mut self, at: u64, left: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
        let mut all = Vec::new();
        if at == 0 {
            return Ok(all);
        }
        loop {
            let pointer = self.read_u64(at.wrapping_add(all.len() as u64 * 8))?;
            if pointer == 0 {
                return Ok(all);
            }
            let text = self.read_string(pointer, *left).map_err(|errno| match errno {
                Errno::ENAMETOOLONG => Errno::E2BIG,
                errno => errno,
            })?;
            // Each string also costs its pointer.
            *left = left.checked_sub(text.len() + 1 + 8).ok_or(Errno::E2BIG)?;
            all.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_interpreter_and_at_most_one_argument() {
        let parsed = |text: &[u8]| script(text).map(Result::unwrap);
        assert_eq!(parsed(b"#!/bin/sh\necho"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(parsed(b"#! /bin/awk  -f x \n"), Some((b"/bin/awk".to_vec(), Some(b"-f x".to_vec()))));
        assert_eq!(parsed(b"\x7fELF"), None);
        assert_eq!(script(b"#!\n"), Some(Err(Errno::ENOEXEC)));
        assert_eq!(parsed(b"#!/bin/sh"), Some((b"/bin/sh".to_vec(), None)));
    }
}

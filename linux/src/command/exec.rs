//! `exec`: a further program in a running container.

use super::process_file::{self, ProcessFile};
use super::waiting::{Signals, wait_passing_signals};
use super::{Container, about, open, write_pid_file};
use crate::arguments;
use crate::channel::SocketChannel;
use crate::failure::Failure;
use crate::spawn;
use crate::terminal::{Console, Presence, Relay, Wish};
use bailiwick_protocol::message::{Exec, Scope, Stdio};
use bailiwick_protocol::rights::Rights;
use std::path::Path;

type Process = bailiwick_client::Process<SocketChannel>;

const SIGKILL: u8 = 9;

/// Gives the program's status, or 0 if detached.
pub(crate) fn exec(root: &Path, exec: &arguments::Exec) -> Result<u8, Failure> {
    let signals = if exec.detach { None } else { Some(Signals::catch()?) };
    let rights = Rights::INSPECT | Rights::EXEC | Rights::OBSERVE | Rights::SIGNAL | Rights::DERIVE;
    let container = open(root, &exec.id, rights)?;
    let wanted = wanted(&container, exec)?;
    let (args, env) = (run_of(&wanted.args)?, run_of(&wanted.env)?);
    let (cwd, user) = (wanted.cwd.as_deref(), wanted.user);
    let presence = if exec.detach { Presence::Detached } else { Presence::Foreground };
    let (console, theirs) =
        Console::prepare(wanted.terminal, exec.console_socket.as_deref(), presence)?.unzip();
    let stdio = if console.is_some() { Stdio::Terminal } else { Stdio::Inherit };
    let container = Container::new(container.into_channel().with_console(theirs));
    let request = Exec { args: &args, env: &env, cwd, user, stdio };
    let (started, process) = container.exec(request).map_err(about(&exec.id))?;
    let relay = console.map_or(Ok(None), Console::receive).inspect_err(|_| undo(&process))?;
    match signals {
        Some(signals) => in_foreground(exec, started.pid, &process, relay, signals),
        None => detached(exec, process),
    }
}

/// The first failure is the one to be told.
fn undo(process: &Process) {
    let _ = process.signal(SIGKILL, Scope::First);
}

fn in_foreground(
    exec: &arguments::Exec,
    pid: Option<u32>,
    process: &Process,
    relay: Option<Relay>,
    signals: Signals,
) -> Result<u8, Failure> {
    if let Some(file) = &exec.pid_file {
        let told = pid.ok_or_else(|| Failure::about(&exec.id, "its policy does not tell process numbers"));
        told.and_then(|pid| write_pid_file(file, pid)).inspect_err(|_| undo(process))?;
    }
    let status = wait_passing_signals(process, signals)?;
    relay.into_iter().for_each(Relay::finish);
    Ok(status)
}

fn detached(exec: &arguments::Exec, process: Process) -> Result<u8, Failure> {
    if let Some(file) = &exec.pid_file {
        let ours = process.derive(Rights::SIGNAL)?;
        let stand_in = spawn::stand_in(process);
        stand_in.and_then(|pid| write_pid_file(file, pid)).inspect_err(|_| undo(&ours))?;
    }
    Ok(0)
}

/// What to run: from the file, or from the command line.
fn wanted(container: &Container, exec: &arguments::Exec) -> Result<ProcessFile, Failure> {
    let Some(file) = &exec.process else {
        let (args, env, cwd) = (exec.args.clone(), exec.env.clone(), exec.cwd.clone());
        let user = exec.user.as_deref().map(user).transpose()?;
        let terminal = if exec.tty { Wish::Terminal(None) } else { Wish::Streams };
        return Ok(ProcessFile { args, env, cwd, user, terminal });
    };
    let mut text = String::new();
    container.state_json(&mut text).map_err(about(&exec.id))?;
    let state: serde_json::Value = serde_json::from_str(&text)?;
    let bundle = state.get("bundle").and_then(serde_json::Value::as_str).unwrap_or_default();
    let wanted = process_file::read(file, Path::new(bundle))?;
    Ok(if exec.tty { ProcessFile { terminal: wanted.terminal.or_terminal(), ..wanted } } else { wanted })
}

/// Ends as the process does whose capability is standard input; passes signals on.
pub(crate) fn stand_in() -> Result<u8, Failure> {
    let signals = Signals::catch()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let _ = rustix::process::setsid();
    wait_passing_signals(&Process::new(SocketChannel::new(socket)), signals)
}

/// Strings as the protocol has them: each ended by a NUL.
fn run_of(strings: &[String]) -> Result<String, Failure> {
    match strings.iter().find(|string| string.contains('\0')) {
        Some(string) => Err(Failure::about(format_args!("{string:?}"), "has a NUL byte in it")),
        None => Ok(strings.iter().flat_map(|string| [string.as_str(), "\0"]).collect()),
    }
}

/// `UID` or `UID:GID`, in decimal digits and nothing else (CVE-2026-30892).
fn user(text: &str) -> Result<(u32, u32), Failure> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let canonical = part == "0" || !part.starts_with('0');
        // The largest number stands for "none" in system calls.
        part.parse::<u32>().ok().filter(|id| digits && canonical && *id != u32::MAX)
    };
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    number(uid).zip(number(gid)).ok_or_else(|| {
        Failure::about(format_args!("--user {text}"), "is not UID or UID:GID in decimal digits")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_as_a_whole_or_refused() {
        assert_eq!(user("1000").unwrap(), (1000, 0));
        assert_eq!(user("0:5").unwrap(), (0, 5));
        for text in
            ["", ":", "1000:", ":5", "1000x", "-1", "+1", "00", "0x0", "4294967295", "4294967296", "1:2:3"]
        {
            assert!(user(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strings_with_a_nul_are_refused() {
        assert_eq!(run_of(&["a".into(), "".into()]).unwrap(), "a\0\0");
        assert!(run_of(&["a\0b".into()]).is_err());
    }
}

//! `exec`: a further program in a running container.

use super::waiting::{Signals, wait_passing_signals};
use super::{about, open, write_pid_file};
use crate::arguments;
use crate::failure::Failure;
use bailiwick_protocol::message::{Exec, Scope, Stdio};
use bailiwick_protocol::rights::Rights;
use std::path::Path;

const SIGKILL: u8 = 9;

/// Gives the program's status, or 0 if detached.
pub(crate) fn exec(root: &Path, exec: &arguments::Exec) -> Result<u8, Failure> {
    let user = exec.user.as_deref().map(user).transpose()?;
    let (args, env) = (run_of(&exec.args)?, run_of(&exec.env)?);
    let signals = if exec.detach { None } else { Some(Signals::catch()?) };
    let container = open(root, &exec.id, Rights::EXEC | Rights::OBSERVE | Rights::SIGNAL | Rights::DERIVE)?;
    let cwd = exec.cwd.as_deref();
    let request = Exec { args: &args, env: &env, cwd, user, stdio: Stdio::Inherit };
    let (started, process) = container.exec(request).map_err(about(&exec.id))?;
    if let Some(file) = &exec.pid_file {
        write_pid_file(file, started.pid).inspect_err(|_| {
            // The first failure is the one to be told.
            let _ = process.signal(SIGKILL, Scope::First);
        })?;
    }
    signals.map_or(Ok(0), |signals| wait_passing_signals(&process, signals))
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

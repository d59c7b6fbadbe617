//! Hooks: programs of the configuration's author, run at points of a container's life, told its state.

use super::fault::{Context, Fault, Outcome};
use super::sys::{self, Child, Parent, Strings, replace_standard};
use crate::plan::{Hook, HookKind, HookState};
use alloc::format;
use alloc::string::String;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Access, AtFlags, MemfdFlags, SeekFrom};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::time::Timespec;
use serde_json::{Map, Value};
use std::io::Write;
use std::time::{Duration, Instant};

/// The state document a hook reads from its standard input (runtime.md "State").
fn document(kind: HookKind, state: &HookState, pid: u32) -> String {
    let status = match kind {
        HookKind::Prestart | HookKind::CreateRuntime | HookKind::CreateContainer => "creating",
        HookKind::StartContainer => "created",
        HookKind::Poststart => "running",
        HookKind::Poststop => "stopped",
    };
    let mut all = Map::new();
    all.insert("ociVersion".into(), state.oci_version.clone().into());
    all.insert("id".into(), state.id.clone().into());
    all.insert("status".into(), status.into());
    if kind != HookKind::Poststop {
        all.insert("pid".into(), pid.into());
    }
    all.insert("bundle".into(), state.bundle.clone().into());
    let annotations = state.annotations.iter().map(|(k, v)| (k.clone(), Value::from(v.clone())));
    all.insert("annotations".into(), Value::Object(annotations.collect()));
    Value::Object(all).to_string()
}

/// A hook that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) deadline: Option<Instant>,
    name: String,
}

/// Starts `hook`, with the state of the container on its standard input.
pub(super) fn start(hook: &Hook, state: &HookState, pid: u32) -> Outcome<Running> {
    let name = format!("hook {} {}", hook.kind.as_str(), hook.path);
    let what = || name.clone();
    rustix::fs::accessat(rustix::fs::CWD, hook.path.as_str(), Access::EXEC_OK, AtFlags::EACCESS)
        .context(what)?;
    let input = input(&document(hook.kind, state, pid)).context(what)?;
    let args = if hook.args.is_empty() { core::slice::from_ref(&hook.path) } else { hook.args.as_slice() };
    let (args, env) = (Strings::new(args).context(what)?, Strings::new(&hook.env).context(what)?);
    let child = sys::spawn(0, Parent::Caller, || {
        sys::reset_signals();
        if replace_standard(input.as_fd(), 0).is_ok() && sys::close_all_but(&mut []).is_ok() {
            let error = sys::exec_path(&hook.path, &args, &env);
            let _ = writeln!(std::io::stderr(), "{}: {error}", hook.path);
        }
        127
    })
    .context(what)?;
    let deadline = hook.timeout.map(|seconds| Instant::now() + Duration::from_secs(u64::from(seconds)));
    Ok(Running { child, deadline, name })
}

/// A file in memory: writing it cannot wait for the hook to read.
fn input(text: &str) -> std::io::Result<OwnedFd> {
    let mut file = std::fs::File::from(rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(file.into())
}

impl Running {
    /// Takes the status of a hook that has ended, or that is past its time and is killed now.
    pub(super) fn finish(self, ended: Ended) -> Outcome<()> {
        if ended == Ended::Late {
            let _ = sys::send_signal(self.child.pidfd.as_fd(), 9);
        }
        let exit = reap(&self.child).context(|| self.name.clone())?;
        match (ended, exit) {
            (Ended::Late, _) => {
                let what = format!("{}: it took longer than its timeout and was killed", self.name);
                Err(Fault::new(Errno::ETIMEDOUT, what))
            }
            (_, Exit::Code(0)) => Ok(()),
            (_, Exit::Code(code)) => {
                Err(Fault::new(Errno::EIO, format!("{}: exit status {code}", self.name)))
            }
            (_, _) => {
                Err(Fault::new(Errno::EIO, format!("{}: signal {} ended it", self.name, exit.status() - 128)))
            }
        }
    }

    /// Waits until it has ended or its time is over. For a process that has nothing else to do.
    pub(super) fn wait(self) -> Outcome<()> {
        loop {
            let left = self.deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut fds = [PollFd::new(&self.child.pidfd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return self.finish(Ended::Late),
                Ok(_) => return self.finish(Ended::ByItself),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).context(|| self.name.clone()),
            }
        }
    }
}

/// Why a hook is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    ByItself,
    Late,
}

/// Waits for the end of somebody else's child. Its status is to be seen in `/proc` until its parent takes it, and
/// from the kernel after that.
fn watch_end(child: &Child, stat: &OwnedFd) -> rustix::io::Result<Exit> {
    let mut fds = [PollFd::new(&child.pidfd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None))?;
    // Its parent may come in between.
    let status = ended_status(stat).or_else(|| sys::exit_info(child.pidfd.as_fd()));
    let status = status.ok_or(rustix::io::Errno::CHILD)?;
    let byte = |n: i32| u8::try_from(n & 0xff).unwrap_or(0);
    Ok(match status & 0x7f {
        0 => Exit::Code(byte(status >> 8)),
        signal => Exit::Signal(byte(signal)),
    })
}

/// The wait status in `/proc/PID/stat` of a process that has ended (proc_pid_stat(5), field 52).
fn ended_status(stat: &OwnedFd) -> Option<i32> {
    let mut bytes = [0; 2048];
    let length = rustix::io::pread(stat, &mut bytes, 0).ok()?;
    let text = core::str::from_utf8(bytes.get(..length)?).ok()?;
    // The name, in parentheses, may hold anything. The state is field 3.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    matches!(fields.next()?, "Z" | "X").then(|| fields.nth(48)?.parse().ok()).flatten()
}

/// Waits for a child and takes its status.
pub(super) fn reap(child: &Child) -> rustix::io::Result<Exit> {
    if let Some(stat) = &child.stat {
        return watch_end(child, stat);
    }
    let status =
        rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED))?;
    let Some(status) = status else { return Err(rustix::io::Errno::CHILD) };
    let small = |n: i32| u8::try_from(n & 0xff).unwrap_or(0);
    Ok(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(small(code)),
        (None, Some(signal)) => Exit::Signal(small(signal)),
        (None, None) => Exit::Signal(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_told_the_state_that_fits_its_kind() {
        let state = HookState {
            oci_version: "1.3.0".into(),
            id: "a".into(),
            bundle: "/b".into(),
            annotations: [("k".into(), "v".into())].into(),
        };
        let json: Value = serde_json::from_str(&document(HookKind::CreateRuntime, &state, 7)).unwrap();
        assert_eq!(json["status"], "creating");
        assert_eq!(json["pid"], 7);
        assert_eq!(json["annotations"]["k"], "v");
        let json: Value = serde_json::from_str(&document(HookKind::Poststop, &state, 7)).unwrap();
        assert_eq!(json["status"], "stopped");
        assert!(json.get("pid").is_none());
    }
}

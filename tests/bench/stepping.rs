//! Instructions of a piece of a hosted program, counted by having the processor stop after each one (ptrace(2)).
//!
//! The program is this one, started once more. It stops itself where a piece begins and where it ends ([`mark`]);
//! what it does in between is executed step by step. So setting up 100,000 containers costs no more than it does, and
//! only the piece is slow. A `rep` instruction stops once an iteration or less often, as the processor likes: counts with one
//! inside differ from machine to machine and can from run to run, so only how they grow is compared.
#![allow(unsafe_code, reason = "ptrace and raise are calls of the C library")]

use anyhow::{Context, Result, bail, ensure};
use std::io;
use std::process::{Child, Command, Stdio};

/// Has whoever started this program see its stops.
pub(crate) fn be_counted() {
    // SAFETY: no memory is involved.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
}

/// The beginning or the end of a piece, in the program that is counted.
pub(crate) fn mark() {
    // SAFETY: it stops the process; whoever counts lets it go on.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Starts this program again with `arguments` and counts the instructions of each of its `pieces`, less what an empty
/// piece has: the first one must be empty.
pub(crate) fn count(arguments: &[&str], pieces: usize) -> Result<Vec<u64>> {
    let program = std::env::current_exe()?;
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).spawn()?;
    let counted = follow(&child, pieces);
    // Whatever it does now is of no interest.
    let _ = child.kill();
    child.wait()?;
    let counts = counted?;
    let (empty, rest) = counts.split_first().context("an empty piece is expected first")?;
    Ok(rest.iter().map(|count| count.saturating_sub(*empty)).collect())
}

fn follow(child: &Child, pieces: usize) -> Result<Vec<u64>> {
    let pid = libc::pid_t::try_from(child.id())?;
    ensure!(wait(pid)? == libc::SIGSTOP, "the program that is counted never began");
    let mut counts = Vec::with_capacity(pieces);
    loop {
        counts.push(until_mark(pid, libc::PTRACE_SINGLESTEP)?);
        if counts.len() == pieces {
            return Ok(counts);
        }
        until_mark(pid, libc::PTRACE_CONT)?;
    }
}

/// Lets the program go on until it stops itself, in steps or not. Returns how many times it went on.
fn until_mark(pid: libc::pid_t, how: libc::c_uint) -> Result<u64> {
    let mut steps = 0;
    loop {
        // SAFETY: no memory is involved.
        ensure!(unsafe { libc::ptrace(how, pid, 0, 0) } == 0, io::Error::last_os_error());
        steps += 1;
        if wait(pid)? == libc::SIGSTOP {
            return Ok(steps);
        }
    }
}

/// The signal that the program stopped for.
fn wait(pid: libc::pid_t) -> Result<i32> {
    let mut status = 0;
    // SAFETY: the status is written to.
    ensure!(unsafe { libc::waitpid(pid, &mut status, 0) } == pid, io::Error::last_os_error());
    if libc::WIFSTOPPED(status) {
        return Ok(libc::WSTOPSIG(status));
    }
    bail!("the program that is counted ended, status {status:#x}")
}

//! Answers as text.

use crate::command::TABLE;
use crate::console::{Console, say};
use alloc::string::{String, ToString};
use bailiwick_protocol::message::{
    Description, EventKind, EventRow, Exit, LimitsReply, ListRow, PivotRootReply, ProcessRow, Statistics,
};
use bailiwick_protocol::quota::Amounts;
use bailiwick_protocol::signal;

pub(super) fn help(console: &mut dyn Console) {
    for (name, usage, text) in TABLE {
        let left = alloc::format!("{name} {usage}");
        say(console, format_args!("  {left:<26} {text}\n"));
    }
    say(
        console,
        format_args!(
            "-t gives the program this terminal until it ends; the bundle must want one.\n\
             With -i its output is in its logs. What is stored with A as B is named A/B.\n\
             Commands are divided by ; and quotes are as in sh. Keys: arrows, Ctrl-A E K U\n\
             W L; Ctrl-C gives up a line or a wait, Ctrl-D powers off.\n"
        ),
    );
}

/// How something ended, in words.
pub(crate) fn exit(exit: Exit) -> String {
    match exit {
        Exit::Code(status) => alloc::format!("exit {status}"),
        Exit::OutOfMemory => "out of memory".into(),
        Exit::Signal(number) => match signal::name(number) {
            Some(name) => alloc::format!("signal {name}"),
            None => alloc::format!("signal {number}"),
        },
    }
}

/// A number, or a dash for none.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

pub(super) fn list_head(console: &mut dyn Console) {
    say(console, format_args!("{:<20} {:<9} {:>5}  {}\n", "ID", "STATUS", "PID", "EXIT"));
}

pub(super) fn list_row(row: &ListRow, console: &mut dyn Console) {
    let (pid, ended) = (or_dash(row.pid), or_dash(row.exit.map(exit)));
    say(console, format_args!("{:<20} {:<9} {pid:>5}  {ended}\n", row.id.as_str(), row.status.as_str()));
}

pub(super) fn process_head(console: &mut dyn Console) {
    say(console, format_args!("{:>5} {:>6}\n", "PID", "INSIDE"));
}

pub(super) fn process_row(row: &ProcessRow, console: &mut dyn Console) {
    say(console, format_args!("{:>5} {:>6}\n", or_dash(row.pid), or_dash(row.inner_pid)));
}

pub(super) fn pivot(pair: PivotRootReply<'_>, console: &mut dyn Console) {
    say(console, format_args!("new root {}, old root on {} until unmounted\n", pair.new, pair.old));
}

pub(super) fn lost(bytes: u64, console: &mut dyn Console) {
    if bytes > 0 {
        say(console, format_args!("[{bytes} bytes were dropped before anyone read them]\n"));
    }
}

pub(super) fn event(row: &EventRow, console: &mut dyn Console) {
    let what: String = match row.kind {
        EventKind::Created => "created".into(),
        EventKind::Started => "started".into(),
        EventKind::Paused => "paused".into(),
        EventKind::Resumed => "resumed".into(),
        EventKind::Exited(how) => alloc::format!("ended: {}", exit(how)),
        EventKind::OutOfMemory => "ran out of memory".into(),
        EventKind::Deleted => "deleted".into(),
        EventKind::Refused(code) => alloc::format!("refused: {}", code.text()),
        EventKind::Failed(errno) => alloc::format!("failed: {errno}"),
        EventKind::Restarted(time) => alloc::format!("restarted ({time})"),
        EventKind::Updated => "limits changed".into(),
    };
    let ms = row.at.0 / 1_000_000;
    say(console, format_args!("{:>6}.{:03} {:<16} {what}\n", ms / 1000, ms % 1000, row.id.as_str()));
}

pub(super) fn statistics(statistics: &Statistics, console: &mut dyn Console) {
    let Statistics { memory, memory_peak, cpu, pids, oom_kills, unknown_calls, .. } = statistics;
    let memory_limit = statistics.memory_limit.map(|bytes| bytes / 1024);
    let (kib, peak) = (memory / 1024, memory_peak / 1024);
    say(
        console,
        format_args!("memory   {kib} KiB, peak {peak} KiB, limit {}\n", limit(memory_limit, " KiB")),
    );
    let (seconds, micros) = (cpu.0 / 1_000_000_000, cpu.0 / 1000 % 1_000_000);
    let cpu_limit = limit(statistics.cpu_limit, " thousandths of a CPU");
    say(console, format_args!("cpu      {seconds}.{micros:06} s, limit {cpu_limit}\n"));
    say(console, format_args!("pids     {pids}, limit {}\n", limit(statistics.pids_limit, "")));
    say(
        console,
        format_args!("events   {oom_kills} killed out of memory, {unknown_calls} unknown system calls\n"),
    );
}

fn limit(value: Option<impl ToString>, unit: &str) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string() + unit)
}

/// What a factory uses of each kind, what it may use, and its policy.
pub(super) fn limits(used: &Amounts, limits: &LimitsReply<'_>, console: &mut dyn Console) {
    for ((kind, used), (_, max)) in used.rows().zip(limits.quota.rows()) {
        match max {
            Some(max) => say(console, format_args!("{used} of {max} {kind}\n")),
            None => say(console, format_args!("{used} {kind}\n")),
        }
    }
    for line in limits.policy.lines() {
        say(console, format_args!("policy: {line}\n"));
    }
}

pub(super) fn description(description: &Description, console: &mut dyn Console) {
    let Description { kind, rights, depth, left, lifetime, uses } = description;
    say(console, format_args!("a {kind:?} capability, {depth} derivations from the first\nrights:"));
    for (name, _) in rights.iter_names() {
        say(console, format_args!(" {}", name.to_ascii_lowercase()));
    }
    console.write(b"\n");
    let bounded = left.iter().flat_map(|left| left.rows()).filter_map(|(kind, left)| Some((kind, left?)));
    for (kind, left) in bounded {
        say(console, format_args!("{left} {kind} left\n"));
    }
    if let Some(left) = lifetime {
        say(console, format_args!("ends in {} ms\n", left.0 / 1_000_000));
    }
    if let Some(left) = uses {
        say(console, format_args!("good for {left} more calls\n"));
    }
}

//! Commands that tell: `state`, `list`, `ps`.

use super::{Container, abandoned, about, open};
use crate::arguments::Format;
use crate::channel::SocketChannel;
use crate::failure::Failure;
use crate::output::print;
use crate::state_directory::{Found, Root};
use bailiwick_client::Factory;
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{Nanos, Page};
use bailiwick_protocol::rights::Rights;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The state document of the specification, with runc's `created`.
fn document(container: &Container) -> Result<Value, Failure> {
    let mut text = String::new();
    container.state_json(&mut text)?;
    let mut document: Value = serde_json::from_str(&text)?;
    let at = container.state(|state| state.created_at)?;
    if let Some(object) = document.as_object_mut() {
        object.insert("created".into(), created(at).into());
    }
    Ok(document)
}

/// A moment of the monotonic clock as a date.
fn created(at: Nanos) -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::try_from(now).unwrap_or_default();
    let ago = now.saturating_sub(Duration::from_nanos(at.0));
    let then = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_nanos(then).to_string()
}

/// `state`.
pub(crate) fn state(root: &Path, id: &str) -> Result<(), Failure> {
    let container = open(root, id, Rights::INSPECT)?;
    let document = document(&container).map_err(|failure| Failure::about(id, failure))?;
    print(format_args!("{document:#}\n"))
}

/// `list`. A container that goes away meanwhile is left out; one whose monitor was killed is told beside the list.
pub(crate) fn list(root: &Path, format: Format, quiet: bool) -> Result<(), Failure> {
    let mut documents = Vec::new();
    if let Some(root) = Root::open(root)? {
        for id in root.ids()? {
            match root.find(&id)? {
                Found::Monitor(socket) => documents.extend(look(SocketChannel::new(socket), &id)),
                Found::Nothing => {}
                Found::Abandoned => eprintln!("bailiwick: {}", abandoned(&id)),
            }
        }
    }
    match (quiet, format) {
        (true, _) => documents.iter().try_for_each(|row| print(format_args!("{}\n", text(row, "id")))),
        (false, Format::Json) => print(format_args!("{}\n", Value::Array(documents))),
        (false, Format::Table) => print(table(&documents)),
    }
}

fn look(channel: SocketChannel, id: &ContainerId) -> Option<Value> {
    let container = Factory::new(channel).lookup(id.as_str(), Rights::INSPECT).ok()?;
    document(&container).ok()
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn table(documents: &[Value]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED"].map(String::from);
    let row = |document: &Value| {
        let pid = document.get("pid").and_then(Value::as_u64).unwrap_or(0).to_string();
        let field = |name| text(document, name).to_owned();
        [field("id"), pid, field("status"), field("bundle"), field("created")]
    };
    columns(std::iter::once(header).chain(documents.iter().map(row)).collect())
}

/// Rows with each column as wide as its widest cell.
fn columns<const N: usize>(rows: Vec<[String; N]>) -> String {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}   ")).collect();
        format!("{}\n", cells.trim_end())
    };
    rows.iter().map(line).collect()
}

/// `ps`: the numbers as the host has them; in the table also those inside, and the command lines.
pub(crate) fn ps(root: &Path, id: &str, format: Format) -> Result<(), Failure> {
    let container = open(root, id, Rights::OBSERVE)?;
    let (mut rows, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let page = container.processes(Page { from: at }).map_err(about(id))?;
        rows.extend(page.rows);
        from = page.next;
    }
    if format == Format::Json {
        let numbers: Vec<u32> = rows.iter().filter_map(|row| row.pid).collect();
        return print(format_args!("{}\n", Value::from(numbers)));
    }
    let number = |pid: Option<u32>| pid.map_or("-".into(), |pid| pid.to_string());
    let row = |pid: Option<u32>, inner: Option<u32>| {
        [number(pid), number(inner), pid.map(command_line).unwrap_or_default()]
    };
    let header = ["PID", "INSIDE", "COMMAND"].map(String::from);
    let rows = rows.iter().map(|r| row(r.pid, r.inner_pid));
    print(columns(std::iter::once(header).chain(rows).collect()))
}

/// What a process says its command line is. Nothing that a terminal would obey comes through.
fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            vec![["ID", "PID"], ["longer", "1"]].into_iter().map(|row| row.map(String::from)).collect();
        assert_eq!(columns(rows), "ID       PID\nlonger   1\n");
    }
}

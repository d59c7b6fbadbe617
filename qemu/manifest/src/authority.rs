//! Who may do what in the booted system, drawn from the manifest: as a tree for a reader, and for Graphviz.

use crate::{Manifest, Process};
use bailiwick_protocol::Rights;
use std::fmt::Write;

/// What a line of the tree says a process holds.
fn holdings(process: &Process) -> Vec<String> {
    let mut lines = Vec::new();
    if !process.factory.is_empty() {
        let kind =
            if process.is_tenant() { "a sub-factory of its own" } else { "the factory of init's containers" };
        lines.push(format!("{kind}: {}", words(process.factory)));
        for (kind, max) in process.quota.iter().flat_map(|quota| quota.rows()) {
            lines.extend(max.map(|max| format!("  at most {max} {kind}")));
        }
        let policy = process.policy.as_deref().unwrap_or_default();
        lines.extend(policy.lines().map(|line| format!("  policy: {line}")));
    }
    lines.extend(
        process.directories.iter().map(|path| format!("directory {path}: read, execute, write, hand over")),
    );
    if process.console {
        lines.push("the console".to_owned());
    }
    lines
}

fn words(rights: Rights) -> String {
    let names: Vec<String> = rights.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.join(" ")
}

/// What init and the manager hold, whatever the manifest says.
const INIT: [&str; 2] = [
    "everything there is at boot: root directory, console, clock, power switch, all memory",
    "the root factory: all rights",
];
const MANAGER: [&str; 1] = ["root directory, console, clock (read), init's resource group, its own endpoint"];

/// The tree. What stands further in came from what it stands below.
pub fn tree(manifest: &Manifest) -> String {
    let mut text = String::from("init\n");
    let mut branch = |name: &str, lines: &[String]| {
        let _ = writeln!(text, "  {name}");
        for line in lines {
            let _ = writeln!(text, "    holds {line}");
        }
    };
    let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    branch("itself", &own(&INIT));
    branch("manager", &own(&MANAGER));
    for process in &manifest.processes {
        branch(&format!("process {}", process.name), &holdings(process));
    }
    for container in &manifest.containers {
        branch(&format!("container {}", container.id), &["no capability".to_owned()]);
    }
    text
}

/// The same for Graphviz: an arrow leads from who gave to who holds, and says what.
pub fn dot(manifest: &Manifest) -> String {
    let mut text = String::from("digraph authority {\n  rankdir=LR;\n  node [shape=box];\n  init -> manager");
    let _ = writeln!(text, " [label={}];", quoted(MANAGER[0]));
    for process in &manifest.processes {
        let name = quoted(&format!("process {}", process.name));
        for holding in joined(&holdings(process)) {
            let from = if holding.contains("factory") { "manager" } else { "init" };
            let _ = writeln!(text, "  {from} -> {name} [label={}];", quoted(&holding));
        }
    }
    for container in &manifest.containers {
        let name = quoted(&format!("container {}", container.id));
        let _ =
            writeln!(text, "  {name} [shape=ellipse];\n  manager -> {name} [style=dashed, label=\"runs\"];");
    }
    text.push_str("}\n");
    text
}

/// Lines that stand further in go with the one before.
fn joined(lines: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for line in lines {
        match (line.strip_prefix("  "), joined.last_mut()) {
            (Some(more), Some(last)) => *last = format!("{last}\n{more}"),
            _ => joined.push(line.clone()),
        }
    }
    joined
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

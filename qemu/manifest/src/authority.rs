//! Who may do what in the booted system, drawn from the manifest: as a tree for a reader, and for Graphviz.
//!
//! Both are written from one list of edges: a holder, what it holds, and what it may do with it. Whoever holds a factory
//! reaches the containers below it, so these are edges as well; so is what is stored with a container, which is held by
//! nobody until somebody who may run programs in the container takes it out.

use crate::{Access, Held, Manifest, Process, Stored};
use bailiwick_protocol::Rights;
use std::collections::BTreeSet;
use std::fmt::{self, Write};

/// Somebody or something that there is once the machine has booted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Node {
    /// The first process.
    Init,
    /// The container manager.
    Manager,
    /// A process of the manifest, by its name.
    Process(String),
    /// The factory that init makes containers with.
    RootFactory,
    /// The factory of this process alone.
    FactoryOf(String),
    /// A container of the manifest, by its id.
    Container(String),
    /// A directory of the boot image, by its path.
    Directory(String),
    /// The serial console.
    Console,
    /// The clock.
    Clock,
    /// What switches the machine off.
    Power,
    /// All memory, and the processes that run in it.
    Memory,
    /// What the manager is called on.
    Endpoint,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Init => f.write_str("init"),
            Node::Manager => f.write_str("manager"),
            Node::Process(name) => write!(f, "process {name}"),
            Node::RootFactory => f.write_str("root factory"),
            Node::FactoryOf(name) => write!(f, "factory of {name}"),
            Node::Container(id) => write!(f, "container {id}"),
            Node::Directory(path) => write!(f, "directory {path}"),
            Node::Console => f.write_str("console"),
            Node::Clock => f.write_str("clock"),
            Node::Power => f.write_str("power switch"),
            Node::Memory => f.write_str("all memory"),
            Node::Endpoint => f.write_str("manager's endpoint"),
        }
    }
}

/// One holder, one thing it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Who holds it.
    pub from: Node,
    /// What is held.
    pub to: Node,
    /// What may be done with it, and within which bounds: a line each.
    pub may: Vec<String>,
}

/// All there are. What is not among them nobody holds.
pub fn edges(manifest: &Manifest) -> Vec<Edge> {
    let mut all = Vec::new();
    let mut add = |from: &Node, to: Node, may: Vec<String>| all.push(Edge { from: from.clone(), to, may });
    let line = |text: &str| vec![text.to_owned()];
    for (to, may) in [
        (Node::Directory("/".to_owned()), "read, execute, write, hand over"),
        (Node::Console, "read, write"),
        (Node::Clock, "read"),
        (Node::Power, "use"),
        (Node::Memory, "use, divide, start and end processes"),
    ] {
        add(&Node::Init, to, line(may));
    }
    add(&Node::Init, Node::RootFactory, vec![words(Rights::FACTORY | Rights::CONTAINER)]);
    for (to, may) in [
        (Node::Directory("/".to_owned()), "read, execute, write"),
        (Node::Console, "write"),
        (Node::Clock, "read"),
        (Node::Memory, "use, divide"),
        (Node::Endpoint, "receive, name who calls"),
    ] {
        add(&Node::Manager, to, line(may));
    }
    for container in &manifest.containers {
        add(&Node::Manager, Node::Container(container.id.clone()), line("run it"));
        add(&Node::RootFactory, Node::Container(container.id.clone()), line("look it up"));
        for Stored { name, on, rights } in &container.stores {
            let may = vec![words(*rights), format!("taken out as {name}, with exec on {}", container.id)];
            add(&Node::Container(container.id.clone()), Node::Container(on.clone()), may);
        }
    }
    for process in &manifest.processes {
        let holder = Node::Process(process.name.clone());
        for (to, may) in holdings(process) {
            if let Node::FactoryOf(_) = to {
                add(&Node::RootFactory, to.clone(), line("bounds it"));
            }
            add(&holder, to, may);
        }
    }
    all
}

/// What the manifest gives a process.
fn holdings(process: &Process) -> Vec<(Node, Vec<String>)> {
    let mut held = Vec::new();
    if !process.factory.is_empty() {
        let mut may = vec![words(process.factory)];
        for (kind, max) in process.quota.iter().flat_map(|quota| quota.rows()) {
            may.extend(max.map(|max| format!("at most {max} {kind}")));
        }
        let policy = process.policy.as_deref().unwrap_or_default();
        may.extend(policy.lines().map(|line| format!("policy: {line}")));
        let own = Node::FactoryOf(process.name.clone());
        held.push((if process.is_tenant() { own } else { Node::RootFactory }, may));
    }
    for Held { id, rights } in &process.containers {
        held.push((Node::Container(id.clone()), vec![words(*rights)]));
    }
    for (path, access) in process.handed() {
        let may = match access {
            Access::Read => "read, execute, hand over",
            Access::Write => "read, execute, write, hand over",
        };
        held.push((Node::Directory(path), vec![may.to_owned()]));
    }
    if process.console {
        let may = if process.args.is_some() { "write" } else { "read, write" };
        held.push((Node::Console, vec![may.to_owned()]));
    }
    let most = |max: Option<u64>, what: &str| max.map(|max| format!("at most {max} {what}"));
    let bounds = [most(process.memory, "bytes"), most(process.threads.map(u64::from), "threads")];
    held.push((Node::Memory, ["use".to_owned()].into_iter().chain(bounds.into_iter().flatten()).collect()));
    held
}

fn words(rights: Rights) -> String {
    let names: Vec<String> = rights.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.join(" ")
}

/// Everybody there is, whether it holds anything or not, in order.
fn holders(manifest: &Manifest) -> Vec<Node> {
    let mut all = vec![Node::Init, Node::Manager];
    all.extend(manifest.processes.iter().map(|process| Node::Process(process.name.clone())));
    all.push(Node::RootFactory);
    let tenants = manifest.processes.iter().filter(|process| process.is_tenant());
    all.extend(tenants.map(|process| Node::FactoryOf(process.name.clone())));
    all.extend(manifest.containers.iter().map(|container| Node::Container(container.id.clone())));
    all
}

/// The tree: each holder, what it holds, what it may do with that.
pub fn tree(manifest: &Manifest) -> String {
    let edges = edges(manifest);
    let mut text = String::new();
    for holder in holders(manifest) {
        let _ = writeln!(text, "{holder}");
        let mut held = edges.iter().filter(|edge| edge.from == holder).peekable();
        if held.peek().is_none() {
            text.push_str("  no capability\n");
        }
        for edge in held {
            let mut may = edge.may.iter();
            let _ = writeln!(text, "  {}: {}", edge.to, may.next().map_or("", String::as_str));
            may.for_each(|line| {
                let _ = writeln!(text, "    {line}");
            });
        }
    }
    text
}

/// The same for Graphviz: an arrow leads from who holds to what is held, and says what may be done with it.
pub fn dot(manifest: &Manifest) -> String {
    let edges = edges(manifest);
    let mut text = String::from("digraph authority {\n  rankdir=LR;\n");
    let mut nodes: BTreeSet<Node> = holders(manifest).into_iter().collect();
    nodes.extend(edges.iter().map(|edge| edge.to.clone()));
    for node in nodes {
        let shape = match node {
            Node::Init | Node::Manager | Node::Process(_) => "box",
            Node::RootFactory | Node::FactoryOf(_) => "hexagon",
            Node::Container(_) => "ellipse",
            Node::Directory(_) => "folder",
            Node::Console | Node::Clock | Node::Power | Node::Memory | Node::Endpoint => "plaintext",
        };
        let _ = writeln!(text, "  {} [shape={shape}];", quoted(&node.to_string()));
    }
    for edge in edges {
        let (from, to) = (quoted(&edge.from.to_string()), quoted(&edge.to.to_string()));
        let _ = writeln!(text, "  {from} -> {to} [label={}];", quoted(&edge.may.join("\n")));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

//! Figures of our own kernel, in QEMU with `--icount`: one tick of the time-stamp counter is one instruction.

use crate::figure::{Figure, Kind};
use crate::runtimes;
use anyhow::{Context, Result, anyhow, ensure};
use bailiwick_manifest::Console;
use bailiwick_runner::image::{self, Sources};
use bailiwick_runner::programs;
use bailiwick_runner::tree::{Kind as Content, Tree};
use bailiwick_tests::bundle::Bundle;
use bailiwick_tests::{guest, system};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

const COMMAND: &str = "tests/bench/run --quick";
const INSTRUCTIONS: &str = "instructions";
/// Time limit of every machine, in seconds.
const LIMIT: &str = "300";

/// Every figure of the machine.
pub(crate) fn figures(quick: bool) -> Result<Vec<Figure>> {
    let mut figures = messages()?;
    figures.extend(requests()?);
    figures.push(boot_to_init()?);
    figures.push(boot_to_container()?);
    figures.extend(memory()?);
    figures.push(smallest()?);
    if !quick {
        figures.push(prompt()?);
    }
    Ok(figures)
}

/// `name: NUMBER, …`
fn counted(line: &str) -> Option<(&str, f64)> {
    let (name, rest) = line.trim_end().split_once(": ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((name, digits.parse().ok()?))
}

/// seL4 16.0.0-dev (1326364bc, release, fast path on, no kernel window unmapped), call and reply between two address
/// spaces under the same flags of QEMU, for what has the name of one of our figures.
const SEL4: [(&str, f64); 11] = [
    ("null call", 241.0),
    ("round trip", 459.0),
    ("round trip of 0 words", 447.0),
    ("round trip of 4 words", 489.0),
    ("round trip of 8 words", 1691.0),
    ("round trip of 10 words", 1711.0),
    ("round trip of 64 words", 2251.0),
    ("round trip of 120 words", 2811.0),
    ("one capability in the call", 1535.0),
    ("derive", 909.0),
    ("revoke of one child", 905.0),
];

/// What is shown of a kernel with page-table isolation as well.
const ISOLATED: [(&str, &str); 3] = [
    ("null call", "null call, isolated"),
    ("round trip of 0 words", "round trip of 0 words, isolated"),
    ("round trip of 120 words", "round trip of 120 words, isolated"),
];

/// What messages cost, as the program `measure` counts it.
fn messages() -> Result<Vec<Figure>> {
    let mut tree = Tree::default();
    add_program(&mut tree, "measure")?;
    let run = |options: &[&str]| {
        let ran = guest::boot(options, &tree, "native=/sbin/measure")?;
        ran.ended_with(0).map_err(|ran| anyhow!("measure did not end well: {ran:#?}"))
    };
    let lines = run(&["--icount"])?;
    let inside = "between two address spaces, as the caller counts it, an empty round subtracted";
    let isolated = run(&["--icount", "--isolation"])?;
    let isolated = isolated.iter().filter_map(|line| counted(line)).filter_map(|(name, count)| {
        let name = ISOLATED.iter().find(|(found, _)| *found == name)?.1;
        let inside = "the same with the kernel in no tables but its own";
        Some(Figure::new(name, (count, INSTRUCTIONS), Kind::Exact, inside, COMMAND))
    });
    let figures = lines
        .iter()
        .filter(|line| !line.contains(" wrong") && !line.starts_with("handles that"))
        .filter_map(|line| {
            let (name, count) = counted(line)?;
            let figure = Figure::new(name, (count, INSTRUCTIONS), Kind::Exact, inside, COMMAND);
            let peer = SEL4.iter().find(|(known, _)| *known == name);
            Some(match peer {
                Some((_, count)) => figure.peer("seL4, same QEMU flags:", *count),
                None => figure,
            })
        });
    Ok(figures.chain(isolated).collect())
}

fn add_program(tree: &mut Tree, name: &str) -> Result<()> {
    let built = programs::build()?;
    tree.add(format!("sbin/{name}"), guest::executable(programs::stripped(&built.join(name))?));
    Ok(())
}

/// Runs the system and gives what the console showed.
fn run(arguments: &[&str]) -> Result<String> {
    let run = system::run(&[arguments, &["--timeout", LIMIT]].concat())?;
    ensure!(run.status == Some(0), "the system ended with status {:?}:\n{}", run.status, run.text);
    Ok(run.text)
}

/// A manifest in a file.
fn manifest(text: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), text)?;
    Ok(file)
}

/// What the program `requests` counts: its name, what is aimed at, and what is inside the bracket.
const REQUESTS: [(&str, Option<f64>, &str); 12] = [
    (
        "describe",
        Some(900.0),
        "from the client library's call to the decoded answer: kernel, manager and client",
    ),
    ("state", Some(900.0), "the same, with the container's strings in the answer"),
    ("derive a capability", Some(2000.0), "the same, with the new capability in the answer"),
    (
        "revoke of one capability",
        None,
        "the same, by its handle, its sweep and its end in the holder's space included",
    ),
    ("refusal for lack of rights", None, "the same, with the names of the rights in the answer"),
    (
        "derive a capability beside 900 others",
        Some(2000.0),
        "as the one above, with nearly as many as a process can hold",
    ),
    ("revoke of one capability beside 900 others", None, "the same"),
    (
        "life",
        Some(400_000.0),
        "create, start, exit and delete of busybox's `/bin/true`, configuration as `runc spec` makes it",
    ),
    ("create", None, "of that life: from the request to the process at the gate"),
    ("start", None, "of that life: from the request to its answer; the program runs and ends meanwhile"),
    ("exit", None, "of that life: from the answer to `start` to the exit status"),
    ("delete", None, "of that life"),
];

fn requests() -> Result<Vec<Figure>> {
    let bundle = Bundle::new(&["/bin/true"])?;
    let named = format!("true={}", bundle.path().display());
    let file = manifest(include_str!("requests.toml"))?;
    let path = file.path().to_string_lossy().into_owned();
    let text = run(&["--icount", "--manifest", &path, "--bundle", &named, "--exec", "count"])?;
    REQUESTS
        .iter()
        .map(|(name, aim, inside)| {
            let line = text.lines().filter_map(counted).find(|(found, _)| found == name);
            let (_, count) = line.with_context(|| format!("no {name} in:\n{text}"))?;
            let figure = Figure::new(*name, (count, INSTRUCTIONS), Kind::Exact, *inside, COMMAND);
            let figure = aim.map_or(figure.clone(), |aim| figure.clone().aim(aim));
            Ok(match *name {
                "describe" | "state" => figure
                    .peer("Linux 6.1, same QEMU flags, seqpacket round trip of 32 bytes alone:", 15_193.0),
                _ => figure,
            })
        })
        .collect()
}

/// The default system with a program that tells when it began in place of init.
fn boot_to_init() -> Result<Figure> {
    let sources = Sources::of_workspace(programs::build()?, None);
    let mut tree = image::tree(&sources, &[], Console::Summary)?;
    add_program(&mut tree, "requests")?;
    let ran = guest::boot(&["--icount"], &tree, "native=/sbin/requests")?;
    let lines = ran.ended_with(0).map_err(|ran| anyhow!("it did not end well: {ran:#?}"))?;
    let begun = lines.iter().filter_map(|line| counted(line)).find(|(name, _)| *name == "begun");
    let (_, count) = begun.ok_or_else(|| anyhow!("it did not say when it began: {lines:#?}"))?;
    let inside = "from reset, QEMU's firmware included, to the first instruction of init's `main`";
    Ok(Figure::new("boot to init", (count, INSTRUCTIONS), Kind::Exact, inside, COMMAND))
}

fn boot_to_container() -> Result<Figure> {
    let bundle = Bundle::new(&["/stamp"])?;
    let path = bundle.rootfs().join("stamp");
    let Content::File(program) = guest::program("stamp.s")?.kind else { return Err(anyhow!("no program")) };
    fs::write(&path, program)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let named = format!("stamp={}", bundle.path().display());
    let file = manifest("[[container]]\nid = \"stamp\"\nbundle = \"stamp\"\nexpect = { exit = 0 }\n")?;
    let manifest = file.path().to_string_lossy().into_owned();
    let text = run(&["--icount", "--manifest", &manifest, "--bundle", &named])?;
    let line = text.lines().find_map(|line| line.strip_prefix("stamp | "));
    let count = line.and_then(|line| line.trim().parse().ok());
    let count = count.with_context(|| format!("the container did not say when it began:\n{text}"))?;
    let inside = "from reset to the first instruction of the first container's program";
    Ok(Figure::new("boot to a container", (count, INSTRUCTIONS), Kind::Exact, inside, COMMAND))
}

/// By the line in which init says at the end who used how much.
fn memory() -> Result<Vec<Figure>> {
    let bundle = Bundle::new(&["/bin/sleep", "1"])?;
    let named = format!("sleep={}", bundle.path().display());
    let file = manifest(&include_str!("requests.toml").replace("\"requests\"", "\"shell\""))?;
    let manifest = file.path().to_string_lossy().into_owned();
    let commands = "run a sleep; wait a; delete a";
    let text = run(&["--icount", "--manifest", &manifest, "--bundle", &named, "--exec", commands])?;
    let line = text.lines().find_map(|line| line.strip_prefix("init: memory in KiB: "));
    let line = line.with_context(|| format!("init did not tell:\n{text}"))?;
    let sizes: BTreeMap<&str, f64> = line
        .split(", ")
        .filter_map(|part| part.trim().rsplit_once(' '))
        .filter_map(|(name, size)| Some((name, size.parse().ok()?)))
        .collect();
    let size = |name| sizes.get(name).copied().with_context(|| format!("no {name} in: {line}"));
    let (manager, shell, all) = (size("manager")?, size("shell")?, size("all processes")?);
    let heap = heap_at_boot(&text)? - size("free in the kernel's heap")?;
    let figure = |name: &str, size: f64, inside: &str| {
        Figure::new(format!("memory of {name}"), (size, "KiB"), Kind::Shown, inside, COMMAND)
    };
    Ok(vec![
        figure(
            "the kernel",
            kernel_image()? + heap,
            "its image, stack and variables included, and its heap in use",
        ),
        figure(
            "the manager",
            manager,
            "pages it has half a second after its start, the boot image's among them; one container runs",
        ),
        figure("the shell", shell, "pages it has, the boot image's among them"),
        figure(
            "init, manager and shell",
            all,
            "frames charged to them: page tables, not the boot image's pages",
        ),
    ])
}

/// KiB of the kernel's heap, by its own line: `…, 8064 KiB of heap, …`.
fn heap_at_boot(text: &str) -> Result<f64> {
    let size = text.split(" KiB of heap").next().and_then(|before| before.rsplit(' ').next());
    size.and_then(|size| size.parse().ok()).with_context(|| format!("no size of the heap in:\n{text}"))
}

/// KiB that the kernel's image takes in memory.
fn kernel_image() -> Result<f64> {
    let output = Command::new("size").arg(programs::build()?.join("bailiwick-kernel")).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let bytes: Option<f64> =
        text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    Ok((bytes.with_context(|| format!("size(1) said:\n{text}"))? / 1024.0).ceil())
}

/// Sizes of machines that are tried, in MiB.
const SIZES: [u32; 2] = [32, 24];

/// The smallest machine on which every container of the default manifest does what it should.
fn smallest() -> Result<Figure> {
    let mut smallest = f64::INFINITY;
    for size in SIZES {
        if system::run(&["--memory", &size.to_string(), "--timeout", LIMIT])?.status != Some(0) {
            break;
        }
        smallest = f64::from(size);
    }
    let inside =
        "the smaller machine of 32 and 24 MiB on which the default manifest's three busybox containers run";
    Ok(Figure::new("smallest machine", (smallest, "MiB"), Kind::Exact, inside, COMMAND).aim(32.0))
}

/// Boots of which the median counts.
const BOOTS: usize = 5;

fn prompt() -> Result<Figure> {
    let times: Vec<f64> = (0..BOOTS).map(|_| boot_to_prompt()).collect::<Result<_>>()?;
    let time = runtimes::median(times);
    let inside = "wall time from starting QEMU to the prompt, the default manifest's containers brought up; median of five";
    Ok(Figure::new("prompt", (time, "s"), Kind::Shown, inside, COMMAND).aim(1.0))
}

fn boot_to_prompt() -> Result<f64> {
    let mut child = Command::new(programs::workspace().join("qemu/run"))
        .args(["--exec", "help", "--timeout", LIMIT])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (errors, output) = (child.stderr.take(), child.stdout.take());
    let (Some(errors), Some(mut output)) = (errors, output) else { return Err(anyhow!("no output")) };
    let mut errors = BufReader::new(errors).lines();
    ensure!(errors.any(|line| line.is_ok_and(|line| line.ends_with("booting"))), "it did not boot");
    let start = Instant::now();
    let (mut seen, mut piece) = (Vec::new(), [0; 512]);
    let time = loop {
        let count = output.read(&mut piece)?;
        ensure!(count > 0, "no prompt in:\n{}", String::from_utf8_lossy(&seen));
        seen.extend(piece.get(..count).unwrap_or_default());
        if String::from_utf8_lossy(&seen).contains(system::PROMPT) {
            break start.elapsed();
        }
    };
    output.read_to_end(&mut seen)?;
    child.wait()?;
    Ok(time.as_secs_f64())
}

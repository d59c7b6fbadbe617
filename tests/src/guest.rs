//! Our own kernel in QEMU, with one program of a boot image in place of everything that is usually in it.

use bailiwick_runner::args::Args;
use bailiwick_runner::cpio;
use bailiwick_runner::image::Terminal;
use bailiwick_runner::programs::{self, Kernel};
use bailiwick_runner::qemu::{self, Boot};
use bailiwick_runner::tree::{Kind, Node, Tree};
use clap::Parser;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// One machine at a time: the time limits are for a machine that has a processor for itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Every run is stopped after this many seconds.
const LIMIT: &str = "240";

/// What the exit port is written for success; QEMU's status is twice that and one, with the program's added.
const SUCCESS: i32 = 0x10;
/// What QEMU ends with when the kernel itself was at fault.
pub const KERNEL_FAULT: i32 = 0x1f;

/// How a machine ran.
#[derive(Debug)]
pub struct Ran {
    /// Lines before the program began: the kernel's own.
    pub start: Vec<String>,
    /// The program's lines.
    pub lines: Vec<String>,
    /// The kernel's last line, if it had any.
    pub end: Option<String>,
    /// QEMU's exit status; none if it was killed, 124 if the time was up.
    pub status: Option<i32>,
}

impl Ran {
    /// The program's lines, if its machine ran as it should: the kernel's line at start, the program's lines, the
    /// kernel's line that the program ended with this status, QEMU's exit status that says so too.
    ///
    /// # Errors
    /// All that was seen.
    pub fn ended_with(self, status: u8) -> Result<Vec<String>, Ran> {
        let as_wanted = self.start.len() == 1
            && self
                .end
                .as_deref()
                .is_some_and(|line| line.ends_with(&format!(" ended with status {status}")))
            && self.status == Some((SUCCESS + i32::from(status)) * 2 + 1);
        if as_wanted { Ok(self.lines) } else { Err(self) }
    }
}

/// The freshly built kernel.
fn kernel(which: Kernel) -> io::Result<PathBuf> {
    static PLAIN: OnceLock<Option<PathBuf>> = OnceLock::new();
    static ISOLATED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = match which {
        Kernel::Plain => &PLAIN,
        Kernel::Isolated => &ISOLATED,
    };
    let built = built.get_or_init(|| programs::kernel(which).ok());
    built.clone().ok_or_else(|| io::Error::other("the kernel does not build"))
}

/// Boots `image` with `command_line` on the machine that the options of `./qemu/run` name.
///
/// # Errors
/// The kernel does not build, or a file cannot be written.
pub fn boot(options: &[&str], image: &Tree, command_line: &str) -> io::Result<Ran> {
    let packed = pack(image)?;
    let mut machine = machine(options, packed.path(), command_line)?;
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = machine.output()?;
    Ok(sort_out(&String::from_utf8_lossy(&output.stdout), output.status.code()))
}

/// Boots `image` as [`boot`] does, waits for a line `ready` of its program, asks QEMU's monitor these `questions` and ends the
/// machine. Returns what the monitor answered.
///
/// # Errors
/// As [`boot`]; there was no such line before the time was up.
pub fn ask_monitor(
    options: &[&str],
    image: &Tree,
    command_line: &str,
    questions: &[&str],
) -> io::Result<String> {
    let (packed, folder) = (pack(image)?, tempfile::tempdir()?);
    let socket = folder.path().join("monitor");
    let mut machine = machine(options, packed.path(), command_line)?;
    machine.arg("-monitor").arg(format!("unix:{},server=on,wait=off", socket.display()));
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = machine.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let is_ready =
        BufReader::new(output).lines().map_while(Result::ok).any(|line| line.trim_end() == "ready");
    let mut answer = String::new();
    if is_ready {
        let mut monitor = UnixStream::connect(&socket)?;
        for question in questions {
            monitor.write_all(format!("{question}\n").as_bytes())?;
        }
        // Only once it prompts again: with `quit` in its hands it need not say the rest.
        let (mut byte, mut prompts) = ([0], 0);
        while prompts <= questions.len() && monitor.read(&mut byte)? != 0 {
            answer.push(char::from(byte[0]));
            prompts += usize::from(answer.ends_with("(qemu) "));
        }
        monitor.write_all(b"quit\n")?;
        // It closes the connection as it ends. Were it closed from here, this line might never be read.
        let _ = monitor.read_to_end(&mut Vec::new());
    }
    child.wait()?;
    if is_ready { Ok(answer) } else { Err(io::Error::other("the program never was ready")) }
}

fn pack(image: &Tree) -> io::Result<tempfile::NamedTempFile> {
    let packed = tempfile::NamedTempFile::new()?;
    fs::write(packed.path(), cpio::pack(image).map_err(io::Error::other)?)?;
    Ok(packed)
}

/// The command that starts a machine, with a time limit.
fn machine(options: &[&str], image: &Path, command_line: &str) -> io::Result<Command> {
    let arguments = ["boot"].iter().chain(options);
    let arguments = Args::try_parse_from(arguments).map_err(io::Error::other)?;
    let kernel = kernel(arguments.kernel())?;
    let machine = qemu::command(&arguments, Boot::Direct { kernel: &kernel, image }, Terminal::Absent);
    let mut limited = Command::new("timeout");
    limited
        .args(["--kill-after=5", LIMIT])
        .arg(machine.get_program())
        .args(machine.get_args())
        .args(["-append", command_line])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    Ok(limited)
}

/// The kernel's lines begin with its name: those at the start, the last one, and everything in between.
fn sort_out(text: &str, status: Option<i32>) -> Ran {
    let own = |line: &&str| line.starts_with("bailiwick: ");
    let all: Vec<&str> = text.lines().collect();
    let start = all.iter().take_while(|line| own(line)).count();
    let (start, rest) = all.split_at(start);
    let (end, lines) = match rest.split_last() {
        Some((last, lines)) if own(last) => (Some(*last), lines),
        _ => (None, rest),
    };
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    Ran { start: owned(start), lines: owned(lines), end: end.map(str::to_owned), status }
}

/// An executable file.
pub fn executable(bytes: impl Into<Vec<u8>>) -> Node {
    Node::new(0o755, Kind::File(bytes.into()))
}

/// One of the programs in `tests/programs`, built.
///
/// # Errors
/// gcc is missing or does not take it; its own words are on standard error by then.
pub fn program(name: &str) -> io::Result<Node> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name);
    let out = tempfile::NamedTempFile::new()?.into_temp_path();
    let mut gcc = Command::new("gcc");
    gcc.args(["-static", "-O1", "-o"]).arg(&out).arg(&source);
    if name.ends_with(".s") {
        gcc.args(["-nostdlib", "-no-pie"]);
    }
    if !gcc.status()?.success() {
        return Err(io::Error::other(format!("gcc cannot build {name}")));
    }
    Ok(executable(fs::read(out)?))
}

/// An image with this root file system and, as `/.start` and `/.confine`, what prepares and confines a program as a
/// runtime would.
///
/// # Errors
/// A file cannot be read, or gcc is missing.
pub fn image(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        tree.copy(&name, &entry.path()).map_err(io::Error::other)?;
    }
    tree.add(".start", executable(include_str!("../programs/start.sh")));
    tree.add(".confine", program("confine.c")?);
    Ok(tree)
}

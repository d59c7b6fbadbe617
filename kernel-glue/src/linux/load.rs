//! Finding a container's program, so that what is wrong with it is told before the gate, not after.

use super::fault::{Context, Fault, Outcome};
use super::path::{Root, kind};
use super::sys::may_execute;
use alloc::format;
use alloc::string::{String, ToString};
use bailiwick_protocol::error::Errno;
use elf::endian::AnyEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::segment::SegmentTable;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno as Raw;

/// As much of a file as is looked at: program headers stand at its beginning.
const HEAD: usize = 64 * 1024;
/// As many interpreters of interpreters as the kernel follows (execve(2)).
const DEPTH_MAX: usize = 4;
/// Where programs are looked for if the environment does not say (execvp(3) of musl and glibc agree on these).
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program that can be executed.
#[derive(Debug)]
pub(super) struct Program {
    /// The file; closed on execve.
    pub(super) file: OwnedFd,
    /// Its path inside.
    pub(super) path: String,
    pub(super) kind: ProgramKind,
}

/// How the kernel takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ProgramKind {
    /// By itself.
    Binary,
    /// By an interpreter, which opens it again by name.
    Script,
}

/// Finds `name` as execvp(3) would, in a process whose working directory inside is `cwd`.
pub(super) fn find(root: &Root, name: &str, cwd: &str, env: &[String]) -> Outcome<Program> {
    if name.is_empty() {
        return Err(Fault::new(Errno::ENOENT, "program: its name is empty"));
    }
    if name.contains('/') {
        return open(root, &join(cwd, name));
    }
    let path = env.iter().rev().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut refused = None;
    for directory in path.split(':') {
        match open(
            root,
            &join(cwd, &format!("{}/{name}", if directory.is_empty() { "." } else { directory })),
        ) {
            Ok(program) => return Ok(program),
            Err(fault) if matches!(fault.errno, Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(fault) => refused = refused.or(Some(fault)),
        }
    }
    Err(refused
        .unwrap_or_else(|| Fault::new(Errno::ENOENT, format!("program {name}: not found in PATH {path}"))))
}

fn join(cwd: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_string() } else { format!("{cwd}/{path}") }
}

fn open(root: &Root, path: &str) -> Outcome<Program> {
    let file = check(root, path, path, DEPTH_MAX)?;
    Ok(Program { file: file.0, path: path.to_string(), kind: file.1 })
}

/// Opens `path` and checks that the kernel would execute it. `program` is what the user asked for.
fn check(root: &Root, path: &str, program: &str, depth: usize) -> Outcome<(OwnedFd, ProgramKind)> {
    let what = || match path == program {
        true => format!("program {program}"),
        false => format!("program {program}: its interpreter {path}"),
    };
    let file = root.open(path, OFlags::PATH).context(what)?;
    let stat = rustix::fs::fstat(&file).context(what)?;
    match kind(&stat) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Fault::new(Errno::EACCES, format!("{}: is a directory", what()))),
        _ => return Err(Fault::new(Errno::EACCES, format!("{}: is no regular file", what()))),
    }
    may_execute(file.as_fd()).context(|| format!("{}: is not executable", what()))?;
    // A file may be executable and not readable; then the kernel's own check at execve has to do.
    let Ok(readable) = root.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) else {
        return Ok((file, ProgramKind::Binary));
    };
    let head = read_head(readable.as_fd()).context(what)?;
    let (kind, interpreter) = match head.as_slice() {
        [b'#', b'!', line @ ..] => (
            ProgramKind::Script,
            Some(script_interpreter(line).ok_or_else(|| {
                Fault::new(Errno::ENOEXEC, format!("{}: its first line names no interpreter", what()))
            })?),
        ),
        bytes => (
            ProgramKind::Binary,
            elf_interpreter(bytes).map_err(|why| Fault::new(Errno::ENOEXEC, format!("{}: {why}", what())))?,
        ),
    };
    if let Some(interpreter) = interpreter {
        if depth == 0 {
            return Err(Fault::new(Errno::ELOOP, format!("{}: too many interpreters", what())));
        }
        check(root, &interpreter, program, depth - 1)?;
    }
    Ok((file, kind))
}

fn read_head(file: BorrowedFd<'_>) -> rustix::io::Result<alloc::vec::Vec<u8>> {
    let mut bytes = alloc::vec![0; HEAD];
    let mut len = 0;
    while let Some(room) = bytes.get_mut(len..).filter(|room| !room.is_empty()) {
        match rustix::io::read(file, room) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(Raw::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// The interpreter of `#!`: the first word of the line (execve(2)).
fn script_interpreter(line: &[u8]) -> Option<String> {
    let line = line.split(|b| *b == b'\n').next()?;
    let line = core::str::from_utf8(line.get(..line.len().min(255))?).ok()?;
    line.split([' ', '\t']).find(|word| !word.is_empty()).map(String::from)
}

/// The interpreter of a dynamic program, none for a static one, or why the kernel would not execute it.
fn elf_interpreter(bytes: &[u8]) -> Result<Option<String>, &'static str> {
    const DAMAGED: &str = "is a damaged ELF file";
    if !bytes.starts_with(b"\x7fELF") {
        return Err("is neither an ELF file nor a script that begins with #!");
    }
    let (ident, rest) = bytes.split_at_checked(elf::abi::EI_NIDENT).ok_or(DAMAGED)?;
    let ident = parse_ident::<AnyEndian>(ident).map_err(|_| DAMAGED)?;
    let class = ident.1;
    let header =
        FileHeader::parse_tail(ident, rest.get(..tail_len(class)).ok_or(DAMAGED)?).map_err(|_| DAMAGED)?;
    if !runs_here(header.e_machine) {
        return Err("is an ELF file for another machine");
    }
    if !matches!(header.e_type, elf::abi::ET_EXEC | elf::abi::ET_DYN) {
        return Err("is an ELF file that is no program");
    }
    let at = |from: u64, len: u64| {
        let from = usize::try_from(from).ok()?;
        bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
    };
    let size = u64::from(header.e_phentsize) * u64::from(header.e_phnum);
    let table = SegmentTable::new(header.endianness, class, at(header.e_phoff, size).ok_or(DAMAGED)?);
    let Some(segment) = table.iter().find(|s| s.p_type == elf::abi::PT_INTERP) else { return Ok(None) };
    let text = at(segment.p_offset, segment.p_filesz).ok_or(DAMAGED)?;
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    core::str::from_utf8(text).map(|t| Some(t.to_string())).map_err(|_| DAMAGED)
}

const fn tail_len(class: Class) -> usize {
    match class {
        Class::ELF32 => elf::file::ELF32_EHDR_TAILSIZE,
        Class::ELF64 => elf::file::ELF64_EHDR_TAILSIZE,
    }
}

fn runs_here(machine: u16) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => matches!(machine, elf::abi::EM_X86_64 | elf::abi::EM_386),
        "aarch64" => matches!(machine, elf::abi::EM_AARCH64 | elf::abi::EM_ARM),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_after_the_marks_is_the_interpreter() {
        assert_eq!(script_interpreter(b" /bin/sh -e\nexit").as_deref(), Some("/bin/sh"));
        assert_eq!(script_interpreter(b"\n").as_deref(), None);
    }

    #[test]
    fn files_the_kernel_would_not_execute_are_told_apart() {
        assert!(elf_interpreter(b"hello").unwrap_err().contains("neither"));
        assert!(elf_interpreter(b"\x7fELF").unwrap_err().contains("damaged"));
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(elf_interpreter(&own[..HEAD]).is_ok());
        let mut other = own[..HEAD].to_vec();
        other[18] = 243;
        assert!(elf_interpreter(&other).unwrap_err().contains("another machine"));
    }
}

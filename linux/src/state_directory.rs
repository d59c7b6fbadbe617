//! Where containers are found between commands: a directory each, below a root directory (R13, R14).
//!
//! ```text
//!   ROOT/            made 0700; its owner is who runs the command, and nobody else may write
//!     ID/            0700
//!       socket       the container's monitor listens here
//!       groups       its control groups, for whoever has to remove them if the monitor cannot
//! ```
//!
//! Everything is opened below descriptors, and no link is followed. A directory is there exactly as long as its
//! container is; only a monitor that was killed leaves one behind.

use crate::failure::Failure;
use bailiwick_kernel_glue::linux::remove_abandoned;
use bailiwick_protocol::id::ContainerId;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const SOCKET: &str = "socket";
const GROUPS: &str = "groups";
/// Connections that wait while the monitor is busy.
const BACKLOG: i32 = 128;
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory of all containers.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

/// How a container stands, as its directory shows it.
#[derive(Debug)]
pub(crate) enum Found {
    /// A connection to its monitor.
    Monitor(OwnedFd),
    /// There is no such container.
    Nothing,
    /// Its monitor has been killed.
    Abandoned,
}

/// Who may have which bits of a directory.
fn verify(directory: BorrowedFd<'_>, forbidden: u32) -> Result<(), String> {
    let stat = rustix::fs::fstat(directory).map_err(|error| error.to_string())?;
    let mode = stat.st_mode & 0o7777;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(format!("is owned by user {}, not by the caller", stat.st_uid));
    }
    if mode & forbidden != 0 {
        return Err(format!("has mode {mode:04o}, which lets others in: take {:04o} away", mode & forbidden));
    }
    Ok(())
}

/// The address of the socket in a state directory, by the directory's descriptor: no path is resolved again, and
/// its length is no matter.
fn address(directory: BorrowedFd<'_>) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

fn socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

impl Root {
    /// Opens it, making it if it is not there.
    pub(crate) fn make(path: &Path) -> Result<Self, Failure> {
        let about = |error: std::io::Error| Failure::about(path.display(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(about)?;
        Self::open(path)?.ok_or_else(|| Failure::about(path.display(), Errno::NOENT))
    }

    /// Opens it, if it is there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let directory = match rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Failure::about(path.display(), error)),
        };
        verify(directory.as_fd(), 0o022).map_err(|fault| Failure::about(path.display(), fault))?;
        Ok(Some(Root { directory, path: path.to_owned() }))
    }

    /// Makes the state directory of a new container.
    pub(crate) fn add(&self, id: &ContainerId) -> Result<StateDirectory, Failure> {
        let about = |error: Errno| Failure::about(self.path.join(id.as_str()).display(), error);
        match rustix::fs::mkdirat(&self.directory, id.as_str(), Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(Failure::about(id, "the id is taken")),
            Err(error) => return Err(about(error)),
        }
        let directory = rustix::fs::openat(&self.directory, id.as_str(), DIRECTORY, Mode::empty());
        let parent = rustix::io::fcntl_dupfd_cloexec(&self.directory, 3);
        match (directory, parent) {
            (Ok(directory), Ok(parent)) => Ok(StateDirectory { parent, directory, name: id.to_string() }),
            (Err(error), _) | (_, Err(error)) => {
                let _ = rustix::fs::unlinkat(&self.directory, id.as_str(), AtFlags::REMOVEDIR);
                Err(about(error))
            }
        }
    }

    /// Looks for a container.
    pub(crate) fn find(&self, id: &ContainerId) -> Result<Found, Failure> {
        let about = |fault: String| Failure::about(self.path.join(id.as_str()).display(), fault);
        let directory = match rustix::fs::openat(&self.directory, id.as_str(), DIRECTORY, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(about(error.to_string())),
        };
        verify(directory.as_fd(), 0o077).map_err(about)?;
        let socket = socket()?;
        match rustix::net::connect(&socket, &address(directory.as_fd())?) {
            Ok(()) => Ok(Found::Monitor(socket)),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(Found::Abandoned),
            Err(error) => Err(about(error.to_string())),
        }
    }

    /// Ends and removes what a killed monitor left of a container.
    pub(crate) fn clear(&self, id: &ContainerId) -> Result<(), Failure> {
        let directory = rustix::fs::openat(&self.directory, id.as_str(), DIRECTORY, Mode::empty())?;
        let parent = rustix::io::fcntl_dupfd_cloexec(&self.directory, 3)?;
        let state = StateDirectory { parent, directory, name: id.to_string() };
        let cleared = state
            .groups()
            .and_then(|groups| remove_abandoned(&groups).map_err(|fault| Failure::about(id, fault)));
        if cleared.is_err() {
            state.hand_over();
        }
        cleared
    }

    /// The ids of all containers, in order.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>, Failure> {
        let mut ids = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let kind = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            let id = entry.file_name().to_str().ok().and_then(|name| ContainerId::new(name).ok());
            ids.extend(id.filter(|_| kind));
        }
        ids.sort();
        Ok(ids)
    }
}

/// A container's directory, in the hands of whoever is to remove it: dropping this does.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    parent: OwnedFd,
    directory: OwnedFd,
    name: String,
}

impl StateDirectory {
    /// The one that is this process's working directory.
    pub(crate) fn working_directory(name: &str) -> Result<Self, Failure> {
        let open = |path| rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty());
        Ok(StateDirectory { parent: open("..")?, directory: open(".")?, name: name.to_owned() })
    }

    /// A socket that listens in it.
    pub(crate) fn listen(&self) -> Result<OwnedFd, Failure> {
        let socket = socket()?;
        rustix::net::bind(&socket, &address(self.directory.as_fd())?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// Keeps where the container's control groups are.
    pub(crate) fn keep_groups(&self, paths: &[String]) -> Result<(), Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, GROUPS, flags, Mode::RUSR | Mode::WUSR)?;
        serde_json::to_writer(File::from(file), paths)?;
        Ok(())
    }

    /// Where the container's control groups are; nowhere if it had not come so far.
    fn groups(&self) -> Result<Vec<String>, Failure> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.directory, GROUPS, flags, Mode::empty()) {
            Ok(file) => Ok(serde_json::from_reader(File::from(file))?),
            Err(Errno::NOENT) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves its removal to somebody else.
    pub(crate) fn hand_over(self) {
        std::mem::forget(self);
    }
}

impl AsFd for StateDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        for name in [SOCKET, GROUPS] {
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
        let _ = rustix::fs::unlinkat(&self.parent, self.name.as_str(), AtFlags::REMOVEDIR);
    }
}

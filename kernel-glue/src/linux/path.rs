//! Paths inside a container's root, by descriptor only.
//!
//! A path string that comes from a bundle is never given to a system call that would resolve it against the
//! server's own root. [`Root`] walks it below a descriptor of the new root with openat2(2): absolute links begin again
//! inside, magic links are refused, and what comes back is a descriptor that is used from then on. Where something is
//! to be made or mounted, a link whose `..` climbs above the root is refused.

use super::fault::{Context, Fault, Outcome};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno as Raw;

/// openat2(2) gives up with `EAGAIN` when names move while it looks; on a busy host that happens by chance.
const ATTEMPTS: usize = 64;
/// As many links as the kernel itself follows (path_resolution(7)).
const LINKS_MAX: usize = 40;
const RIGHTS_DIRECTORY: Mode = Mode::from_raw_mode(0o755);
const RIGHTS_FILE: Mode = Mode::from_raw_mode(0o644);

/// openat2(2) with a bounded number of retries, always close-on-exec.
pub(super) fn open_below(
    directory: BorrowedFd<'_>,
    path: &str,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    for _ in 1..ATTEMPTS {
        match rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Raw::AGAIN | Raw::INTR) => {}
            other => return other,
        }
    }
    rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// What is to be made where nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missing {
    Directory,
    File,
}

/// Something found in the root: where it really is, and a descriptor on it.
#[derive(Debug)]
pub(super) struct Place {
    /// Its names from the root on; no link among them.
    pub(super) names: Vec<String>,
    pub(super) fd: OwnedFd,
}

impl Place {
    /// The path inside the root.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.names.join("/"))
    }
}

/// The new root of a container.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Root { fd }
    }

    /// Opens what is at `path`, following links inside the root.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        open_below(self.fd.as_fd(), path, flags, Mode::empty(), resolve)
    }

    fn open_exactly(&self, names: &[String]) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        open_below(self.fd.as_fd(), &names.join("/"), OFlags::PATH | OFlags::NOFOLLOW, Mode::empty(), resolve)
    }

    /// Opens `path`, making it and the directories before it where they are missing. A link at the end is
    /// followed, inside the root; a way that climbs above the root is `EXDEV`.
    pub(super) fn make(&self, path: &str, missing: Missing) -> Outcome<Place> {
        self.walk(path, Some(missing), LINKS_MAX)
    }

    /// As [`Root::make`], but a link anywhere on the way is refused.
    pub(super) fn make_without_links(&self, path: &str, missing: Missing) -> Outcome<Place> {
        self.walk(path, Some(missing), 0)
    }

    /// The directory that `path` is in (made if missing) and its last name.
    pub(super) fn parent(&self, path: &str) -> Outcome<(OwnedFd, String)> {
        let path = path.trim_end_matches('/');
        let (before, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || name == "." || name == ".." {
            return Err(Fault::new(Errno::EINVAL, format!("{path}: names no file")));
        }
        Ok((self.make(before, Missing::Directory)?.fd, name.to_string()))
    }

    fn walk(&self, path: &str, missing: Option<Missing>, links_allowed: usize) -> Outcome<Place> {
        let mut ahead: VecDeque<String> = path.split('/').map(String::from).collect();
        let mut place = Place { names: Vec::new(), fd: self.open_exactly(&[]).context(|| "open /".into())? };
        let (mut links, mut link) = (0, None);
        while let Some(name) = ahead.pop_front() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    if place.names.pop().is_none() {
                        return Err(Fault::new(Errno::EXDEV, leads_out(path, link.as_deref())));
                    }
                    place.fd =
                        self.open_exactly(&place.names).context(|| format!("open {}", place.path()))?;
                    continue;
                }
                _ => {}
            }
            let last = ahead.iter().all(|n| matches!(n.as_str(), "" | "."));
            let make = missing.map(|what| if last { what } else { Missing::Directory });
            let next = self.step(&place, name, make)?;
            if kind_of(next.fd.as_fd()).context(|| format!("look at {}", next.path()))? != FileType::Symlink {
                place = next;
                continue;
            }
            links += 1;
            if links > links_allowed {
                let (errno, why) = match links_allowed {
                    0 => (Errno::ENOTDIR, "is a symbolic link where an ordinary directory must be"),
                    _ => (Errno::ELOOP, "is one symbolic link too many on the way"),
                };
                return Err(Fault::new(errno, format!("{}: {why}", next.path())));
            }
            let target = read_link(next.fd.as_fd()).context(|| format!("read link {}", next.path()))?;
            if target.starts_with('/') {
                place.names.clear();
                place.fd = self.open_exactly(&[]).context(|| "open /".into())?;
            }
            for name in target.split('/').rev() {
                ahead.push_front(name.to_string());
            }
            link = Some(next.path());
        }
        Ok(place)
    }

    /// One name further, without following it.
    fn step(&self, from: &Place, name: String, make: Option<Missing>) -> Outcome<Place> {
        let mut names = from.names.clone();
        names.push(name);
        let name = names.last().map_or("", String::as_str);
        for _ in 0..2 {
            match (self.open_exactly(&names), make) {
                (Err(Raw::NOENT), Some(what)) => match make_entry(from.fd.as_fd(), name, what) {
                    Ok(()) | Err(Raw::EXIST) => {}
                    Err(e) => return Err(e).context(|| format!("make /{}", names.join("/"))),
                },
                (opened, _) => {
                    let fd = opened.context(|| format!("open /{}", names.join("/")))?;
                    return Ok(Place { names, fd });
                }
            }
        }
        let fd = self.open_exactly(&names).context(|| format!("open /{}", names.join("/")))?;
        Ok(Place { names, fd })
    }
}

/// Why a way is refused that climbs above the root, and the last link on it.
fn leads_out(path: &str, link: Option<&str>) -> String {
    let out = "leads out of the root file system";
    match link {
        Some(link) => format!("{path}: the symbolic link {link} {out}"),
        None => format!("{path}: {out}"),
    }
}

fn make_entry(directory: BorrowedFd<'_>, name: &str, what: Missing) -> rustix::io::Result<()> {
    match what {
        Missing::Directory => rustix::fs::mkdirat(directory, name, RIGHTS_DIRECTORY),
        Missing::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, RIGHTS_FILE).map(drop)
        }
    }
}

/// The type of the file behind a descriptor.
pub(super) fn kind_of(fd: BorrowedFd<'_>) -> rustix::io::Result<FileType> {
    rustix::fs::fstat(fd).map(|stat| kind(&stat))
}

/// The type of a file.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The text of a symbolic link opened with `O_PATH | O_NOFOLLOW`.
fn read_link(fd: BorrowedFd<'_>) -> rustix::io::Result<String> {
    let target = rustix::fs::readlinkat(fd, "", Vec::new())?;
    target.into_string().map_err(|_| Raw::ILSEQ)
}

/// Whether two descriptors stand for the same file.
pub(super) fn same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let (a, b) = (rustix::fs::fstat(a)?, rustix::fs::fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// Changes owner and group of the file behind any descriptor.
pub(super) fn set_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
}

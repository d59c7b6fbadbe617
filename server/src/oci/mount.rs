//! `mounts` and the words of their options (config.md "Mounts", config-linux.md "Linux mount options").

use super::error::ConfigError;
use super::linux::OciIdMapping;
use super::read::{Field, Read};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{MountFlags, Propagation, Reach};

/// One of `mounts`, carried out in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OciMount {
    /// Where, absolute inside the container. A relative one in the document is taken from `/`, as config.md says.
    pub destination: String,
    /// Type of the file system; none for a bind mount.
    pub mount_type: Option<String>,
    /// Device, name or, for a bind mount, the path on the host (relative to the bundle).
    pub source: Option<String>,
    /// Options as they stand there; see [`MountOption`].
    pub options: Vec<String>,
    /// Users of an id-mapped mount.
    pub uid_mappings: Vec<OciIdMapping>,
    /// Groups of an id-mapped mount.
    pub gid_mappings: Vec<OciIdMapping>,
}

impl OciMount {
    /// The options, understood.
    pub fn parsed_options(&self) -> impl Iterator<Item = MountOption<'_>> {
        self.options.iter().map(|word| MountOption::from_word(word))
    }
    /// Whether this shows an existing file or directory (`bind` or `rbind`) instead of a new file system.
    pub fn is_bind(&self) -> bool {
        self.mount_type.as_deref() == Some("bind")
            || self.parsed_options().any(|option| matches!(option, MountOption::Bind(_)))
    }
}

impl Read for OciMount {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        let object = field.object()?;
        let destination: String = object.member("destination")?;
        Ok(OciMount {
            destination: if destination.starts_with('/') || destination.is_empty() {
                destination
            } else {
                format!("/{destination}")
            },
            mount_type: object.member("type")?,
            source: object.member("source")?,
            options: object.member("options")?,
            uid_mappings: object.member("uidMappings")?,
            gid_mappings: object.member("gidMappings")?,
        })
    }
}

/// What one word of a mount's options says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountOption<'a> {
    /// `defaults`: nothing.
    Defaults,
    /// An attribute is set.
    Set(MountFlags),
    /// An attribute is cleared.
    Clear(MountFlags),
    /// An attribute is set on the whole tree (`rro` and its family, mount_setattr(2)).
    TreeSet(MountFlags),
    /// An attribute is cleared on the whole tree.
    TreeClear(MountFlags),
    /// Propagation is changed.
    Propagation(Propagation, Reach),
    /// An existing tree is shown.
    Bind(Reach),
    /// A mount that is there is changed.
    Remount,
    /// The contents of the mount point are copied into the new tmpfs.
    TmpCopyUp,
    /// Ids are mapped.
    IdMap(Reach),
    /// For the file system itself (`mode=0755`).
    Data(&'a str),
}

impl<'a> MountOption<'a> {
    /// Understands `word`; what is no word of the specification belongs to the file system.
    pub fn from_word(word: &'a str) -> Self {
        match word {
            "defaults" => MountOption::Defaults,
            "bind" => MountOption::Bind(Reach::One),
            "rbind" => MountOption::Bind(Reach::Tree),
            "remount" => MountOption::Remount,
            "tmpcopyup" => MountOption::TmpCopyUp,
            "idmap" => MountOption::IdMap(Reach::One),
            "ridmap" => MountOption::IdMap(Reach::Tree),
            _ => propagation(word)
                .map(|(change, reach)| MountOption::Propagation(change, reach))
                .or_else(|| attribute(word))
                .or_else(|| tree_attribute(word))
                .unwrap_or(MountOption::Data(word)),
        }
    }
}

/// Propagation words, of mounts and of `linux.rootfsPropagation`.
pub(crate) fn propagation(word: &str) -> Option<(Propagation, Reach)> {
    Some(match word {
        "private" => (Propagation::Private, Reach::One),
        "slave" => (Propagation::Slave, Reach::One),
        "shared" => (Propagation::Shared, Reach::One),
        "unbindable" => (Propagation::Unbindable, Reach::One),
        "rprivate" => (Propagation::Private, Reach::Tree),
        "rslave" => (Propagation::Slave, Reach::Tree),
        "rshared" => (Propagation::Shared, Reach::Tree),
        "runbindable" => (Propagation::Unbindable, Reach::Tree),
        _ => return None,
    })
}

fn attribute(word: &str) -> Option<MountOption<'static>> {
    use MountOption::{Clear, Set};
    Some(match word {
        "ro" => Set(MountFlags::RDONLY),
        "rw" => Clear(MountFlags::RDONLY),
        "nosuid" => Set(MountFlags::NOSUID),
        "suid" => Clear(MountFlags::NOSUID),
        "nodev" => Set(MountFlags::NODEV),
        "dev" => Clear(MountFlags::NODEV),
        "noexec" => Set(MountFlags::NOEXEC),
        "exec" => Clear(MountFlags::NOEXEC),
        "nosymfollow" => Set(MountFlags::NOSYMFOLLOW),
        "symfollow" => Clear(MountFlags::NOSYMFOLLOW),
        "noatime" => Set(MountFlags::NOATIME),
        "atime" => Clear(MountFlags::NOATIME),
        "nodiratime" => Set(MountFlags::NODIRATIME),
        "diratime" => Clear(MountFlags::NODIRATIME),
        "relatime" => Set(MountFlags::RELATIME),
        "norelatime" => Clear(MountFlags::RELATIME),
        "strictatime" => Set(MountFlags::STRICTATIME),
        "nostrictatime" => Clear(MountFlags::STRICTATIME),
        "sync" => Set(MountFlags::SYNCHRONOUS),
        "async" => Clear(MountFlags::SYNCHRONOUS),
        "dirsync" => Set(MountFlags::DIRSYNC),
        "mand" => Set(MountFlags::MANDLOCK),
        "nomand" => Clear(MountFlags::MANDLOCK),
        "iversion" => Set(MountFlags::I_VERSION),
        "noiversion" => Clear(MountFlags::I_VERSION),
        "lazytime" => Set(MountFlags::LAZYTIME),
        "nolazytime" => Clear(MountFlags::LAZYTIME),
        "silent" => Set(MountFlags::SILENT),
        "loud" => Clear(MountFlags::SILENT),
        _ => return None,
    })
}

/// The words with an `r` in front: those attributes that mount_setattr(2) can change on a tree.
fn tree_attribute(word: &str) -> Option<MountOption<'static>> {
    let possible = MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC
        | MountFlags::NOSYMFOLLOW
        | MountFlags::NOATIME
        | MountFlags::NODIRATIME
        | MountFlags::RELATIME
        | MountFlags::STRICTATIME;
    match attribute(word.strip_prefix('r')?)? {
        MountOption::Set(flag) if possible.contains(flag) => Some(MountOption::TreeSet(flag)),
        MountOption::Clear(flag) if possible.contains(flag) => Some(MountOption::TreeClear(flag)),
        _ => None,
    }
}

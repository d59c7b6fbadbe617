//! `mounts`.

use super::linux::id_mappings;
use super::rules::{inner_path, no_nul, no_parent};
use crate::oci::OciConfig;
use crate::oci::error::{ConfigError, Place};
use crate::oci::linux::OciNamespaceKind;
use crate::oci::mount::{MountOption, OciMount};

pub(super) fn all(at: &Place<'_>, config: &OciConfig) -> Result<(), ConfigError> {
    config.mounts.iter().enumerate().try_for_each(|(index, mount)| one(&at.index(index), mount, config))
}

fn one(at: &Place<'_>, mount: &OciMount, config: &OciConfig) -> Result<(), ConfigError> {
    inner_path(&at.key("destination"), &mount.destination)?;
    for (index, option) in mount.options.iter().enumerate() {
        no_nul(&at.key("options").index(index), option)?;
    }
    if let Some(source) = &mount.source {
        no_nul(&at.key("source"), source)?;
    }
    if mount.is_bind() {
        bind(at, mount)?;
    } else {
        file_system(at, mount)?;
    }
    mapped(at, mount, config)
}

/// A relative source is taken from the bundle and stays inside it.
fn bind(at: &Place<'_>, mount: &OciMount) -> Result<(), ConfigError> {
    match mount.source.as_deref() {
        None => Err(at.key("source").fault("is missing, and a bind mount needs it")),
        Some(source) if source.starts_with('/') => Ok(()),
        Some(source) => no_parent(&at.key("source"), source),
    }
}

fn file_system(at: &Place<'_>, mount: &OciMount) -> Result<(), ConfigError> {
    let remount = mount.parsed_options().any(|option| option == MountOption::Remount);
    match mount.mount_type.as_deref() {
        None if remount => Ok(()),
        None => Err(at.key("type").fault("is missing, and only a bind mount needs none")),
        Some(kind) => no_nul(&at.key("type"), kind),
    }
}

/// Ids are mapped by `uidMappings` and `gidMappings` together, or by those of the container's user namespace.
fn mapped(at: &Place<'_>, mount: &OciMount, config: &OciConfig) -> Result<(), ConfigError> {
    let both = [("uidMappings", &mount.uid_mappings), ("gidMappings", &mount.gid_mappings)];
    let given = both.iter().filter(|(_, list)| !list.is_empty()).count();
    for (key, list) in both {
        if given == 1 && list.is_empty() {
            return Err(at.key(key).fault("is missing, and users and groups are mapped together"));
        }
        id_mappings(&at.key(key), list)?;
    }
    let word = mount.parsed_options().position(|option| matches!(option, MountOption::IdMap(_)));
    match word.and_then(|index| mount.options.get(index).map(|option| (index, option))) {
        Some((index, option)) if given == 0 && !config.linux.is_new(OciNamespaceKind::User) => Err(at
            .key("options")
            .index(index)
            .text_fault(option, "needs uidMappings and gidMappings, or a new user namespace")),
        _ => Ok(()),
    }
}

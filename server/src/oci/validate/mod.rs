//! The rules of the specification that need no kernel: ranges, and what one field demands of another.
//!
//! Each function checks one object of the document and knows its place. The first fault ends the check.

mod linux;
mod mounts;
mod process;
mod resources;
mod rules;
mod seccomp;

pub(super) use process::process;
pub(super) use resources::resources;

use super::error::{ConfigError, Place};
use super::hooks::{OciHook, OciHooks};
use super::linux::OciNamespaceKind;
use super::{OciConfig, OciRoot};
use rules::{absolute_path, environment, no_nul, no_parent};

/// Longest host or domain name in bytes (sethostname(2), `__NEW_UTS_LEN`).
const UTS_NAME_MAX: usize = 64;

pub(super) fn config(at: &Place<'_>, config: &OciConfig) -> Result<(), ConfigError> {
    version(&at.key("ociVersion"), &config.oci_version)?;
    root(&at.key("root"), &config.root)?;
    process(&at.key("process"), &config.process)?;
    mounts::all(&at.key("mounts"), config)?;
    for (key, name) in [("hostname", &config.hostname), ("domainname", &config.domainname)] {
        if let Some(name) = name {
            uts_name(&at.key(key), name, config)?;
        }
    }
    hooks(&at.key("hooks"), &config.hooks)?;
    if let Some(value) = config.annotations.get("") {
        return Err(at.key("annotations").text_fault(value, "has no key"));
    }
    linux::all(&at.key("linux"), config)
}

/// SemVer 2.0.0 with major number 1 (config.md "Specification version").
fn version(at: &Place<'_>, version: &str) -> Result<(), ConfigError> {
    let (release, _build) = version.split_once('+').unwrap_or((version, ""));
    let (numbers, pre_release) = release.split_once('-').unwrap_or((release, ""));
    let mut parts = numbers.split('.');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let known = parts.next() == Some("1") && number(parts.next()) && number(parts.next());
    if known && parts.next().is_none() && pre_release.chars().all(word) {
        Ok(())
    } else {
        Err(at.text_fault(version, "is no version of the form 1.x.y"))
    }
}

fn root(at: &Place<'_>, root: &OciRoot) -> Result<(), ConfigError> {
    let at = at.key("path");
    if root.path.is_empty() {
        return Err(at.text_fault(&root.path, "is empty"));
    }
    no_nul(&at, &root.path)?;
    no_parent(&at, &root.path)
}

fn uts_name(at: &Place<'_>, name: &str, config: &OciConfig) -> Result<(), ConfigError> {
    no_nul(at, name)?;
    if name.len() > UTS_NAME_MAX {
        return Err(at.text_fault(name, "is longer than 64 bytes"));
    }
    match config.linux.namespace(OciNamespaceKind::Uts) {
        Some(_) => Ok(()),
        None => Err(at.text_fault(name, "would rename the host: linux.namespaces has no uts namespace")),
    }
}

fn hooks(at: &Place<'_>, hooks: &OciHooks) -> Result<(), ConfigError> {
    for (kind, list) in hooks.lists() {
        let at = at.key(kind.as_str());
        for (index, one) in list.iter().enumerate() {
            hook(&at.index(index), one)?;
        }
    }
    Ok(())
}

fn hook(at: &Place<'_>, hook: &OciHook) -> Result<(), ConfigError> {
    absolute_path(&at.key("path"), &hook.path)?;
    for (index, arg) in hook.args.iter().enumerate() {
        no_nul(&at.key("args").index(index), arg)?;
    }
    environment(&at.key("env"), &hook.env)?;
    match hook.timeout_secs {
        Some(0) => Err(at.key("timeout").value_fault(0, "is not greater than zero")),
        _ => Ok(()),
    }
}

//! `linux.seccomp`.

use super::rules::{absolute_path, range};
use crate::oci::error::{ConfigError, Place};
use crate::oci::seccomp::{OciSeccomp, OciSeccompAction, OciSyscall};

/// Largest error number a filter can return (`MAX_ERRNO` of Linux).
const ERRNO_MAX: u32 = 4095;

pub(super) fn seccomp(at: &Place<'_>, filter: &OciSeccomp) -> Result<(), ConfigError> {
    if filter.default_action == OciSeccompAction::Notify {
        return Err(at.key("defaultAction").text_fault(
            filter.default_action.as_str(),
            "cannot be the default: the agent's own calls would wait",
        ));
    }
    errno(&at.key("defaultErrnoRet"), filter.default_action, filter.default_errno_ret)?;
    let notifies = filter.syscalls.iter().any(|rule| rule.action == OciSeccompAction::Notify);
    let at_path = at.key("listenerPath");
    match &filter.listener_path {
        Some(path) => absolute_path(&at_path, path)?,
        None if notifies => return Err(at_path.fault("is missing, and SCMP_ACT_NOTIFY needs it")),
        None if filter.listener_metadata.is_some() => {
            return Err(at.key("listenerMetadata").fault("is for nobody: listenerPath is missing"));
        }
        None => {}
    }
    filter
        .syscalls
        .iter()
        .enumerate()
        .try_for_each(|(index, rule)| one(&at.key("syscalls").index(index), rule))
}

fn one(at: &Place<'_>, rule: &OciSyscall) -> Result<(), ConfigError> {
    if rule.names.is_empty() {
        return Err(at.key("names").fault("names no system call"));
    }
    if let Some(index) = rule.names.iter().position(|name| !is_name(name)) {
        let name = rule.names.get(index).map(|name| name.as_str()).unwrap_or_default();
        return Err(at.key("names").index(index).text_fault(name, "is no name of a system call"));
    }
    errno(&at.key("errnoRet"), rule.action, rule.errno_ret)?;
    for (index, arg) in rule.args.iter().enumerate() {
        range(&at.key("args").index(index).key("index"), Some(arg.index), 0..=5)?;
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Only two actions carry a number (config-linux.md "errnoRet").
fn errno(at: &Place<'_>, action: OciSeccompAction, number: Option<u32>) -> Result<(), ConfigError> {
    match (action, number) {
        (_, None) => Ok(()),
        (OciSeccompAction::Errno | OciSeccompAction::Trace, number) => range(at, number, 0..=ERRNO_MAX),
        (_, Some(number)) => Err(at.value_fault(number, "is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE")),
    }
}

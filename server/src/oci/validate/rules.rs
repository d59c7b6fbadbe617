//! Rules that many fields share.

use crate::oci::error::{ConfigError, Place};
use alloc::format;
use alloc::string::String;
use core::fmt::Display;
use core::ops::RangeInclusive;

type Checked = Result<(), ConfigError>;

/// A user or group id: 2³² - 1 means "leave as it is" to the kernel (chown(2)).
pub(super) fn id(at: &Place<'_>, id: u32) -> Checked {
    if id == u32::MAX { Err(at.value_fault(id, "is no id: it means none")) } else { Ok(()) }
}

/// A number within bounds.
pub(super) fn range<T: PartialOrd + Display + Copy>(
    at: &Place<'_>,
    value: Option<T>,
    bounds: RangeInclusive<T>,
) -> Checked {
    match value {
        Some(value) if !bounds.contains(&value) => {
            Err(at.value_fault(value, format!("is not from {} to {}", bounds.start(), bounds.end())))
        }
        _ => Ok(()),
    }
}

/// A limit of which -1 means unlimited.
pub(super) fn limit(at: &Place<'_>, value: Option<i64>) -> Checked {
    match value {
        Some(value) if value < -1 => Err(at.value_fault(value, "is negative, and only -1 means unlimited")),
        _ => Ok(()),
    }
}

/// No NUL: parsing refuses them already, but a configuration can also be made by hand.
pub(super) fn no_nul(at: &Place<'_>, text: &str) -> Checked {
    if text.contains('\0') { Err(at.text_fault(text, "holds a NUL character")) } else { Ok(()) }
}

/// A path that begins at the root.
pub(super) fn absolute_path(at: &Place<'_>, path: &str) -> Checked {
    no_nul(at, path)?;
    if path.starts_with('/') { Ok(()) } else { Err(at.text_fault(path, "is not an absolute path")) }
}

/// A path inside the container: absolute, and nothing in it leads up.
pub(super) fn inner_path(at: &Place<'_>, path: &str) -> Checked {
    absolute_path(at, path)?;
    no_parent(at, path)
}

/// No `..` among the parts of a path.
pub(super) fn no_parent(at: &Place<'_>, path: &str) -> Checked {
    if path.split('/').any(|part| part == "..") {
        return Err(at.text_fault(path, "leads up with .."));
    }
    Ok(())
}

/// One part of a path: a file name.
pub(super) fn file_name(at: &Place<'_>, name: &str) -> Checked {
    no_nul(at, name)?;
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return Err(at.text_fault(name, "is not a file name"));
    }
    Ok(())
}

/// Name of a network device (`dev_valid_name` of Linux).
pub(super) fn interface(at: &Place<'_>, name: &str) -> Checked {
    let bad = |c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace();
    if matches!(name, "" | "." | "..") || name.len() > 15 || name.contains(bad) {
        return Err(at.text_fault(name, "is no name of a network device"));
    }
    Ok(())
}

/// Environment: `NAME=value` each (environ(7)).
pub(super) fn environment(at: &Place<'_>, env: &[String]) -> Checked {
    for (index, entry) in env.iter().enumerate() {
        let at = at.index(index);
        no_nul(&at, entry)?;
        match entry.split_once('=') {
            Some((name, _)) if !name.is_empty() => {}
            _ => return Err(at.text_fault(entry, "is not of the form NAME=value")),
        }
    }
    Ok(())
}

/// A list of CPUs or memory nodes, as cpuset(7) "List format" has it: `0-3,7`.
pub(super) fn number_list(at: &Place<'_>, list: Option<&str>) -> Checked {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    let part = |part: &str| match part.split_once('-') {
        Some((low, high)) => number(low).zip(number(high)).is_some_and(|(low, high)| low <= high),
        None => number(part).is_some(),
    };
    match list {
        Some(list) if !list.split(',').all(part) => {
            Err(at.text_fault(list, "is not a list of numbers such as 0-3,7"))
        }
        _ => Ok(()),
    }
}

/// Major (12 bits) and minor (20 bits) number of a device, as Linux keeps them.
pub(super) fn device_number(at: &Place<'_>, major: Option<u32>, minor: Option<u32>) -> Checked {
    range(&at.key("major"), major, 0..=0xfff)?;
    range(&at.key("minor"), minor, 0..=0xf_ffff)
}

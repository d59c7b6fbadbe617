//! What a hook reads from its standard input (runtime.md "State").

use crate::plan::{HookKind, HookState};
use alloc::string::String;
use core::fmt::{self, Write};

/// The state document.
pub(super) fn document(kind: HookKind, state: &HookState, pid: Option<u32>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_document(&mut text, kind, state, pid);
    text
}

fn write_document(out: &mut String, kind: HookKind, state: &HookState, pid: Option<u32>) -> fmt::Result {
    let status = match kind {
        HookKind::Prestart | HookKind::CreateRuntime | HookKind::CreateContainer => "creating",
        HookKind::StartContainer => "created",
        HookKind::Poststart => "running",
        HookKind::Poststop => "stopped",
    };
    write!(out, "{{\"ociVersion\":{},\"id\":{}", Quoted(&state.oci_version), Quoted(&state.id))?;
    write!(out, ",\"status\":\"{status}\"")?;
    if let Some(pid) = pid.filter(|_| kind != HookKind::Poststop) {
        write!(out, ",\"pid\":{pid}")?;
    }
    write!(out, ",\"bundle\":{},\"annotations\":{{", Quoted(&state.bundle))?;
    for (at, (key, value)) in state.annotations.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{}:{}", Quoted(key), Quoted(value))?;
    }
    out.write_str("}}")
}

/// A string as JSON has it (RFC 8259, section 7).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_told_the_state_that_fits_its_kind() {
        let state = HookState {
            oci_version: "1.3.0".into(),
            id: "a".into(),
            bundle: "/b\"\n".into(),
            annotations: [("k".into(), "v".into()), ("l".into(), String::new())].into(),
        };
        let expected = r#"{"ociVersion":"1.3.0","id":"a","status":"creating","pid":7,"bundle":"/b\"\u000a","annotations":{"k":"v","l":""}}"#;
        assert_eq!(document(HookKind::CreateRuntime, &state, Some(7)), expected);
        let last = document(HookKind::Poststop, &state, Some(7));
        assert!(last.contains("stopped") && !last.contains("pid"));
    }
}

//! `exec --process FILE`: the process as config.json would have it.
//!
//! A further process has what the container's configuration gives the first one, but for program, environment, working
//! directory and user. What the file asks for beyond that is refused by name, unless it is the same.

use crate::failure::Failure;
use crate::terminal::Wish;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What the file says of the process.
#[derive(Debug)]
pub(super) struct ProcessFile {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: Option<String>,
    pub(super) user: Option<(u32, u32)>,
    pub(super) terminal: Wish,
}

/// Fields that must say what the configuration says.
const SAME: [&str; 9] = [
    "/capabilities",
    "/noNewPrivileges",
    "/rlimits",
    "/apparmorProfile",
    "/selinuxLabel",
    "/oomScoreAdj",
    "/scheduler",
    "/ioPriority",
    "/execCPUAffinity",
];

fn json(path: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::about(path.display(), error))?;
    serde_json::from_str(&text).map_err(|error| Failure::about(path.display(), error))
}

/// What asks for nothing is as good as nothing.
fn asked<'a>(process: &'a Value, place: &str) -> Option<&'a Value> {
    process.pointer(place).filter(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    })
}

/// Order means nothing in sets of capabilities and lists of limits.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.as_array().is_some_and(Vec::is_empty));
            Value::Object(kept.map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        other => other.clone(),
    }
}

/// Reads the file for a container of this bundle.
pub(super) fn read(path: &Path, bundle: &Path) -> Result<ProcessFile, Failure> {
    let (process, config) = (json(path)?, json(&bundle.join("config.json"))?);
    let first = config.get("process").cloned().unwrap_or_default();
    understand(&process, &first).map_err(|fault| Failure::about(path.display(), fault))
}

fn understand(process: &Value, first: &Value) -> Result<ProcessFile, String> {
    for place in SAME {
        if asked(process, place).map(sorted) != asked(first, place).map(sorted) {
            let name = place.trim_start_matches('/').replace('/', ".");
            return Err(format!("{name}: is not that of the container, which is what exec gives"));
        }
    }
    // Not to name it is to ask for the default.
    let umask = |of| asked(of, "/user/umask").and_then(Value::as_u64).unwrap_or(0o022);
    if umask(process) != umask(first) {
        return Err("user.umask: is not that of the container, which is what exec gives".into());
    }
    let strings = |place: &str| -> Result<Vec<String>, String> {
        let Some(value) = asked(process, place) else { return Ok(Vec::new()) };
        serde_json::from_value(value.clone())
            .map_err(|error| format!("{}: {error}", place.trim_start_matches('/')))
    };
    let id = |of: &Value, place: &str| match asked(of, place) {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or(format!("{}: is no id", place.trim_start_matches('/'))),
    };
    let user = (id(process, "/user/uid")?, id(process, "/user/gid")?);
    let same_user = user == (id(first, "/user/uid")?, id(first, "/user/gid")?);
    let groups = |of| asked(of, "/user/additionalGids").map(sorted);
    let same = same_user && groups(process) == groups(first);
    if !same && groups(process).is_some() {
        return Err("user.additionalGids: are not those of the container, which is what exec gives".into());
    }
    Ok(ProcessFile {
        args: strings("/args")?,
        env: strings("/env")?,
        cwd: asked(process, "/cwd").and_then(Value::as_str).map(str::to_owned),
        user: (!same).then_some(user),
        terminal: Wish::of_process(process),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_exec_cannot_give_is_refused_by_name() {
        let first = json!({
            "args": ["sh"], "user": { "uid": 0, "gid": 0, "additionalGids": [5] },
            "capabilities": { "bounding": ["CAP_KILL", "CAP_CHOWN"], "ambient": [] },
        });
        let same = json!({
            "args": ["id", "-u"], "env": ["A=b"], "cwd": "/tmp", "noNewPrivileges": false,
            "user": { "uid": 0, "gid": 0, "additionalGids": [5] },
            "capabilities": { "bounding": ["CAP_CHOWN", "CAP_KILL"] },
        });
        let file = understand(&same, &first).unwrap();
        assert_eq!(
            (file.args, file.cwd, file.user),
            (vec!["id".into(), "-u".into()], Some("/tmp".into()), None)
        );
        for (place, value, named) in [
            ("capabilities", json!({ "bounding": ["CAP_KILL"] }), "capabilities"),
            ("noNewPrivileges", json!(true), "noNewPrivileges"),
            ("rlimits", json!([{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]), "rlimits"),
            ("user", json!({ "uid": 7, "gid": 7, "additionalGids": [5] }), "user.additionalGids"),
            ("user", json!({ "uid": 4294967296u64 }), "user/uid"),
            ("user", json!({ "umask": 7 }), "user.umask"),
        ] {
            let mut process = same.clone();
            process[place] = value;
            assert!(understand(&process, &first).unwrap_err().starts_with(named), "{named}");
        }
        let mut other = same;
        other["user"] = json!({ "uid": 7, "gid": 8 });
        assert_eq!(understand(&other, &first).unwrap().user, Some((7, 8)));
    }
}

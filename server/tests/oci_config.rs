//! Reading `config.json`: real ones are taken whole, and whatever bytes come, the answer is an error and no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_server::oci::{
    CONFIG_MAX, MountOption, OciConfig, OciNamespaceKind, OciProcess, OciResources, VALUES_MAX, ValidConfig,
};
use serde_json::{Value, json};

const RUNC_SPEC: &str = include_str!("data/runc-spec.json");
/// Every field of the specification's Linux part.
const COMPLETE: &str = include_str!("data/complete.json");

#[test]
fn what_runc_spec_writes_is_valid() {
    let config = ValidConfig::parse(RUNC_SPEC).unwrap();
    assert_eq!(config.process.args, ["sh"]);
    assert_eq!(config.mounts.len(), 7);
    assert_eq!(config.hostname.as_deref(), Some("runc"));
    assert_eq!(config.process.rlimits[0].kind.as_str(), "RLIMIT_NOFILE");
    let bounding = config.process.capabilities.as_ref().unwrap().bounding;
    assert!(bounding.names().eq(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]));
}

#[test]
fn a_configuration_with_every_field_is_valid() {
    let config = ValidConfig::parse(COMPLETE).unwrap();
    assert_eq!(config.mounts[1].destination, "/dev", "a relative destination is taken from the root");
    assert_eq!(config.linux.memory_limit(), Some(536_870_912));
    assert_eq!((config.linux.cpu_shares(), config.linux.cpu_quota()), (2048, Some(1_000_000)));
    assert_eq!(config.linux.cpu_period(), 500_000);
    assert!(config.linux.is_new(OciNamespaceKind::Time) && !config.linux.is_new(OciNamespaceKind::Network));
    assert_eq!(config.annotations["com.example.empty"], "");
}

#[test]
fn limits_that_are_not_given_have_the_defaults_of_cgroups() {
    let linux = ValidConfig::new(OciConfig::default()).unwrap().into_inner().linux;
    assert_eq!((linux.cpu_shares(), linux.cpu_period()), (1024, 100_000));
    assert_eq!((linux.cpu_quota(), linux.memory_limit()), (None, None));
}

/// Each member and element of `value` with its path in words of an error and its JSON pointer.
fn places(value: &Value, path: &str, pointer: &str, found: &mut Vec<(String, String)>) {
    let children: Vec<(String, String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, child)| {
                let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let path = match (plain, path) {
                    (true, "") => key.clone(),
                    (true, _) => format!("{path}.{key}"),
                    (false, _) => format!("{path}[{key:?}]"),
                };
                (path, format!("{pointer}/{key}"), child)
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, child)| (format!("{path}[{index}]"), format!("{pointer}/{index}"), child))
            .collect(),
        _ => return,
    };
    for (path, pointer, child) in children {
        found.push((path.clone(), pointer.clone()));
        places(child, &path, &pointer, found);
    }
}

#[test]
fn every_field_is_read_and_a_wrong_type_is_refused_at_its_own_path() {
    let complete: Value = serde_json::from_str(COMPLETE).unwrap();
    let mut all = Vec::new();
    places(&complete, "", "", &mut all);
    assert!(all.len() > 300, "{}", all.len());
    for (path, pointer) in all.into_iter().filter(|(path, _)| !path.starts_with("vm")) {
        let mut document = complete.clone();
        // No field of the specification is a list of lists, nor a number this odd.
        for wrong in [json!([[]]), json!(0.5)] {
            *document.pointer_mut(&pointer).unwrap() = wrong;
            let error = OciConfig::parse(&document.to_string()).expect_err(&path);
            let at = error.path().strip_suffix("[0]").filter(|at| *at == path).unwrap_or(error.path());
            assert_eq!(at, path, "{error}");
        }
    }
}

#[test]
fn null_is_the_same_as_not_there() {
    let mut document: Value = serde_json::from_str(RUNC_SPEC).unwrap();
    document["hooks"] = Value::Null;
    document["process"]["user"]["additionalGids"] = Value::Null;
    document["linux"]["resources"] = Value::Null;
    document["hostname"] = json!("");
    let config = OciConfig::parse(&document.to_string()).unwrap();
    assert_eq!((config.hostname, config.linux.resources), (None, None));
}

#[test]
fn what_the_specification_does_not_know_is_ignored_if_it_is_json() {
    let mut document: Value = serde_json::from_str(RUNC_SPEC).unwrap();
    document["process"]["commandLine"] = json!({"a": [1, null]});
    assert_eq!(OciConfig::parse(&document.to_string()), OciConfig::parse(RUNC_SPEC));
}

#[test]
fn every_prefix_of_a_configuration_is_an_error() {
    for whole in [RUNC_SPEC.trim_end(), COMPLETE.trim_end()] {
        for end in 0..whole.len() {
            assert!(OciConfig::parse(&whole[..end]).is_err(), "{end} bytes");
        }
    }
}

#[test]
fn no_change_of_bytes_makes_the_reader_panic() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % bound as u64) as usize
    };
    let alphabet = br#""\{}[]:,0-9.eE null/=u"#;
    let mut refused = 0;
    for round in 0..4000 {
        let mut bytes = if round % 2 == 0 { RUNC_SPEC } else { COMPLETE }.as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            match below(3) {
                0 => bytes[at] = alphabet[below(alphabet.len())],
                1 => drop(bytes.remove(at)),
                _ => bytes[at] ^= 1 << below(7),
            }
        }
        if let Ok(text) = core::str::from_utf8(&bytes)
            && let Err(error) = ValidConfig::parse(text)
        {
            refused += 1;
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
    assert!(refused > 1000, "the changes hardly ever matter: {refused}");
}

#[test]
fn deep_nesting_is_an_error_and_not_an_overflow() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let error = OciConfig::parse(&format!("{{\"unknown\":{deep}}}")).unwrap_err();
        assert!(error.to_string().starts_with("config.json: recursion limit exceeded at line 1"), "{error}");
    }
}

#[test]
fn size_and_number_of_values_are_bounded() {
    let large = " ".repeat(CONFIG_MAX + 1);
    assert_eq!(OciConfig::parse(&large).unwrap_err().to_string(), "config.json: is larger than 1 MiB");
    let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
    let error = OciConfig::parse(&many).unwrap_err().to_string();
    assert!(error.starts_with("config.json: more than 65536 values at line 1"), "{error}");
}

#[test]
fn a_process_and_limits_can_be_read_alone() {
    let error = OciProcess::parse(r#"{"args": ["sh"], "cwd": 1}"#).unwrap_err();
    assert_eq!(error.to_string(), "process.json: cwd: 1 is not a string");
    let error = OciResources::parse(r#"{"memory": {"limit": -2}}"#).unwrap().validate().unwrap_err();
    let line = "resources.json: memory.limit: -2 is negative, and only -1 means unlimited";
    assert_eq!(error.to_string(), line);
}

#[test]
fn mount_options_are_told_from_data_of_the_file_system() {
    use bailiwick_kernel_glue::plan::{MountFlags, Propagation, Reach};
    let cases = [
        ("ro", MountOption::Set(MountFlags::RDONLY)),
        ("rw", MountOption::Clear(MountFlags::RDONLY)),
        ("rro", MountOption::TreeSet(MountFlags::RDONLY)),
        ("rnosuid", MountOption::TreeSet(MountFlags::NOSUID)),
        ("rrelatime", MountOption::TreeSet(MountFlags::RELATIME)),
        ("relatime", MountOption::Set(MountFlags::RELATIME)),
        ("rsuid", MountOption::TreeClear(MountFlags::NOSUID)),
        ("rbind", MountOption::Bind(Reach::Tree)),
        ("rslave", MountOption::Propagation(Propagation::Slave, Reach::Tree)),
        ("defaults", MountOption::Defaults),
        ("mode=755", MountOption::Data("mode=755")),
        ("rsync", MountOption::Data("rsync")),
    ];
    for (word, expected) in cases {
        assert_eq!(MountOption::from_word(word), expected, "{word}");
    }
}

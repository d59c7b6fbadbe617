//! Reading and checking `config.json`: real ones are taken, broken ones are refused with the path to the fault.

use bailiwick_server::oci::{OciConfig, ValidConfig};

const RUNC_SPEC: &str = include_str!("data/runc-spec.json");

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
fn every_prefix_of_a_configuration_is_an_error() {
    let whole = RUNC_SPEC.trim_end();
    for end in 0..whole.len() {
        assert!(OciConfig::parse(&whole[..end]).is_err(), "{end} bytes");
    }
}

//! Configurations and their plans.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

use bailiwick_kernel_glue::model::Model;
use bailiwick_kernel_glue::plan::{Feature, Features, Plan};
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::Stdio;
use bailiwick_server::Policy;
use bailiwick_server::oci::ValidConfig;
use bailiwick_server::plan::{Request, Text, plan};
use serde_json::Value;

/// A kernel that can do everything the vocabulary of plans has a word for.
pub fn all() -> Features {
    Features { features: Feature::all(), ..Model::default_features() }
}

pub fn runc_spec() -> Value {
    serde_json::from_str(include_str!("../data/runc-spec.json")).unwrap()
}

/// What `runc spec` writes with `value` put at `pointer`; objects on the way are made, `-` adds to an array.
pub fn spec_with(pointer: &str, value: Value) -> Value {
    let mut document = runc_spec();
    put(&mut document, pointer, value);
    document
}

pub fn put(document: &mut Value, pointer: &str, value: Value) {
    let mut here = document;
    for part in pointer.split('/').skip(1) {
        here = match here {
            Value::Array(items) => {
                let index = part.parse().unwrap_or(items.len());
                if index == items.len() {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            other => &mut other[part],
        };
    }
    *here = value;
}

pub fn planned(document: &Value, features: &Features) -> Result<Plan, Refusal> {
    let config = ValidConfig::parse(&document.to_string()).unwrap_or_else(|error| panic!("{error}"));
    let stdio = if config.process.terminal { Stdio::Terminal } else { Stdio::Log };
    let request = Request { id: "web", bundle: "/b", group: "web", stdio };
    plan(&config, features, &Policy::default(), &request)
}

/// The place that a refusal names.
pub fn refused(result: Result<Plan, Refusal>) -> String {
    let refusal = result.map(|plan| Text(&plan).to_string()).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Unsupported, "{refusal}");
    refusal.detail.as_str().strip_prefix("config.json: ").unwrap().to_owned()
}

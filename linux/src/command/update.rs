//! `update`: options, or a document, to the limits of a container.

use super::{about, open};
use crate::arguments::Update;
use crate::failure::Failure;
use bailiwick_protocol::rights::Rights;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::Read;
use std::path::Path;

/// `update`.
pub(crate) fn update(root: &Path, update: &Update) -> Result<(), Failure> {
    let text = match &update.resources {
        Some(file) => document(file)?,
        None => from_options(update)?.to_string(),
    };
    open(root, &update.id, Rights::UPDATE)?.update(&text).map_err(about(&update.id))
}

/// The document, without what makes it longer than it need be: it has to fit a frame.
fn document(file: &Path) -> Result<String, Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::about(file.display(), error);
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| fault(&error))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| fault(&error))?;
    Ok(value.to_string())
}

fn from_options(update: &Update) -> Result<Value, Failure> {
    let mut limits = Map::new();
    let mut put = |part: &str, key: &str, value: Option<Value>| {
        if let Some(value) = value {
            limits.entry(part).or_insert_with(|| json!({}))[key] = value;
        }
    };
    let memory = [
        ("limit", "memory", &update.memory),
        ("reservation", "memory-reservation", &update.memory_reservation),
        ("swap", "memory-swap", &update.memory_swap),
    ];
    for (key, option, text) in memory {
        let bytes = text.as_deref().map(|text| {
            bytes(text).ok_or_else(|| {
                Failure::about(format_args!("--{option}"), format_args!("{text}: no number of bytes"))
            })
        });
        put("memory", key, bytes.transpose()?.map(Value::from));
    }
    put("cpu", "quota", update.cpu_quota.map(Value::from));
    put("cpu", "period", update.cpu_period.map(Value::from));
    put("cpu", "shares", update.cpu_share.map(Value::from));
    put("cpu", "cpus", update.cpuset_cpus.clone().map(Value::from));
    put("cpu", "mems", update.cpuset_mems.clone().map(Value::from));
    // As with the others, 0 is what a caller writes who means nothing.
    put("pids", "limit", update.pids_limit.filter(|limit| *limit != 0).map(Value::from));
    Ok(Value::Object(limits))
}

/// A number of bytes, as runc takes it: `67108864`, `64m`, `64MB`, `64MiB`, or `-1`.
fn bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes_are_read_as_runc_reads_them() {
        let read = [("64", 64), ("64m", 64 << 20), ("1GiB", 1 << 30), ("2kB", 2048), ("-1", -1), ("0", 0)];
        for (text, number) in read {
            assert_eq!(bytes(text), Some(number), "{text}");
        }
        for text in ["", "m", "64x", "-2", "1.5g", "99999999999g"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}

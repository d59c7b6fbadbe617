//! `events`: what a container uses, in the form of runc's.

use super::{Container, about, open};
use crate::failure::Failure;
use crate::output::print;
use bailiwick_protocol::rights::Rights;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Prints the statistics once, or again and again until the container is gone.
pub(crate) fn events(root: &Path, id: &str, every: Option<Duration>) -> Result<(), Failure> {
    let container = open(root, id, Rights::INSPECT | Rights::OBSERVE)?;
    print(format_args!("{}\n", statistics(&container, id)?))?;
    while let Some(every) = every {
        std::thread::sleep(every);
        match statistics(&container, id) {
            Ok(line) => print(format_args!("{line}\n"))?,
            // It was there before: now it is gone.
            Err(_) => break,
        }
    }
    Ok(())
}

/// What is not counted is left out.
fn statistics(container: &Container, id: &str) -> Result<Value, Failure> {
    let used = container.statistics().map_err(about(id))?;
    let mut memory = json!({ "usage": used.memory, "max": used.memory_peak });
    if let Some(limit) = used.memory_limit {
        memory["limit"] = limit.into();
    }
    let mut pids = json!({ "current": used.pids });
    if let Some(limit) = used.pids_limit {
        pids["limit"] = limit.into();
    }
    Ok(json!({
        "type": "stats",
        "id": id,
        "data": {
            "cpu": { "usage": { "total": used.cpu.0 } },
            "memory": { "usage": memory },
            "pids": pids,
        },
    }))
}

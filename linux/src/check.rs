//! `bailiwick check`: a configuration against the specification, without any kernel.

use crate::failure::Failure;
use bailiwick_server::oci::{CONFIG_MAX, ValidConfig};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads the bundle's configuration, no more than the server would.
fn read_config(bundle: &Path) -> io::Result<String> {
    let mut text = String::new();
    let limit = CONFIG_MAX as u64;
    File::open(bundle.join("config.json"))?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() > CONFIG_MAX {
        return Err(io::Error::other(format!("larger than {CONFIG_MAX} bytes")));
    }
    Ok(text)
}

/// Fails with the line that says what is wrong with the bundle's configuration.
pub(crate) fn check(bundle: &Path) -> Result<(), Failure> {
    let text =
        read_config(bundle).map_err(|error| Failure::about(bundle.join("config.json").display(), error))?;
    ValidConfig::parse(&text)?;
    Ok(())
}

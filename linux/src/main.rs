//! The `bailiwick` command. So far it does one thing: `bailiwick check DIR` says whether a bundle's `config.json`
//! follows the OCI runtime specification, and if not, in one line, what breaks it.
//!
//! Exit status: 0 the configuration is valid, 1 it is not or cannot be read, 2 the command line is wrong.

use bailiwick_server::oci::{CONFIG_MAX, ValidConfig};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

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

/// The one line that says what is wrong with the bundle's configuration.
fn check(bundle: &Path) -> Result<(), String> {
    let text = read_config(bundle).map_err(|error| format!("{}/config.json: {error}", bundle.display()))?;
    ValidConfig::parse(&text).map(drop).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [verb, bundle] if verb == "check" => match check(Path::new(bundle)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(line) => {
                eprintln!("bailiwick: {line}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: bailiwick check BUNDLE\n\nBUNDLE is a directory with a config.json.");
            ExitCode::from(2)
        }
    }
}

//! What ends the command: one line that names the thing and the reason.

use clap::ValueEnum;
use serde_json::json;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

/// The line.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// `thing` cannot be used because of `reason`.
    pub(crate) fn about(thing: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Failure(format!("{thing}: {reason}"))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// `time="…" level=error msg="…"`
    Text,
    /// An object a line, with `level`, `msg` and `time`.
    Json,
}

/// Where failures are told beside standard error: callers read the reason there (runc, containerd's go-runc).
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: Option<PathBuf>,
    pub(crate) format: LogFormat,
}

impl Log {
    /// Writes the failure to both places.
    pub(crate) fn tell(&self, failure: &Failure) {
        eprintln!("bailiwick: {failure}");
        if let Some(Err(error)) = self.file.as_ref().map(|file| self.append(file, &failure.0)) {
            let file = self.file.as_deref().unwrap_or(std::path::Path::new("")).display();
            eprintln!("bailiwick: {file}: {error}");
        }
    }

    fn append(&self, file: &PathBuf, message: &str) -> io::Result<()> {
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let line = match self.format {
            LogFormat::Text => format!("time={time:?} level=error msg={message:?}\n"),
            LogFormat::Json => format!("{}\n", json!({ "level": "error", "msg": message, "time": time })),
        };
        OpenOptions::new().append(true).create(true).mode(0o644).open(file)?.write_all(line.as_bytes())
    }
}

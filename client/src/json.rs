//! The OCI state as the specification writes it (runtime-spec, runtime.md "State").

use crate::{CallError, Container};
use bailiwick_protocol::channel::Channel;
use bailiwick_protocol::message::State;
use core::fmt::{self, Write};

/// Why the state could not be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateError<E> {
    /// A call failed.
    Call(CallError<E>),
    /// The writer is full.
    Write(fmt::Error),
}

impl<E: fmt::Display> fmt::Display for StateError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Call(error) => error.fmt(f),
            StateError::Write(_) => f.write_str("the state does not fit"),
        }
    }
}
impl<E: fmt::Debug + fmt::Display> core::error::Error for StateError<E> {}
impl<E> From<CallError<E>> for StateError<E> {
    fn from(error: CallError<E>) -> Self {
        StateError::Call(error)
    }
}
impl<E> From<fmt::Error> for StateError<E> {
    fn from(error: fmt::Error) -> Self {
        StateError::Write(error)
    }
}

impl<C: Channel> Container<C> {
    /// Writes the container's state as JSON, indented by two spaces, with a line end after it: the fields of the
    /// specification in its order, `pid` 0 for a container that has no process, and every annotation. Takes one
    /// call, and one more for each annotation.
    ///
    /// # Errors
    /// [`StateError`]; what was written by then stays.
    pub fn state_json(&self, out: &mut impl Write) -> Result<(), StateError<C::Error>> {
        let annotations = self.state(|state| fields(&state, out).map(|()| state.annotations))??;
        for index in 0..annotations {
            let first = if index == 0 { "" } else { "," };
            self.annotation(index, |annotation| {
                write!(out, "{first}\n    {}: {}", Quoted(annotation.key), Quoted(annotation.value))
            })??;
        }
        out.write_str(if annotations == 0 { "}\n}\n" } else { "\n  }\n}\n" })?;
        Ok(())
    }
}

fn fields(state: &State<'_>, out: &mut impl Write) -> fmt::Result {
    writeln!(out, "{{\n  \"ociVersion\": {},", Quoted(state.oci_version))?;
    writeln!(out, "  \"id\": {},", Quoted(state.id))?;
    writeln!(out, "  \"status\": \"{}\",", state.status)?;
    writeln!(out, "  \"pid\": {},", state.pid.unwrap_or(0))?;
    writeln!(out, "  \"bundle\": {},", Quoted(state.bundle))?;
    out.write_str("  \"annotations\": {")
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
                '\n' => f.write_str("\\n")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

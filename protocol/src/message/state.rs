//! Where a container is in its life, and how it ended.

use super::Nanos;
use serde::{Deserialize, Serialize};

/// Where a container is in its life (runtime-spec, runtime.md "State", and runc's "paused").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    /// Its environment is being made.
    Creating,
    /// Its first process waits at the gate.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// The runtime-spec's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}
impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Exit {
    /// It called exit with this status.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// The kernel killed it because its resource group was out of memory.
    OutOfMemory,
}

impl Exit {
    /// The shell's number for it: the status, or 128 + the signal (out of memory is `SIGKILL`: 137).
    pub const fn status(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128u8.wrapping_add(signal),
            Exit::OutOfMemory => 137,
        }
    }
}

/// Reply to `State`. Annotations are fetched one by one with `Annotation`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State<'a> {
    /// `ociVersion` of the container's configuration.
    pub oci_version: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Where it is in its life.
    pub status: Status,
    /// The first process, as the host numbers it; none before `created`, after `stopped`, and where the policy that the
    /// container was made under does not tell.
    pub pid: Option<u32>,
    /// The bundle's path as given at creation.
    pub bundle: &'a str,
    /// How the first process ended, once it has.
    pub exit: Option<Exit>,
    /// When the record was made.
    pub created_at: Nanos,
    /// How many annotations there are.
    pub annotations: u32,
}

/// A [`State`] as it travels. Its texts are one, so that they are looked at once to be text, and what is of one length
/// is in front of it.
#[derive(Serialize, Deserialize)]
struct StateBody<T> {
    /// Little-endian.
    created_at: [u8; 8],
    status: Status,
    /// How much of the text is the version,
    version: u16,
    /// and how much behind it the id. The rest is the bundle's path.
    id: u16,
    text: T,
    pid: Option<u32>,
    exit: Option<Exit>,
    annotations: u32,
}

/// Texts one directly after the other.
struct Joined<'a>([&'a str; 3]);

impl Serialize for Joined<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let [first, second, third] = self.0;
        s.collect_str(&format_args!("{first}{second}{third}"))
    }
}

impl Serialize for State<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let length = |text: &str| u16::try_from(text.len()).map_err(serde::ser::Error::custom);
        let body = StateBody {
            created_at: self.created_at.0.to_le_bytes(),
            status: self.status,
            version: length(self.oci_version)?,
            id: length(self.id)?,
            text: Joined([self.oci_version, self.id, self.bundle]),
            pid: self.pid,
            exit: self.exit,
            annotations: self.annotations,
        };
        body.serialize(s)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for State<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let body = StateBody::<&'a str>::deserialize(d)?;
        let parts = body.text.split_at_checked(body.version.into()).and_then(|(version, rest)| {
            let (id, bundle) = rest.split_at_checked(body.id.into())?;
            Some((version, id, bundle))
        });
        let (oci_version, id, bundle) =
            parts.ok_or_else(|| serde::de::Error::custom("the texts are shorter than it is said"))?;
        Ok(State {
            oci_version,
            id,
            status: body.status,
            pid: body.pid,
            bundle,
            exit: body.exit,
            created_at: Nanos(u64::from_le_bytes(body.created_at)),
            annotations: body.annotations,
        })
    }
}

//! `config.json` of an OCI bundle: the whole Linux part of runtime-spec 1.3.
//!
//! ```text
//!  text ──► Value tree ──► OciConfig ──────────► ValidConfig ──► planner
//!           JSON is whole   every field has its    every rule of the
//!           and unambiguous type and its range     specification that needs no kernel holds
//! ```
//!
//! [`OciConfig::parse`] takes the first two arrows, [`ValidConfig::new`] the third; whoever holds a [`ValidConfig`]
//! need not check again. An error at any of them is one line with the JSON path, the value and the reason
//! ([`ConfigError`]). What is understood but not possible on a kernel is the planner's to refuse; what is not of
//! the specification at all is ignored, as config.md ("Extensibility") demands.
//!
//! Field names are the specification's in snake_case. Parts that most configurations do not have are boxed, so
//! that a record stays small.

mod capability;
mod error;
mod hooks;
mod json;
mod linux;
mod mount;
mod process;
mod read;
mod resources;
mod seccomp;
mod shared;
mod validate;

pub use capability::{CAPABILITIES, OciCapabilities, OciCapabilitySet};
pub use error::ConfigError;
pub use hooks::{OciHook, OciHooks};
pub use json::VALUES_MAX;
pub use linux::{
    OciDevice, OciDeviceKind, OciIdMapping, OciIntelRdt, OciLinuxConfig, OciMemoryPolicy,
    OciMemoryPolicyFlag, OciMemoryPolicyMode, OciNamespace, OciNamespaceKind, OciNetDevice, OciPersonality,
    OciPersonalityDomain, OciRootfsPropagation, OciTimeOffset,
};
pub use mount::{MountOption, OciMount};
pub use process::{
    OciConsoleSize, OciCpuAffinity, OciIoPriority, OciIoPriorityClass, OciProcess, OciRlimit, OciRlimitKind,
    OciRoot, OciScheduler, OciSchedulerFlag, OciSchedulerPolicy, OciUser,
};
pub use resources::{
    OciBlockIo, OciCpu, OciDeviceAllow, OciDeviceRule, OciDeviceRuleKind, OciHugepageLimit,
    OciInterfacePriority, OciMemory, OciNetwork, OciPids, OciRdma, OciResources, OciThrottleDevice,
    OciWeightDevice,
};
pub use seccomp::{
    OciSeccomp, OciSeccompAction, OciSeccompArch, OciSeccompFlag, OciSeccompOperator, OciSyscall,
    OciSyscallArg,
};
pub(crate) use shared::Configs;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Deref;
use error::Place;
use read::{Field, Read, spec_object};

/// Largest `config.json` that is read, in bytes.
pub const CONFIG_MAX: usize = 1 << 20;

/// The specification a configuration follows if nothing else is said.
pub const OCI_VERSION: &str = "1.0.2";

spec_object! {
    /// A `config.json`, each field of its type, but not yet checked against the rules between fields.
    OciConfig {
        /// `ociVersion`.
        oci_version: String = "ociVersion",
        /// The root file system.
        root: OciRoot = "root",
        /// The first process. The specification lets it come as late as `start`; here it is needed at `create`.
        process: OciProcess = "process",
        /// Mounts, in order.
        mounts: Vec<OciMount> = "mounts",
        /// Host name.
        hostname: Option<String> = "hostname",
        /// NIS domain name.
        domainname: Option<String> = "domainname",
        /// Hooks.
        hooks: OciHooks = "hooks",
        /// Annotations, by key.
        annotations: BTreeMap<String, String> = "annotations",
        /// The Linux part.
        linux: OciLinuxConfig = "linux",
    }
}

impl OciConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] if the text is larger than [`CONFIG_MAX`], is not JSON, nests deeper than 128 levels, holds
    /// more than [`VALUES_MAX`] values, a key twice or a NUL character, or if a field is missing, of the wrong type
    /// or out of its type's range.
    pub fn parse(text: &str) -> Result<OciConfig, ConfigError> {
        parse("config.json", text)
    }

    /// Checks every rule of the specification that can be checked without a kernel.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        validate::config(&Place::Root("config.json"), self)
    }
}

impl Default for OciConfig {
    /// `/bin/sh` as root, with nothing isolated: a configuration to start from.
    fn default() -> Self {
        OciConfig {
            oci_version: String::from(OCI_VERSION),
            root: OciRoot { path: String::from("rootfs"), readonly: false },
            process: OciProcess::default(),
            mounts: Vec::new(),
            hostname: None,
            domainname: None,
            hooks: OciHooks::default(),
            annotations: BTreeMap::new(),
            linux: OciLinuxConfig::default(),
        }
    }
}

impl OciProcess {
    /// Reads a process document, as `exec --process` takes it.
    ///
    /// # Errors
    /// As [`OciConfig::parse`].
    pub fn parse(text: &str) -> Result<OciProcess, ConfigError> {
        parse("process.json", text)
    }

    /// Checks every rule that can be checked without a kernel.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        validate::process(&Place::Root("process.json"), self)
    }
}

impl OciResources {
    /// Reads a document of limits, as `update --resources` takes it.
    ///
    /// # Errors
    /// As [`OciConfig::parse`].
    pub fn parse(text: &str) -> Result<OciResources, ConfigError> {
        parse("resources.json", text)
    }

    /// Checks every rule that can be checked without a kernel.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        validate::resources(&Place::Root("resources.json"), self)
    }
}

fn parse<T: Read>(document: &'static str, text: &str) -> Result<T, ConfigError> {
    if text.len() > CONFIG_MAX {
        return Err(ConfigError::whole(document, "is larger than 1 MiB"));
    }
    let value = json::parse(document, text)?;
    T::read(&Field { place: Place::Root(document), value: &value })
}

/// A configuration that keeps every rule of the specification that needs no kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValidConfig(OciConfig);

impl ValidConfig {
    /// Checks `config`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn new(config: OciConfig) -> Result<ValidConfig, ConfigError> {
        config.validate()?;
        Ok(ValidConfig(config))
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// As [`OciConfig::parse`], and the first rule that is broken.
    pub fn parse(text: &str) -> Result<ValidConfig, ConfigError> {
        ValidConfig::new(OciConfig::parse(text)?)
    }

    /// Gives the configuration back, to be changed: it must be checked again.
    pub fn into_inner(self) -> OciConfig {
        self.0
    }
}

impl Deref for ValidConfig {
    type Target = OciConfig;
    fn deref(&self) -> &OciConfig {
        &self.0
    }
}

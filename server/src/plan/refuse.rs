//! What a configuration may say and no step of a plan can do, or not on this kernel: refused by name.

use super::unsupported;
use crate::oci::{OciConfig, OciLinuxConfig, OciPersonalityDomain, OciProcess, OciResources};
pub(super) use bailiwick_kernel_glue::plan::Feature;
use bailiwick_kernel_glue::plan::Features;
use bailiwick_protocol::error::{Refusal, RefusalCode};
use bailiwick_protocol::message::Stdio;

/// Refuses `path` unless the kernel has `feature`.
pub(super) fn need(features: &Features, feature: Feature, path: &str) -> Result<(), Refusal> {
    if features.features.contains(feature) { Ok(()) } else { Err(unsupported(path)) }
}

/// The first of these places that is asked for.
fn first(places: &[(&str, bool)]) -> Result<(), Refusal> {
    places.iter().find(|(_, asked)| *asked).map_or(Ok(()), |(path, _)| Err(unsupported(path)))
}

/// Everything the vocabulary of plans has no word for, and hooks where there are none.
pub(super) fn what_no_step_can_do(config: &OciConfig, features: &Features) -> Result<(), Refusal> {
    process(&config.process, features)?;
    for (kind, list) in config.hooks.lists() {
        if !list.is_empty() {
            need(features, Feature::HOOKS, &alloc::format!("hooks.{}", kind.as_str()))?;
        }
    }
    linux(&config.linux)?;
    let no = |name: &str| unsupported(format_args!("linux.resources.{name}"));
    config.linux.resources.as_deref().map_or(Ok(()), |asked| resources(asked, no))
}

fn process(process: &OciProcess, features: &Features) -> Result<(), Refusal> {
    if process.terminal && process.console_size.is_some() {
        need(features, Feature::TERMINAL_SIZE, "process.consoleSize")?;
    }
    first(&[
        ("process.apparmorProfile", process.apparmor_profile.is_some()),
        ("process.selinuxLabel", process.selinux_label.is_some()),
        ("process.scheduler", process.scheduler.is_some()),
        ("process.ioPriority", process.io_priority.is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity.is_some()),
    ])
}

fn linux(linux: &OciLinuxConfig) -> Result<(), Refusal> {
    let personality = linux
        .personality
        .as_ref()
        .is_some_and(|p| p.domain != OciPersonalityDomain::Linux || !p.flags.is_empty());
    first(&[
        ("linux.netDevices", !linux.net_devices.is_empty()),
        ("linux.mountLabel", linux.mount_label.is_some()),
        ("linux.intelRdt", linux.intel_rdt.is_some()),
        ("linux.personality", personality),
        ("linux.memoryPolicy", linux.memory_policy.is_some()),
    ])
}

/// What no plan has a word for in a document of limits, refused by `no` with the place in that document.
pub(super) fn resources(resources: &OciResources, no: impl Fn(&str) -> Refusal) -> Result<(), Refusal> {
    let memory = resources.memory.as_deref().cloned().unwrap_or_default();
    let cpu = resources.cpu.as_deref().cloned().unwrap_or_default();
    let block_io = resources.block_io.as_deref().is_some_and(|io| *io != Default::default());
    let network = resources.network.as_deref().is_some_and(|network| *network != Default::default());
    let places = [
        ("memory.kernel", memory.kernel.is_some()),
        ("memory.kernelTCP", memory.kernel_tcp.is_some()),
        ("memory.swappiness", memory.swappiness.is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer),
        ("memory.useHierarchy", memory.use_hierarchy),
        ("cpu.burst", cpu.burst.is_some()),
        ("cpu.realtimeRuntime", cpu.realtime_runtime.is_some()),
        ("cpu.realtimePeriod", cpu.realtime_period.is_some()),
        ("cpu.idle", cpu.idle.is_some()),
        ("blockIO", block_io),
        ("hugepageLimits", !resources.hugepage_limits.is_empty()),
        ("network", network),
        ("rdma", !resources.rdma.is_empty()),
        ("unified", !resources.unified.is_empty()),
    ];
    places.iter().find(|(_, asked)| *asked).map_or(Ok(()), |(name, _)| Err(no(name)))
}

/// Whether a process's input can be a pipe.
pub(super) fn pipe(features: &Features) -> Result<(), Refusal> {
    if features.features.contains(Feature::INPUT) {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::Unsupported, "stdio: a pipe as input"))
}

/// Terminal and standard streams must want the same thing.
pub(super) fn streams(config: &OciConfig, features: &Features, stdio: Stdio) -> Result<(), Refusal> {
    let terminal = "process.terminal";
    match (config.process.terminal, stdio) {
        (true, Stdio::Terminal) => need(features, Feature::TERMINAL, terminal),
        (true, _) => {
            let text = "config.json: process.terminal: true, and the caller gives it no terminal";
            Err(Refusal::new(RefusalCode::BadValue, text))
        }
        (false, Stdio::Terminal) => {
            let text = "config.json: process.terminal: false, and the caller gives it a terminal";
            Err(Refusal::new(RefusalCode::BadValue, text))
        }
        (false, Stdio::Piped) => pipe(features),
        (false, _) => Ok(()),
    }
}

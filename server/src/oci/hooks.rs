//! `hooks`: programs run at fixed points of a container's life (config.md "POSIX-platform Hooks").

use super::read::spec_object;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::HookKind;

spec_object! {
    /// One hook.
    OciHook {
        /// The program, an absolute path: of the host, but for `startContainer` of the container.
        path: String = "path",
        /// Its arguments, the first being its name; empty stands for the path alone.
        args: Vec<String> = "args",
        /// Its environment, `NAME=value` each.
        env: Vec<String> = "env",
        /// Seconds after which it is killed and has failed; none waits for ever.
        timeout_secs: Option<u32> = "timeout",
    }
}

spec_object! {
    /// `hooks`: six lists, in the order in which they run.
    OciHooks or Default {
        /// Deprecated: after the environment is made, before `pivot_root`, in the runtime's namespaces.
        prestart: Vec<OciHook> = "prestart",
        /// The same place, its successor.
        create_runtime: Vec<OciHook> = "createRuntime",
        /// Before `pivot_root`, in the container's namespaces.
        create_container: Vec<OciHook> = "createContainer",
        /// After `pivot_root` and before the program, in the container.
        start_container: Vec<OciHook> = "startContainer",
        /// After the program was started, in the runtime's namespaces.
        poststart: Vec<OciHook> = "poststart",
        /// After the container was deleted, in the runtime's namespaces.
        poststop: Vec<OciHook> = "poststop",
    }
}

impl OciHooks {
    /// The six lists with their kinds, in the order in which they run.
    pub fn lists(&self) -> [(HookKind, &[OciHook]); 6] {
        [
            (HookKind::Prestart, &self.prestart),
            (HookKind::CreateRuntime, &self.create_runtime),
            (HookKind::CreateContainer, &self.create_container),
            (HookKind::StartContainer, &self.start_container),
            (HookKind::Poststart, &self.poststart),
            (HookKind::Poststop, &self.poststop),
        ]
    }
}

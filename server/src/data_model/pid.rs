//! Which process has which number inside a container (pid_namespaces(7)).

use crate::error::KernelError;
use alloc::collections::BTreeMap;
use alloc::string::ToString;

/// Most processes that one namespace records.
pub const PROCESSES_MAX: usize = 1024;

/// Largest number inside; the count then begins again after 1 (proc_sys_kernel(5), `pid_max`).
pub const PID_MAX: u32 = 32_768;

/// The first process of a namespace.
const INIT: u32 = 1;

/// The processes of one pid namespace: number inside and number outside, each to one of the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PidNamespace {
    outside: BTreeMap<u32, u64>,
    inside: BTreeMap<u64, u32>,
    /// The number given last; none until there was a first process.
    last: Option<u32>,
}

impl PidNamespace {
    /// A namespace without processes.
    pub const fn new() -> Self {
        PidNamespace { outside: BTreeMap::new(), inside: BTreeMap::new(), last: None }
    }

    /// Records the process that is `global_pid` outside, and gives its number inside: 1 to the first, then the next
    /// one that is free. No number is given again while it is in use.
    ///
    /// # Errors
    /// [`KernelError::InvalidArgument`] if `global_pid` is 0; [`KernelError::AlreadyExists`] if it is recorded;
    /// [`KernelError::InvalidState`] once the first process was removed, for no process can follow it;
    /// [`KernelError::ResourceExhausted`] with [`PROCESSES_MAX`] of them.
    pub fn add_process(&mut self, global_pid: u64) -> Result<u32, KernelError> {
        if global_pid == 0 {
            return Err(KernelError::InvalidArgument { name: "pid".into(), value: "0 is no process".into() });
        }
        if self.contains(global_pid) {
            return Err(KernelError::AlreadyExists {
                resource: "process".into(),
                id: global_pid.to_string().into(),
            });
        }
        let pid = self.free_number()?;
        self.outside.insert(pid, global_pid);
        self.inside.insert(global_pid, pid);
        self.last = Some(pid);
        Ok(pid)
    }

    fn free_number(&self) -> Result<u32, KernelError> {
        let Some(last) = self.last else { return Ok(INIT) };
        if !self.outside.contains_key(&INIT) {
            return Err(KernelError::InvalidState {
                expected: "with its first process",
                actual: "without it",
            });
        }
        let used_up = KernelError::ResourceExhausted { resource: "processes of a pid namespace".into() };
        if self.outside.len() >= PROCESSES_MAX {
            return Err(used_up);
        }
        let after = last.saturating_add(1)..=PID_MAX;
        after.chain(INIT..=last).find(|pid| !self.outside.contains_key(pid)).ok_or(used_up)
    }

    /// Forgets a process and gives the number it had inside. With number 1 every other one goes: the kernel ends
    /// them, and the namespace takes no process any more.
    ///
    /// # Errors
    /// [`KernelError::ProcessNotFound`] if it is not recorded.
    pub fn remove_process(&mut self, global_pid: u64) -> Result<u32, KernelError> {
        let pid = self.inside.remove(&global_pid).ok_or(KernelError::ProcessNotFound { pid: global_pid })?;
        self.outside.remove(&pid);
        if pid == INIT {
            self.outside.clear();
            self.inside.clear();
        }
        Ok(pid)
    }

    /// The number outside of the process that has this one inside.
    pub fn translate_pid(&self, container_pid: u32) -> Option<u64> {
        self.outside.get(&container_pid).copied()
    }

    /// The number inside of the process that has this one outside.
    pub fn container_pid(&self, global_pid: u64) -> Option<u32> {
        self.inside.get(&global_pid).copied()
    }

    /// How many processes are recorded.
    pub fn process_count(&self) -> usize {
        self.outside.len()
    }

    /// Whether the process with this number outside is recorded.
    pub fn contains(&self, global_pid: u64) -> bool {
        self.inside.contains_key(&global_pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn numbers_begin_at_one_and_translate_both_ways() {
        let mut namespace = PidNamespace::new();
        for (global, inside) in [(700, 1), (50, 2), (900, 3)] {
            assert_eq!(namespace.add_process(global), Ok(inside));
            assert_eq!(namespace.translate_pid(inside), Some(global));
            assert_eq!(namespace.container_pid(global), Some(inside));
        }
        assert!(namespace.add_process(50).is_err() && namespace.add_process(0).is_err());
        assert_eq!((namespace.process_count(), namespace.contains(51)), (3, false));
    }

    #[test]
    fn the_first_process_takes_the_others_with_it_and_nobody_follows() {
        let mut namespace = PidNamespace::new();
        (10..20).for_each(|global| assert!(namespace.add_process(global).is_ok()));
        assert_eq!(namespace.remove_process(15), Ok(6));
        assert_eq!(namespace.remove_process(15), Err(KernelError::ProcessNotFound { pid: 15 }));
        assert_eq!(namespace.remove_process(10), Ok(1));
        assert_eq!((namespace.process_count(), namespace.contains(11)), (0, false));
        assert!(matches!(namespace.add_process(30), Err(KernelError::InvalidState { .. })));
    }

    #[test]
    fn a_number_in_use_is_not_given_again_however_often_the_count_goes_round() {
        let mut namespace = PidNamespace::new();
        assert_eq!(namespace.add_process(1), Ok(1));
        assert_eq!(namespace.add_process(2), Ok(2));
        let mut given = BTreeSet::new();
        for global in 3..3 + 3 * u64::from(PID_MAX) {
            let pid = namespace.add_process(global).unwrap();
            assert!(pid > 2 && pid <= PID_MAX);
            given.insert(pid);
            namespace.remove_process(global).unwrap();
        }
        assert_eq!(given.len(), PID_MAX as usize - 2);
        assert_eq!((namespace.translate_pid(1), namespace.translate_pid(2)), (Some(1), Some(2)));
    }

    #[test]
    fn a_full_namespace_says_so_and_stays_as_it_was() {
        let mut namespace = PidNamespace::new();
        (1..=PROCESSES_MAX as u64).for_each(|global| assert!(namespace.add_process(global).is_ok()));
        let full = namespace.clone();
        assert!(matches!(namespace.add_process(u64::MAX), Err(KernelError::ResourceExhausted { .. })));
        assert_eq!(namespace, full);
    }
}

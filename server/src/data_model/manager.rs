//! A keeper of container records, with the verbs one expects of a container manager.

use super::{ContainerInfo, NamespaceSet, PidNamespace};
use crate::container::OciContainer;
use crate::error::KernelError;
use crate::lifecycle::{LifecycleEvent, OciLifecycleState};
use crate::oci::{OciConfig, ValidConfig};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_protocol::id::ContainerId;

/// Most containers that one manager records.
pub const CONTAINERS_MAX: usize = 256;

/// What is recorded of one container.
#[derive(Clone, Debug)]
pub struct ContainerRecord {
    container: OciContainer,
    namespaces: NamespaceSet,
}

impl ContainerRecord {
    /// Its configuration and where it is in its life.
    pub fn container(&self) -> &OciContainer {
        &self.container
    }
    /// Its namespaces.
    pub fn namespaces(&self) -> &NamespaceSet {
        &self.namespaces
    }
    /// Its namespaces, to be changed.
    pub fn namespaces_mut(&mut self) -> &mut NamespaceSet {
        &mut self.namespaces
    }
}

/// Containers by number. It runs nothing, asks for no authority and calls no kernel: its verbs move an
/// [`OciContainer`] through the one table of [`OciLifecycleState`] and keep a [`NamespaceSet`] in step. The server
/// that checks authority and has a kernel carry plans out is [`crate::Manager`].
#[derive(Clone, Debug, Default)]
pub struct ContainerManager {
    records: BTreeMap<u64, ContainerRecord>,
    last_id: u64,
    last_pid: u32,
}

impl ContainerManager {
    /// A manager without containers.
    pub const fn new() -> Self {
        ContainerManager { records: BTreeMap::new(), last_id: 0, last_pid: 0 }
    }

    /// Records a container that is being created, its host name its own name, and gives its number: from 1 on, and
    /// never one again.
    ///
    /// # Errors
    /// [`KernelError::InvalidArgument`] unless `name` is a [`ContainerId`]; [`KernelError::AlreadyExists`] if a
    /// container has it; [`KernelError::ResourceExhausted`] with [`CONTAINERS_MAX`] of them.
    pub fn create(&mut self, name: &str) -> Result<u64, KernelError> {
        let wrong = |error: &dyn ToString| invalid("name", error.to_string());
        let name_id = ContainerId::new(name).map_err(|error| wrong(&error))?;
        if self.records.values().any(|record| *record.container.id() == name_id) {
            return Err(KernelError::AlreadyExists {
                resource: "container".into(),
                id: name.to_string().into(),
            });
        }
        if self.records.len() >= CONTAINERS_MAX {
            return Err(KernelError::ResourceExhausted { resource: "containers".into() });
        }
        let id = self.last_id.checked_add(1).ok_or_else(|| exhausted("container numbers"))?;
        let namespaces = NamespaceSet::new(name)?;
        let config = ValidConfig::new(OciConfig::default()).map_err(|error| wrong(&error))?;
        let container = OciContainer::new(name_id, String::new(), Arc::new(config));
        self.records.insert(id, ContainerRecord { container, namespaces });
        self.last_id = id;
        Ok(id)
    }

    /// Records that the container runs `program`, its only argument in an otherwise default configuration, and gives
    /// the number outside of its first process. The manager counts these numbers itself, for there is no kernel to
    /// give one; inside it is process 1 of fresh process numbers.
    ///
    /// # Errors
    /// [`KernelError::NotFound`]; [`KernelError::InvalidState`] unless it is being created;
    /// [`KernelError::InvalidArgument`] if no configuration can have this program;
    /// [`KernelError::ResourceExhausted`] if process numbers are used up.
    pub fn start(&mut self, id: u64, program: &str) -> Result<u32, KernelError> {
        let record = self.records.get_mut(&id).ok_or_else(|| missing(id))?;
        record.container.state().next(LifecycleEvent::Created)?;
        let config = config_of(program)?;
        let pid = self.last_pid.checked_add(1).ok_or_else(|| exhausted("process numbers"))?;
        let mut processes = PidNamespace::new();
        processes.add_process(u64::from(pid))?;
        let mut container = OciContainer::new(record.container.id().clone(), String::new(), Arc::new(config));
        container.mark_created()?;
        container.start(pid)?;
        (record.container, record.namespaces.pid, self.last_pid) = (container, processes, pid);
        Ok(pid)
    }

    /// Records that the container's first process ended, and every other with it.
    ///
    /// # Errors
    /// [`KernelError::NotFound`]; [`KernelError::InvalidState`] if it is stopped already.
    pub fn stop(&mut self, id: u64) -> Result<(), KernelError> {
        let record = self.get_mut(id).ok_or_else(|| missing(id))?;
        let first = u64::from(record.container.pid());
        record.container.stop()?;
        // With its first process gone the namespace is empty, and nothing enters it any more.
        if record.namespaces.pid.contains(first) {
            record.namespaces.pid.remove_process(first)?;
        }
        Ok(())
    }

    /// Forgets a stopped container; its name is free again.
    ///
    /// # Errors
    /// [`KernelError::NotFound`]; [`KernelError::InvalidState`] unless it is stopped.
    pub fn destroy(&mut self, id: u64) -> Result<(), KernelError> {
        let state = self.get(id).ok_or_else(|| missing(id))?.container.state();
        if state != OciLifecycleState::Stopped {
            return Err(KernelError::InvalidState { expected: "stopped", actual: state.as_str() });
        }
        self.records.remove(&id);
        Ok(())
    }

    /// Every container, by rising number.
    pub fn list(&self) -> Vec<ContainerInfo> {
        self.records.iter().map(|(id, record)| info(*id, record)).collect()
    }

    /// How many containers are recorded, stopped ones included.
    pub fn container_count(&self) -> usize {
        self.records.len()
    }

    /// The container with this number.
    pub fn get(&self, id: u64) -> Option<&ContainerRecord> {
        self.records.get(&id)
    }

    /// The container with this number, its namespaces to be changed.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut ContainerRecord> {
        self.records.get_mut(&id)
    }
}

/// Lends a shared manager to `work` for as long as that runs. The manager is the caller's: there is none of the whole
/// program.
///
/// # Errors
/// [`KernelError::WouldBlock`] while it is lent, to `work` itself too; nothing waits here.
pub fn with_container_manager<T>(
    manager: &spin::Mutex<ContainerManager>,
    work: impl FnOnce(&mut ContainerManager) -> T,
) -> Result<T, KernelError> {
    let mut lent = manager.try_lock().ok_or(KernelError::WouldBlock)?;
    Ok(work(&mut lent))
}

fn config_of(program: &str) -> Result<ValidConfig, KernelError> {
    if program.is_empty() || program.len() > super::PATH_MAX || program.contains('\0') {
        return Err(invalid("program", "must have 1 to 4095 bytes and no NUL".to_string()));
    }
    let mut config = OciConfig::default();
    config.process.args = alloc::vec![program.to_string()];
    ValidConfig::new(config).map_err(|error| invalid("program", error.to_string()))
}

fn info(id: u64, record: &ContainerRecord) -> ContainerInfo {
    let ContainerRecord { container, namespaces } = record;
    ContainerInfo {
        id,
        name: container.id().as_str().to_string(),
        state: container.state(),
        root_pid: Some(container.pid()).filter(|pid| *pid != 0),
        process_count: namespaces.pid.process_count(),
        hostname: namespaces.uts.hostname().to_string(),
    }
}

fn invalid(name: &'static str, value: String) -> KernelError {
    KernelError::InvalidArgument { name: name.into(), value: value.into() }
}

fn exhausted(resource: &'static str) -> KernelError {
    KernelError::ResourceExhausted { resource: resource.into() }
}

fn missing(id: u64) -> KernelError {
    KernelError::NotFound { resource: "container".into(), id: id.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_record_goes_through_a_whole_life_by_the_table() {
        let mut manager = ContainerManager::new();
        let id = manager.create("web").unwrap();
        assert_eq!(manager.list()[0].root_pid, None);
        assert!(matches!(manager.destroy(id), Err(KernelError::InvalidState { .. })));
        let pid = manager.start(id, "/bin/httpd").unwrap();
        assert!(manager.start(id, "/bin/httpd").is_err() && manager.destroy(id).is_err());
        let record = manager.get_mut(id).unwrap();
        assert_eq!(record.container().config().process.args, ["/bin/httpd"]);
        assert_eq!(record.namespaces_mut().pid.add_process(900), Ok(2));
        assert_eq!(record.namespaces().pid.translate_pid(1), Some(u64::from(pid)));
        let running = OciLifecycleState::Running;
        let (name, hostname) = ("web".to_string(), "web".to_string());
        let expected =
            ContainerInfo { id, name, state: running, root_pid: Some(pid), process_count: 2, hostname };
        assert_eq!(manager.list(), [expected]);
        manager.stop(id).unwrap();
        assert!(manager.stop(id).is_err());
        assert_eq!((manager.list()[0].process_count, manager.list()[0].root_pid), (0, Some(pid)));
        manager.destroy(id).unwrap();
        assert_eq!((manager.container_count(), manager.get(id).is_none()), (0, true));
    }

    #[test]
    fn numbers_are_not_given_twice_and_names_are_while_free() {
        let mut manager = ContainerManager::new();
        let first = manager.create("web").unwrap();
        assert!(matches!(manager.create("web"), Err(KernelError::AlreadyExists { .. })));
        manager.stop(first).unwrap();
        manager.destroy(first).unwrap();
        assert_eq!((first, manager.create("web")), (1, Ok(2)));
        assert!(matches!(manager.stop(first), Err(KernelError::NotFound { .. })));
        assert!(matches!(manager.create("a/b"), Err(KernelError::InvalidArgument { .. })));
    }

    #[test]
    fn a_refused_start_changes_nothing() {
        let mut manager = ContainerManager::new();
        let id = manager.create("web").unwrap();
        for bad in ["", "a\0b", &"a".repeat(5000)] {
            assert!(matches!(manager.start(id, bad), Err(KernelError::InvalidArgument { .. })));
        }
        let info = manager.list().remove(0);
        assert_eq!((info.state, info.root_pid), (OciLifecycleState::Creating, None));
        assert_eq!(manager.start(id, "/bin/true"), Ok(1));
    }

    #[test]
    fn a_full_manager_says_so() {
        let mut manager = ContainerManager::new();
        (0..CONTAINERS_MAX).for_each(|n| assert!(manager.create(&format!("c{n}")).is_ok()));
        assert!(matches!(manager.create("more"), Err(KernelError::ResourceExhausted { .. })));
        assert_eq!(manager.container_count(), CONTAINERS_MAX);
    }

    #[test]
    fn a_lent_manager_is_not_lent_again_before_it_is_back() {
        let shared = spin::Mutex::new(ContainerManager::new());
        let inner = with_container_manager(&shared, |manager| {
            manager.create("web").unwrap();
            with_container_manager(&shared, |_| ())
        });
        assert_eq!(inner, Ok(Err(KernelError::WouldBlock)));
        assert_eq!(with_container_manager(&shared, |manager| manager.container_count()), Ok(1));
    }
}

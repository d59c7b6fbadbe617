//! The record of one container.

use crate::error::KernelError;
use crate::lifecycle::{LifecycleEvent, OciLifecycleState};
use crate::oci::ValidConfig;
use alloc::string::String;
use alloc::sync::Arc;
use bailiwick_protocol::id::ContainerId;
use bailiwick_protocol::message::{Exit, Nanos};

/// What the manager knows of one container, over its configuration `C`.
///
/// Its state changes through the methods here and nowhere else, so a record is always somewhere in the table of
/// [`OciLifecycleState`]. A method that fails has changed nothing.
#[derive(Clone, Debug)]
pub struct OciContainer<C = ValidConfig> {
    id: Arc<ContainerId>,
    state: OciLifecycleState,
    config: Arc<C>,
    pid: u32,
    bundle: String,
    created_at: Nanos,
    pivot: Option<(String, String)>,
    exit: Option<Exit>,
}

impl<C> OciContainer<C> {
    /// A record that is being created. The configuration may be shared with other containers of the bundle, and the id with
    /// whoever else knows it.
    pub fn new(id: impl Into<Arc<ContainerId>>, bundle: String, config: Arc<C>) -> Self {
        let (state, created_at) = (OciLifecycleState::Creating, Nanos::default());
        OciContainer { id: id.into(), state, config, pid: 0, bundle, created_at, pivot: None, exit: None }
    }

    /// The same record, made at this value of the kernel's monotonic clock. The server has no clock of its own.
    #[must_use]
    pub fn at(self, created_at: Nanos) -> Self {
        OciContainer { created_at, ..self }
    }

    fn advance(&mut self, event: LifecycleEvent) -> Result<(), KernelError> {
        self.state = self.state.next(event)?;
        Ok(())
    }

    /// Keeps the pair that the kernel's `pivot_root` exchanged: where the old root was put, what became the root.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] unless it is being created.
    pub fn report_pivot_root(&mut self, old: String, new: String) -> Result<(), KernelError> {
        self.state.next(LifecycleEvent::Created)?;
        self.pivot = Some((old, new));
        Ok(())
    }

    /// The environment is made: the first process waits at the gate.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] unless it is being created.
    pub fn mark_created(&mut self) -> Result<(), KernelError> {
        self.advance(LifecycleEvent::Created)
    }

    /// The gate was opened for the process with this number.
    ///
    /// # Errors
    /// [`KernelError::InvalidArgument`] if `pid` is 0; [`KernelError::InvalidState`] unless it is created.
    pub fn start(&mut self, pid: u32) -> Result<(), KernelError> {
        if pid == 0 {
            return Err(KernelError::InvalidArgument { name: "pid".into(), value: "0 is no process".into() });
        }
        self.advance(LifecycleEvent::Started)?;
        self.pid = pid;
        Ok(())
    }

    /// The processes were frozen.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] unless it runs.
    pub fn pause(&mut self) -> Result<(), KernelError> {
        self.advance(LifecycleEvent::Paused)
    }

    /// The processes were thawed.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] unless it is paused.
    pub fn resume(&mut self) -> Result<(), KernelError> {
        self.advance(LifecycleEvent::Resumed)
    }

    /// Keeps how the first process ended; [`OciContainer::stop`] follows. Of several reports the first one counts.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] if it is stopped already.
    pub fn report_exit(&mut self, exit: Exit) -> Result<(), KernelError> {
        self.state.next(LifecycleEvent::Exited)?;
        self.exit.get_or_insert(exit);
        Ok(())
    }

    /// The first process has ended. If nobody reported how, it never got so far as to have a status.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] if it is stopped already.
    pub fn stop(&mut self) -> Result<(), KernelError> {
        self.advance(LifecycleEvent::Exited)
    }

    /// The pair that the kernel's `pivot_root` exchanged: where the old root was put, what became the root.
    ///
    /// # Errors
    /// [`KernelError::InvalidState`] while it is being created, and if its plan had no such step.
    pub fn pivot_root(&self) -> Result<(String, String), KernelError> {
        if self.state == OciLifecycleState::Creating {
            return Err(KernelError::InvalidState { expected: "created", actual: self.state.as_str() });
        }
        let actual = "without a root of its own";
        self.pivot.clone().ok_or(KernelError::InvalidState { expected: "created with a pivot_root", actual })
    }

    /// Its id.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }
    /// Where it is in its life.
    pub fn state(&self) -> OciLifecycleState {
        self.state
    }
    /// Its configuration.
    pub fn config(&self) -> &Arc<C> {
        &self.config
    }
    /// Its first process, 0 until it was started.
    pub fn pid(&self) -> u32 {
        self.pid
    }
    /// The bundle's path as given at creation.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }
    /// The monotonic clock when the record was made.
    pub fn created_at(&self) -> Nanos {
        self.created_at
    }
    /// How its first process ended.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

const _: () = {
    const fn plain_data<T: Send + Sync + Unpin + core::panic::UnwindSafe + core::panic::RefUnwindSafe>() {}
    plain_data::<OciContainer<ValidConfig>>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn record() -> OciContainer<()> {
        OciContainer::new(ContainerId::new("web").unwrap(), "/b".to_string(), Arc::new(())).at(Nanos(5))
    }

    #[test]
    fn a_whole_life_goes_through_every_state() {
        let mut container = record();
        assert_eq!((container.state(), container.pid()), (OciLifecycleState::Creating, 0));
        container.mark_created().unwrap();
        container.start(7).unwrap();
        container.pause().unwrap();
        container.resume().unwrap();
        container.report_exit(Exit::Code(3)).unwrap();
        container.stop().unwrap();
        assert_eq!((container.state(), container.pid()), (OciLifecycleState::Stopped, 7));
        assert_eq!(container.exit(), Some(Exit::Code(3)));
    }

    #[test]
    fn a_refused_move_changes_nothing() {
        let mut container = record();
        assert!(container.start(7).is_err());
        assert!(container.pause().is_err());
        assert_eq!((container.state(), container.pid()), (OciLifecycleState::Creating, 0));
        container.mark_created().unwrap();
        assert!(container.start(0).is_err());
        assert_eq!((container.state(), container.pid()), (OciLifecycleState::Created, 0));
    }

    #[test]
    fn the_first_exit_status_is_kept() {
        let mut container = record();
        container.report_exit(Exit::Code(1)).unwrap();
        container.report_exit(Exit::Code(2)).unwrap();
        container.stop().unwrap();
        assert!(container.stop().is_err());
        assert!(container.report_exit(Exit::Code(3)).is_err());
        assert_eq!(container.exit(), Some(Exit::Code(1)));
    }

    #[test]
    fn a_container_that_never_ran_stops_without_a_status() {
        let mut container = record();
        container.stop().unwrap();
        assert!(container.report_exit(Exit::Code(1)).is_err());
        assert_eq!((container.state(), container.exit()), (OciLifecycleState::Stopped, None));
    }

    #[test]
    fn the_pivot_pair_is_what_the_kernel_reported_and_not_known_before() {
        let mut container = record();
        assert!(container.pivot_root().is_err());
        container.report_pivot_root("/".to_string(), "rootfs".to_string()).unwrap();
        container.mark_created().unwrap();
        assert!(container.report_pivot_root("/".to_string(), "other".to_string()).is_err());
        assert_eq!(container.pivot_root(), Ok(("/".to_string(), "rootfs".to_string())));
    }

    #[test]
    fn containers_of_one_bundle_share_its_configuration() {
        let container = record();
        let other =
            OciContainer::new(ContainerId::new("b").unwrap(), "/b".to_string(), container.config().clone());
        assert!(Arc::ptr_eq(container.config(), other.config()));
    }
}

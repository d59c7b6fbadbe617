//! Namespaces of other containers: `/run/containers/ID/ns/NAME` in a configuration stands for the namespace NAME that
//! the first process of container ID of the same factory is in.

use bailiwick_kernel_glue::plan::{Namespace, NamespaceSource, Plan, Step};
use bailiwick_protocol::error::{Refusal, RefusalCode};

/// The container whose namespace of this kind a path stands for, if it is such a path.
pub(crate) fn joined(path: &str, kind: Namespace) -> Option<&str> {
    let (id, name) = path.strip_prefix("/run/containers/")?.split_once("/ns/")?;
    (name == kind.proc_name() && !id.contains('/')).then_some(id)
}

/// Whether the plan has a path that stands for another container's namespace.
pub(crate) fn joins(plan: &Plan) -> bool {
    let lists = plan.create.iter().filter_map(|step| match step {
        Step::Namespaces(list) => Some(list),
        _ => None,
    });
    lists.flatten().any(|(kind, source)| match source {
        NamespaceSource::Path(path) => joined(path, *kind).is_some(),
        NamespaceSource::New => false,
    })
}

/// Puts the kernel's paths in the place of those that name a container, by the word of `pid_of`.
///
/// # Errors
/// [`RefusalCode::NotFound`] for a container that is not there, not the factory's or not alive: they look the same.
pub(crate) fn join(plan: &mut Plan, pid_of: impl Fn(&str) -> Option<u32>) -> Result<(), Refusal> {
    let lists = plan.create.iter_mut().filter_map(|step| match step {
        Step::Namespaces(list) => Some(list),
        _ => None,
    });
    for (kind, source) in lists.flatten() {
        let NamespaceSource::Path(path) = source else { continue };
        let Some(id) = joined(path, *kind) else { continue };
        let text = format_args!("config.json: linux.namespaces: container {id}");
        let pid = pid_of(id).ok_or_else(|| Refusal::new(RefusalCode::NotFound, text))?;
        *path = alloc::format!("/proc/{pid}/ns/{}", kind.proc_name());
    }
    Ok(())
}

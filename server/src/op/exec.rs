//! `Exec`: a further process in a running container.

use super::idle;
use crate::manager::{
    Answer, Call, ContainerHandle, Execution, Manager, Object, Outcome, Process, ProcessHandle, World,
    kernel_key, quota,
};
use crate::plan::exec_plan;
use bailiwick_kernel_glue::{ExecKey, KernelGlue, Port};
use bailiwick_protocol::error::{ErrorReply, KernelFault, Refusal, RefusalCode};
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::{Exec, ExecReply, Reply, Status, Stdio};
use bailiwick_protocol::rights::Rights;

/// Most processes started by `Exec` that one container keeps, ended ones that somebody still holds included.
const EXECS_MAX: usize = 64;

pub(super) fn run<'m, G: KernelGlue, P: Port>(
    world: World<'m, '_, G, P>,
    call: Call,
    exec: Exec<'_>,
) -> Outcome<'m> {
    let World { manager, glue, .. } = world;
    let (container, record) = manager.container(&call)?;
    idle(record)?;
    let status = record.oci.state().status();
    if status != Status::Running {
        let text = format_args!("the container is {status}, and this needs it to be running");
        return Err(Refusal::new(RefusalCode::State, text).into());
    }
    let key = ExecKey(record.next_exec);
    let next = record.next_exec.checked_add(1).filter(|_| record.execs.len() < EXECS_MAX);
    let next = next.ok_or(Refusal::new(RefusalCode::Full, "processes of this container"))?;
    let plan = exec_plan(record.oci.config(), &glue.features(), &record.policy, &exec)?;
    let (factory, tells_pids) = (record.factory, record.policy.tells_pids());
    let cost = quota::exec(exec.stdio);
    manager.check_quota(factory, &cost.plus(quota::CAPABILITY))?;
    let (handle, badge) = enter(manager, &call, container, key, exec.stdio)?;
    match glue.execute(kernel_key(container), key, &plan) {
        Ok(pid) => {
            manager.charge(factory, &cost);
            if let Some(record) = manager.containers.get_mut(container) {
                record.next_exec = next;
                record.execs.insert(key, handle);
            }
            let pid = tells_pids.then_some(pid.0);
            Ok(Answer::Capability(Reply::Exec(ExecReply { pid }), badge))
        }
        Err(fault) => {
            manager.take_back(badge, Object::Process(handle));
            manager.processes.remove(handle);
            Err(KernelFault::from(fault).into())
        }
    }
}

/// Makes the record of the process and its grant, so that nothing can fail once the process runs.
fn enter(
    manager: &mut Manager,
    call: &Call,
    container: ContainerHandle,
    key: ExecKey,
    stdio: Stdio,
) -> Result<(ProcessHandle, Badge), ErrorReply> {
    let process = Process { container, key, execution: Execution::new(stdio) };
    let full = |_| Refusal::new(RefusalCode::Full, "processes");
    let handle = manager.processes.insert(process).map_err(full)?;
    match manager.grant(call.parked.badge, Object::Process(handle), Rights::PROCESS) {
        Ok(derived) => Ok((handle, derived.badge)),
        Err(refusal) => {
            manager.processes.remove(handle);
            Err(refusal.into())
        }
    }
}

//! System-call filters (seccomp(2), "SECCOMP_SET_MODE_FILTER").

use super::call::{Call, Stop};
use super::death::end_thread;
use super::deliver::force;
use super::signal::{SIGSYS, SYS_SECCOMP, SignalInfo};
use crate::hw::Hw;
use bailiwick_kernel_glue::filter::{ARCHITECTURE_X86_64, SystemCall, verdict};
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Exit;

/// Largest error number a call can return.
const ERRNO_MAX: u32 = 4095;

/// Asks the filter of the caller, if it has one, whether it may make the call.
///
/// # Errors
/// What becomes of it instead.
pub(super) fn check<H: Hw>(call: &mut Call<'_, H>, number: u64) -> Result<(), Stop> {
    let Some(filter) = call.me()?.credentials.filter.clone() else { return Ok(()) };
    let seen = SystemCall {
        // The upper half is not part of the number.
        number: number as u32,
        architecture: ARCHITECTURE_X86_64,
        instruction_pointer: call.thread()?.registers().rip,
        arguments: call.args,
    };
    let said = filter.run(&seen);
    let data = said & verdict::DATA;
    match said & verdict::ACTION {
        verdict::ALLOW | verdict::LOG => Ok(()),
        verdict::ERRNO => Err(Stop::Errno(Errno(u16::try_from(data.min(ERRNO_MAX)).unwrap_or(u16::MAX)))),
        // There are no tracers.
        verdict::TRACE => Err(Stop::Errno(Errno::ENOSYS)),
        verdict::TRAP => {
            let (status, address) = (number as i32, seen.instruction_pointer);
            let info = SignalInfo { code: SYS_SECCOMP, status, address, ..SignalInfo::default() };
            force(call.k, call.thread, SIGSYS, info);
            Err(Stop::Gone)
        }
        verdict::KILL_THREAD => {
            end_thread(call.k, call.thread, Exit::Signal(SIGSYS));
            Err(Stop::Gone)
        }
        _ => {
            call.k.end_process(call.process, Exit::Signal(SIGSYS));
            Err(Stop::Gone)
        }
    }
}

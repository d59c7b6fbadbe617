//! Starting the manager and taking the root factory from it.

use crate::slots::manager;
use crate::sys;
use alloc::format;
use alloc::string::{String, ToString};
use bailiwick_abi::{Error, Handle, Rights, slot};
use bailiwick_kernel_glue::metal::{EndpointChannel, Messages};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::frame::FrameBuffer;

const CONSOLE: Handle = Handle::first(slot::CONSOLE);
const ROOT: Handle = Handle::first(slot::ROOT);
const GROUP: Handle = Handle::first(slot::GROUP);
const CLOCK: Handle = Handle::first(slot::CLOCK);

/// What could not be had, and why.
pub(crate) fn because(what: &str) -> impl Fn(Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Starts the manager with the capabilities that the kernel gives the first process, and claims the root factory. Gives
/// the process, the way to the manager's endpoint itself, and the root factory. The second is to be deleted, not
/// dropped: it stands for no object of the manager's.
///
/// # Errors
/// What could not be had, and why.
pub(crate) fn start_manager(
    messages: &Messages,
) -> Result<(Handle, EndpointChannel, EndpointChannel), String> {
    let endpoint = sys::endpoint().map_err(because("an endpoint"))?;
    let events = sys::notification().map_err(because("a notification"))?;
    let program = sys::process_create(GROUP, ROOT, "/sbin/manager").map_err(because("/sbin/manager"))?;
    let grants = [
        (manager::CONSOLE, CONSOLE, Rights::ALL),
        (manager::ROOT, ROOT, Rights::READ.with(Rights::EXECUTE).with(Rights::WRITE)),
        (manager::GROUP, GROUP, Rights::ALL),
        (manager::CLOCK, CLOCK, Rights::READ),
        (manager::ENDPOINT, endpoint, Rights::ALL),
        (manager::EVENTS, events, Rights::ALL),
    ];
    for (place, handle, rights) in grants {
        sys::process_grant(program, place.slot(), handle, rights).map_err(because("the manager's rights"))?;
    }
    sys::process_start(program, "").map_err(because("/sbin/manager"))?;
    let door = sys::derive(endpoint, Rights::WRITE).map_err(because("the endpoint"))?;
    // Without a reader left, calls fail instead of waiting for ever should the manager end.
    sys::delete(endpoint);
    let door = EndpointChannel::new(messages.clone(), door);
    let mut reply = ReplyBuffer::default();
    door.call(&FrameBuffer::new(), None, &mut reply).map_err(because("the manager"))?;
    let root = reply.take().ok_or_else(|| "the manager: it gave no factory".to_string())?;
    Ok((program, door, root))
}

//! The system calls that programs make besides those of [`bailiwick_kernel_glue::metal`].
#![allow(unsafe_code, reason = "a system call is an instruction")]

use bailiwick_abi::{Call, Census, Error, Exit, Handle, Rights};
use bailiwick_kernel_glue::metal::raw::Results;
pub use bailiwick_kernel_glue::metal::raw::call;

/// Makes a call that involves no memory of this program.
fn plain(which: Call, args: &[u64]) -> Result<Results, Error> {
    // SAFETY: every use below passes handles and numbers only.
    unsafe { call(which, args) }
}

fn text(bytes: &[u8]) -> (u64, u64) {
    (bytes.as_ptr() as u64, bytes.len() as u64)
}

/// Ends the program.
pub fn exit(status: u8) -> ! {
    loop {
        let _ = plain(Call::Exit, &[status.into()]);
    }
}

/// Switches the machine off.
pub fn power_off(power: Handle, status: u8) {
    let _ = plain(Call::PowerOff, &[power.0, status.into()]);
}

/// Zeroed memory for the program itself. Gives its address.
///
/// # Errors
/// There is none.
pub fn allocate(bytes: usize) -> Result<usize, Error> {
    plain(Call::Allocate, &[bytes as u64]).map(|results| results[0] as usize)
}

/// Nanoseconds since boot.
pub fn now(clock: Handle) -> u64 {
    plain(Call::ClockNow, &[clock.0]).map_or(0, |results| results[0])
}

/// How many objects the kernel has.
///
/// # Errors
/// The kernel's reason.
pub fn census(system: Handle) -> Result<Census, Error> {
    let mut words = [0; Census::WORDS];
    let args = [system.0, words.as_mut_ptr() as u64, size_of_val(&words) as u64];
    // SAFETY: the kernel writes the words.
    unsafe { call(Call::SystemCensus, &args) }.map(|_| Census::from_words(words))
}

/// Free frames, all frames, and bytes free in the kernel's heap.
///
/// # Errors
/// The kernel's reason.
pub fn memory(system: Handle) -> Result<Results, Error> {
    plain(Call::SystemMemory, &[system.0])
}

/// Lets others run.
pub fn yield_now() {
    let _ = plain(Call::Yield, &[]);
}

/// A new endpoint.
///
/// # Errors
/// The kernel's reason.
pub fn endpoint() -> Result<Handle, Error> {
    plain(Call::EndpointCreate, &[]).map(|results| Handle(results[0]))
}

/// A new notification.
///
/// # Errors
/// The kernel's reason.
pub fn notification() -> Result<Handle, Error> {
    plain(Call::NotificationCreate, &[]).map(|results| Handle(results[0]))
}

/// Waits until the notification has bits or this time, in nanoseconds since boot, has come; takes the bits.
///
/// # Errors
/// The kernel's reason.
pub fn wait(notification: Handle, until: u64) -> Result<u64, Error> {
    plain(Call::Wait, &[notification.0, until]).map(|results| results[0])
}

/// Sets bits of a notification.
pub(crate) fn signal(notification: Handle, bits: u64) {
    let _ = plain(Call::Signal, &[notification.0, bits]);
}

/// A narrower capability of the same object.
///
/// # Errors
/// The kernel's reason.
pub fn derive(handle: Handle, rights: Rights) -> Result<Handle, Error> {
    plain(Call::Derive, &[handle.0, rights.0.into(), 0]).map(|results| Handle(results[0]))
}

/// Deletes a capability.
pub fn delete(handle: Handle) {
    let _ = plain(Call::Delete, &[handle.0]);
}

/// Writes to the console; gives how much was written.
///
/// # Errors
/// The kernel's reason.
pub fn console_write(console: Handle, bytes: &[u8]) -> Result<usize, Error> {
    let piece = bytes.get(..bailiwick_abi::MESSAGE_MAX).unwrap_or(bytes);
    if piece.is_empty() {
        return Ok(0);
    }
    let (address, length) = text(piece);
    // SAFETY: the kernel reads the piece.
    unsafe { call(Call::ConsoleWrite, &[console.0, address, length]) }.map(|results| results[0] as usize)
}

/// Waits for input until this time; gives how much there was.
///
/// # Errors
/// The kernel's reason.
pub fn console_read(console: Handle, room: &mut [u8], until: u64) -> Result<usize, Error> {
    let args = [console.0, room.as_mut_ptr() as u64, room.len() as u64, until];
    // SAFETY: the kernel writes the room.
    unsafe { call(Call::ConsoleRead, &args) }.map(|results| (results[0] as usize).min(room.len()))
}

/// Sets these bits of a notification whenever there is more to read on the console.
///
/// # Errors
/// The kernel's reason.
pub fn console_watch(console: Handle, notification: Handle, bits: u64) -> Result<(), Error> {
    plain(Call::ConsoleWatch, &[console.0, notification.0, bits]).map(drop)
}

/// A thread that begins at `entry` with `argument` in its first argument register, and with this stack pointer, which is
/// 0 if it uses none.
///
/// # Errors
/// The kernel's reason.
pub(crate) fn thread_create(entry: usize, stack: usize, argument: usize) -> Result<(), Error> {
    plain(Call::ThreadCreate, &[entry as u64, stack as u64, argument as u64]).map(drop)
}

/// Ends the calling thread.
pub(crate) fn thread_exit() -> ! {
    loop {
        let _ = plain(Call::ThreadExit, &[]);
    }
}

/// A directory below a directory.
///
/// # Errors
/// The kernel's reason.
pub fn directory_open(directory: Handle, path: &str, rights: Rights) -> Result<Handle, Error> {
    let (address, length) = text(path.as_bytes());
    // SAFETY: the kernel reads the path.
    unsafe { call(Call::DirectoryOpen, &[directory.0, address, length, rights.0.into()]) }
        .map(|results| Handle(results[0]))
}

/// Reads from a file below a directory. Gives bytes read, and the file's size.
///
/// # Errors
/// The kernel's reason.
pub fn file_read(directory: Handle, path: &str, offset: u64, room: &mut [u8]) -> Result<(usize, u64), Error> {
    let (address, length) = text(path.as_bytes());
    let args = [directory.0, address, length, offset, room.as_mut_ptr() as u64, room.len() as u64];
    // SAFETY: the kernel reads the path and writes the room.
    let results = unsafe { call(Call::FileRead, &args) }?;
    Ok(((results[0] as usize).min(room.len()), results[1]))
}

/// A process of the program at `path` below a directory, not started.
///
/// # Errors
/// The kernel's reason.
pub fn process_create(group: Handle, directory: Handle, path: &str) -> Result<Handle, Error> {
    let (address, length) = text(path.as_bytes());
    // SAFETY: the kernel reads the path.
    unsafe { call(Call::ProcessCreate, &[group.0, directory.0, address, length]) }
        .map(|results| Handle(results[0]))
}

/// Puts a copy of a capability into a slot of a process that was not started.
///
/// # Errors
/// The kernel's reason.
pub fn process_grant(process: Handle, slot: u32, handle: Handle, rights: Rights) -> Result<(), Error> {
    plain(Call::ProcessGrant, &[process.0, slot.into(), handle.0, rights.0.into()]).map(drop)
}

/// Starts a process with this text.
///
/// # Errors
/// The kernel's reason.
pub fn process_start(process: Handle, words: &str) -> Result<(), Error> {
    let (address, length) = text(words.as_bytes());
    // SAFETY: the kernel reads the text.
    unsafe { call(Call::ProcessStart, &[process.0, address, length]) }.map(drop)
}

/// A group in a group, with at most so many frames, and so many processes and threads; 0 is no limit.
///
/// # Errors
/// The kernel's reason.
pub fn group_create(group: Handle, name: &str, frames: u64, processes: u64) -> Result<Handle, Error> {
    let (address, length) = text(name.as_bytes());
    // SAFETY: the kernel reads the name.
    unsafe { call(Call::GroupCreate, &[group.0, address, length, frames, processes]) }
        .map(|results| Handle(results[0]))
}

/// Removes a group that nothing is in. One that is not empty stays.
pub fn group_destroy(group: Handle) {
    let _ = plain(Call::GroupDestroy, &[group.0]);
}

/// Waits until this time, in nanoseconds since boot.
pub fn sleep_until(clock: Handle, time: u64) {
    let _ = plain(Call::SleepUntil, &[clock.0, time]);
}

/// Ends a process.
pub fn process_kill(process: Handle) {
    let _ = plain(Call::ProcessKill, &[process.0]);
}

/// Waits until a process has ended.
///
/// # Errors
/// The kernel's reason.
pub fn process_wait(process: Handle) -> Result<Exit, Error> {
    plain(Call::ProcessWait, &[process.0]).map(|results| Exit::from_word(results[0]))
}

/// Frames that a process (`READ`) has.
///
/// # Errors
/// The kernel's reason.
pub fn process_frames(process: Handle) -> Result<u64, Error> {
    plain(Call::ProcessUsage, &[process.0]).map(|results| results[0])
}

/// Frames that are charged to a group (`READ`) and those below it.
///
/// # Errors
/// The kernel's reason.
pub fn group_frames(group: Handle) -> Result<u64, Error> {
    plain(Call::GroupUsage, &[group.0]).map(|results| results[0])
}

/// Sets bits of a notification when the process ends.
///
/// # Errors
/// The kernel's reason.
pub fn process_watch(process: Handle, notification: Handle, bits: u64) -> Result<(), Error> {
    plain(Call::ProcessWatch, &[process.0, notification.0, bits]).map(drop)
}

//! The system calls that this backend makes: the instruction, and a safe function for each call.
//!
//! Every function lends the kernel exactly the memory it is given by reference, for the time of the call.
#![allow(unsafe_code, reason = "a system call is an instruction")]

use crate::glue::OutputRead;
use bailiwick_abi::{
    Call, ContainerRequest, Error, Handle, MessageBuffer, MessageInfo, SMALL_MAX, WORDS, Which,
};
use bailiwick_protocol::message::InputEnd;
use core::arch::asm;

/// What a call gave in its result registers.
pub type Results = [u64; 3];

/// Makes a call.
///
/// # Errors
/// The kernel's reason for refusing it.
///
/// # Safety
/// Arguments that the call takes as an address must lead to memory that may be read, or written if the call
/// writes there, until it returns; a call that changes the address space must not change memory that is in use.
pub unsafe fn call(call: Call, args: &[u64]) -> Result<Results, Error> {
    let arg = |at: usize| args.get(at).copied().unwrap_or(0);
    let (status, first, second, third): (u64, u64, u64, u64);
    // SAFETY: the kernel keeps all registers but those named here (`bailiwick_abi`); memory is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") call as u64 => status,
            inlateout("rdi") arg(0) => first,
            inlateout("rsi") arg(1) => second,
            inlateout("rdx") arg(2) => third,
            in("r10") arg(3),
            in("r8") arg(4),
            in("r9") arg(5),
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
    match status {
        0 => Ok([first, second, third]),
        number => Err(Error(u16::try_from(number).unwrap_or(u16::MAX))),
    }
}

fn address<T>(memory: &[T]) -> u64 {
    memory.as_ptr() as u64
}

fn length<T>(memory: &[T]) -> u64 {
    memory.len() as u64
}

/// A length that the kernel gave, never more than there is room.
fn filled(count: u64, room: &[u8]) -> usize {
    usize::try_from(count).map_or(room.len(), |count| count.min(room.len()))
}

// ---- capabilities ----------------------------------------------------------------------------------------------

/// Deletes a capability; one that is gone already is as well.
pub(super) fn delete(handle: Handle) {
    // SAFETY: no memory is involved.
    let _ = unsafe { call(Call::Delete, &[handle.0]) };
}

/// Deletes every capability of the endpoint with this badge.
pub(super) fn revoke_badge(endpoint: Handle, badge: u64) {
    // SAFETY: no memory is involved.
    let _ = unsafe { call(Call::RevokeBadge, &[endpoint.0, badge]) };
}

/// Binds a notification to an endpoint; `gone` are the bits that the end of a badge sets.
pub(super) fn bind(notification: Handle, endpoint: Handle, gone: u64) -> Result<(), Error> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::Bind, &[notification.0, endpoint.0, gone]) }.map(drop)
}

/// The next badge of an endpoint that nobody holds any more, if there is one.
pub(super) fn take_badge(endpoint: Handle) -> Option<u64> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::TakeBadge, &[endpoint.0]) }.ok().map(|results| results[0])
}

/// Sets bits of a notification.
pub(super) fn signal(notification: Handle, bits: u64) {
    // SAFETY: no memory is involved.
    let _ = unsafe { call(Call::Signal, &[notification.0, bits]) };
}

/// Waits until the notification has bits, and takes them.
pub(super) fn wait(notification: Handle) -> Result<u64, Error> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::Wait, &[notification.0, u64::MAX]) }.map(|results| results[0])
}

/// Nanoseconds since boot.
pub(super) fn now(clock: Handle) -> u64 {
    // SAFETY: no memory is involved.
    unsafe { call(Call::ClockNow, &[clock.0]) }.map_or(0, |results| results[0])
}

/// Writes to the console, as much as it takes.
pub(super) fn console_write(console: Handle, mut text: &[u8]) {
    while !text.is_empty() {
        let piece = text.get(..bailiwick_abi::MESSAGE_MAX).unwrap_or(text);
        // SAFETY: the kernel reads the piece.
        let written = unsafe { call(Call::ConsoleWrite, &[console.0, address(piece), length(piece)]) };
        match written.map(|results| filled(results[0], piece)) {
            Ok(count) if count > 0 => text = text.get(count..).unwrap_or_default(),
            _ => return,
        }
    }
}

/// Reads from a file: bytes read, and the file's size.
pub(super) fn file_read(
    directory: Handle,
    path: &str,
    offset: u64,
    room: &mut [u8],
) -> Result<(usize, u64), Error> {
    let path = path.as_bytes();
    let args = [directory.0, address(path), length(path), offset, room.as_mut_ptr() as u64, length(room)];
    // SAFETY: the kernel reads the path and writes the room.
    let results = unsafe { call(Call::FileRead, &args) }?;
    Ok((filled(results[0], room), results[1]))
}

// ---- messages --------------------------------------------------------------------------------------------------

/// Names the thread's message buffer.
///
/// # Safety
/// The buffer must live as long as the thread sends or receives, and be touched by nobody during such a call.
pub unsafe fn set_buffer(buffer: *mut MessageBuffer) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { call(Call::SetBuffer, &[buffer as u64]) }.map(drop)
}

/// What arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Badge of a message, or bits of an event.
    pub word: u64,
    /// Its length and what is beside it.
    pub info: MessageInfo,
    /// Its words, if it is short.
    pub words: [u64; WORDS],
}

/// Makes a call that sends or receives a message.
///
/// # Safety
/// Nobody may hold a reference into the thread's message buffer.
#[inline]
pub unsafe fn message(
    which: Call,
    handle: Handle,
    info: MessageInfo,
    words: [u64; WORDS],
) -> Result<Arrived, Error> {
    let status: u64;
    let (word, arrived);
    let [mut w0, mut w1, mut w2, mut w3, mut w4, mut w5, mut w6, mut w7] = words;
    // SAFETY: the kernel keeps all registers but those named here; the buffer is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") which as u64 => status,
            inlateout("rdi") handle.0 => word,
            inlateout("rsi") info.0 => arrived,
            inlateout("rdx") w0,
            inlateout("r8") w1,
            inlateout("r9") w2,
            inlateout("r10") w3,
            inlateout("r12") w4,
            inlateout("r13") w5,
            inlateout("r14") w6,
            inlateout("r15") w7,
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
    match status {
        0 => Ok(Arrived { word, info: MessageInfo(arrived), words: [w0, w1, w2, w3, w4, w5, w6, w7] }),
        number => Err(Error(u16::try_from(number).unwrap_or(u16::MAX))),
    }
}

/// Keeps the right to answer the message received last.
pub(super) fn park_reply() -> Result<Handle, Error> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::ParkReply, &[]) }.map(|results| Handle(results[0]))
}

/// Bytes as words, for the registers; those beyond [`SMALL_MAX`] are left out.
pub fn words_of(bytes: &[u8]) -> [u64; WORDS] {
    let mut small = [0; SMALL_MAX];
    small.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    words_of_block(&small)
}

/// A whole block of bytes as words.
#[inline]
pub(super) fn words_of_block(bytes: &[u8; SMALL_MAX]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}

/// Words as bytes.
#[inline]
pub(super) fn bytes_of(words: &[u64; WORDS]) -> [u8; SMALL_MAX] {
    let mut bytes = [0; SMALL_MAX];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

// ---- containers ------------------------------------------------------------------------------------------------

/// A new container.
pub(super) fn container_create(request: &ContainerRequest) -> Result<Handle, Error> {
    let words = [
        request.group,
        request.bundle,
        request.host,
        request.events,
        request.bits,
        request.key,
        request.console,
        request.stdio,
    ];
    // SAFETY: the kernel reads the words, which lie as the request does.
    unsafe { call(Call::ContainerCreate, &[address(&words)]) }.map(|results| Handle(results[0]))
}

/// Carries out steps, one directly after the other. Gives the first process's number, 0 before there is one.
pub(super) fn container_steps(container: Handle, steps: &[u8]) -> Result<u64, Error> {
    // SAFETY: the kernel reads the steps.
    unsafe { call(Call::ContainerSteps, &[container.0, address(steps), length(steps)]) }
        .map(|results| results[0])
}

/// Opens the gate.
pub(super) fn container_release(container: Handle) -> Result<(), Error> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::ContainerRelease, &[container.0]) }.map(drop)
}

/// Starts a further process. Gives its number.
pub(super) fn container_execute(container: Handle, number: u32, plan: &[u8]) -> Result<u64, Error> {
    let args = [container.0, number.into(), address(plan), length(plan)];
    // SAFETY: the kernel reads the plan.
    unsafe { call(Call::ContainerExecute, &args) }.map(|results| results[0])
}

/// Starts a hook.
pub(super) fn container_hook(container: Handle, number: u32, hook: &[u8], state: &[u8]) -> Result<(), Error> {
    let args = [container.0, number.into(), address(hook), length(hook), address(state), length(state)];
    // SAFETY: the kernel reads hook and state.
    unsafe { call(Call::ContainerHook, &args) }.map(drop)
}

/// Sends a signal to one process, or (1) to every process inside.
pub(super) fn container_signal(container: Handle, which: Which, signal: u8, all: u64) -> Result<(), Error> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::ContainerSignal, &[container.0, which.to_word(), signal.into(), all]) }.map(drop)
}

/// `ContainerFreeze`, `ContainerThaw`, `ContainerDestroy` or `ContainerRemove`.
pub(super) fn container(which: Call, container: Handle) -> Result<(), Error> {
    // SAFETY: no memory is involved.
    unsafe { call(which, &[container.0]) }.map(drop)
}

/// Other limits: the `Resources` in postcard.
pub(super) fn container_update(container: Handle, resources: &[u8]) -> Result<(), Error> {
    let args = [container.0, address(resources), length(resources)];
    // SAFETY: the kernel reads the resources.
    unsafe { call(Call::ContainerUpdate, &args) }.map(drop)
}

/// The container's use, in postcard.
pub(super) fn container_statistics(container: Handle, room: &mut [u8]) -> Result<usize, Error> {
    let args = [container.0, room.as_mut_ptr() as u64, length(room)];
    // SAFETY: the kernel writes the room.
    unsafe { call(Call::ContainerStatistics, &args) }.map(|results| filled(results[0], room))
}

/// A page of its processes, in postcard.
pub(super) fn container_processes(container: Handle, from: u32, room: &mut [u8]) -> Result<usize, Error> {
    let args = [container.0, from.into(), room.as_mut_ptr() as u64, length(room)];
    // SAFETY: the kernel writes the room.
    unsafe { call(Call::ContainerProcesses, &args) }.map(|results| filled(results[0], room))
}

/// What a process has written.
pub(super) fn container_output(
    container: Handle,
    which: Which,
    room: &mut [u8],
) -> Result<OutputRead, Error> {
    let args = [container.0, which.to_word(), room.as_mut_ptr() as u64, length(room)];
    // SAFETY: the kernel writes the room.
    let results = unsafe { call(Call::ContainerOutput, &args) }?;
    Ok(OutputRead { len: filled(results[0], room), lost: results[1] })
}

/// Writes to a process's standard input. Returns how many bytes there was room for.
pub(super) fn container_input(
    container: Handle,
    which: Which,
    bytes: &[u8],
    then: InputEnd,
) -> Result<usize, Error> {
    let end = match then {
        InputEnd::Open => 0,
        InputEnd::Close => 1,
    };
    let args = [container.0, which.to_word(), address(bytes), length(bytes), end];
    // SAFETY: the kernel reads the bytes.
    let results = unsafe { call(Call::ContainerInput, &args) }?;
    Ok(filled(results[0], bytes))
}

/// The next event of a notification's containers: key and two words.
pub(super) fn container_event(events: Handle) -> Result<Results, Error> {
    // SAFETY: no memory is involved.
    unsafe { call(Call::ContainerEvent, &[events.0]) }
}

/// Forgets a process.
pub(super) fn container_forget(container: Handle, which: Which) {
    // SAFETY: no memory is involved.
    let _ = unsafe { call(Call::ContainerForget, &[container.0, which.to_word()]) };
}

/// Why the last step, process or hook was refused: bytes of text, and the position of the step.
pub(super) fn container_fault(container: Handle, room: &mut [u8]) -> Result<(usize, u64), Error> {
    let args = [container.0, room.as_mut_ptr() as u64, length(room)];
    // SAFETY: the kernel writes the room.
    let results = unsafe { call(Call::ContainerFault, &args) }?;
    Ok((filled(results[0], room), results[1]))
}

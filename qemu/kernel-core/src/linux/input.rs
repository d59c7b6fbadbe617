//! What a process started from outside reads from its standard input: a pipe whose other end is the kernel's.
//!
//! The bytes are charged to the group that is named with them: the reader's.

use super::descriptor::{self, End, Fifo};
use super::pipe::Pipe;
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::memory::GroupId;
use crate::thread::Channel;
use crate::vfs::Store;
use bailiwick_protocol::error::Errno;

/// Bytes for a process to read. Give them to [`super::spawn`] or to [`discard_input`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Input(pub(super) u32);

/// Bytes that a process is to find on its standard input, followed by its end unless [`keep_input`] is called.
///
/// # Errors
/// `E2BIG` if they are more than a pipe holds, `ENOMEM`.
pub fn new_input<H: Hw>(k: &mut Kernel<H>, group: GroupId, bytes: &[u8]) -> Result<Input, Errno> {
    let mut frames = Store { memory: &mut k.mem, groups: &mut k.groups };
    let mut pipe = Pipe::new(&frames)?;
    if bytes.len() > pipe.room() {
        return Err(Errno::E2BIG);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match pipe.write(&mut frames, group, rest) {
            Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or(&[]),
            _ => {
                pipe.clear(&mut frames);
                return Err(Errno::ENOMEM);
            }
        }
    }
    Ok(Input(k.linux.pipes.insert(pipe)))
}

/// Gives back what no process was made for.
pub fn discard_input<H: Hw>(k: &mut Kernel<H>, input: Input) {
    if let Some(mut pipe) = k.linux.pipes.remove(input.0) {
        pipe.clear(&mut Store { memory: &mut k.mem, groups: &mut k.groups });
    }
}

/// Keeps the end for writing open, once there is a reader: who has read everything waits for more, until
/// [`close_input`], which must be called once.
pub fn keep_input<H: Hw>(k: &mut Kernel<H>, input: Input) {
    descriptor::open_end(k, input.0, End::Write);
}

/// Writes what there is room for, perhaps nothing, to an input that is kept open. Gives how many bytes that was.
///
/// # Errors
/// `EPIPE` if nobody reads any more, `ENOMEM` if the group may have no more memory.
pub fn write_input<H: Hw>(
    k: &mut Kernel<H>,
    input: Input,
    group: GroupId,
    bytes: &[u8],
) -> Result<usize, Errno> {
    let Kernel { linux, mem, groups, .. } = k;
    let pipe = linux.pipes.get_mut(input.0).filter(|pipe| pipe.readers > 0).ok_or(Errno::EPIPE)?;
    let taken = pipe.write(&mut Store { memory: mem, groups }, group, bytes)?;
    k.wake(Channel::Queue(input.0));
    Ok(taken)
}

/// Ends an input that was kept open: whoever reads comes to the end, once all bytes were taken.
pub fn close_input<H: Hw>(k: &mut Kernel<H>, input: Input) {
    descriptor::close_end(k, input.0, End::Write, Fifo::Nameless);
}

//! Writing to the standard input of a container's process.

use super::{ContainerId, Feed};
use crate::hw::Hw;
use crate::kernel::Kernel;
use crate::linux;
use bailiwick_abi::Which;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::InputEnd;

impl<H: Hw> Kernel<H> {
    /// Writes to the standard input of a process made with [`Stdio::Piped`](bailiwick_protocol::message::Stdio): what
    /// there is room for, perhaps nothing. Gives how many bytes that was; the input ends after them if all were taken and
    /// nothing is to follow. They are charged to the container.
    ///
    /// # Errors
    /// `ESRCH` if there is no such process, `EINVAL` if its input is no pipe, `EPIPE` if that has ended or nobody reads
    /// it any more, `ENOMEM`.
    pub fn container_input(
        &mut self,
        id: ContainerId,
        which: Which,
        bytes: &[u8],
        then: InputEnd,
    ) -> Result<usize, Errno> {
        let c = self.containers.made(id)?;
        let (group, feed) = (c.group, c.member(which).ok_or(Errno::ESRCH)?.feed);
        let input = match feed {
            Feed::None => return Err(Errno::EINVAL),
            Feed::Closed => return Err(Errno::EPIPE),
            Feed::Open(input) => input,
        };
        self.room()?;
        let taken = linux::write_input(self, input, group.ok_or(Errno::EINVAL)?, bytes)?;
        if then == InputEnd::Close && taken == bytes.len() {
            linux::close_input(self, input);
            if let Some(member) = self.containers.made_mut(id)?.member_mut(which) {
                member.feed = Feed::Closed;
            }
        }
        Ok(taken)
    }
}

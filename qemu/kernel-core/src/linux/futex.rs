//! futex(2): waiting on a word of memory, as threads do.
//!
//! A futex is the frame the word is in and the offset in it, so that processes that share the page share the futex.
//! A waiter that is woken looks at the word again; waking only some of the waiters is left to the words themselves.

use super::call::{Call, Outcome, Stop, Waiting};
use super::process::{Interrupted, Progress};
use crate::hw::{Hw, PAGE, Page};
use crate::kernel::Kernel;
use crate::mm::Access;
use crate::ns::ProcessId;
use crate::thread::Channel;
use bailiwick_protocol::error::Errno;
use bailiwick_protocol::message::Nanos;

fn channel<H: Hw>(k: &mut Kernel<H>, process: ProcessId, address: u64) -> Result<Channel, Errno> {
    let page = Page::containing(address).filter(|_| address.is_multiple_of(4)).ok_or(Errno::EFAULT)?;
    let frame = k
        .with_memory(process, |space, s| {
            // A private page that is shared since a fork gets a frame of its own first.
            if space.fault(s, address, Access::Write).is_err() {
                space.fault(s, address, Access::Read)?;
            }
            Ok::<_, Errno>(s.memory.hw.translate(space.space(), page))
        })
        .ok_or(Errno::ESRCH)??;
    let (frame, _) = frame.ok_or(Errno::EFAULT)?;
    Ok(Channel::Futex(frame.0, (address % PAGE as u64) as u16))
}

/// Wakes up to `count` who wait on the word at `address`; returns how many.
pub(crate) fn wake<H: Hw>(k: &mut Kernel<H>, process: ProcessId, address: u64, count: u64) -> u64 {
    let Ok(channel) = channel(k, process, address) else { return 0 };
    let mut woken = 0;
    while woken < count {
        let Some(thread) = k.threads.waiter(channel) else { break };
        if let Ok(task) = super::call::task_of_mut(k, thread) {
            // It was waked for good: when it looks again it does not look at the word.
            task.progress = Progress::Woken;
        }
        k.wake_thread(thread);
        woken += 1;
    }
    woken
}

impl<H: Hw> Call<'_, H> {
    /// futex(2)
    pub(crate) fn futex(&mut self) -> Outcome {
        const PRIVATE: u32 = 128;
        const CLOCK_REALTIME: u32 = 256;
        let command = self.word(1) & !(PRIVATE | CLOCK_REALTIME);
        match command {
            0 | 9 => self.futex_wait(command == 9),
            1 | 10 => Ok(wake(self.k, self.process, self.arg(0), self.word(2).into())),
            _ => Err(Errno::ENOSYS.into()),
        }
    }

    fn futex_wait(&mut self, absolute: bool) -> Outcome {
        let at = self.arg(0);
        if self.task()?.progress == Progress::Woken {
            return Ok(0);
        }
        let channel = channel(self.k, self.process, at)?;
        let progress = self.task()?.progress;
        let deadline = match (self.arg(3), progress) {
            (0, _) => None,
            (_, Progress::Deadline(at)) => Some(at),
            (time, _) => {
                let time = self.read_timespec(time)?;
                let now = self.now().0;
                Some(Nanos(if absolute { self.absolute(time)? } else { now.saturating_add(time) }))
            }
        };
        if self.read_u32(at)? != self.word(2) {
            return Err(Errno::EAGAIN.into());
        }
        if let Some(end) = deadline {
            if end <= self.now() {
                return Err(Errno::ETIMEDOUT.into());
            }
            self.task_mut()?.progress = Progress::Deadline(end);
        }
        Err(Stop::Wait(Waiting {
            channels: alloc::vec![channel],
            deadline,
            interrupted: Interrupted::Restarts,
        }))
    }

    /// An absolute time on the clock the call names, on the kernel's own.
    fn absolute(&self, time: u64) -> Result<u64, Errno> {
        let now = self.now().0;
        if self.word(1) & 256 == 0 {
            return Ok(time);
        }
        let (seconds, nanoseconds) = self.k.mem.hw.realtime();
        let real = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.into());
        Ok(now.saturating_add(time.saturating_sub(real)))
    }
}

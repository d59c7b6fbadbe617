//! Frames: which are free, how many hold on to each, and which resource group pays for it.
//!
//! Each frame in use has one owner group, the one that asked for it first, until its last holder lets go. So
//! what a group is charged is exact by construction: it rises in [`Memory::alloc`] and falls in
//! [`Memory::release`], nowhere else. What objects of the kernel take of its heap is charged beside
//! ([`crate::account`]), to the group that the kernel works for.

use crate::account::{Account, Charged};
use crate::hw::{Frame, Hw, PAGE, Page, Protection, Space};
use crate::mm::Generation;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

/// A resource group. Group 0 is the kernel's own and has no limit. A number is never used again: what still names a
/// group that was removed (a cgroup namespace, a mount, an open file) names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group of the kernel and of native processes that were put in no other.
    pub const ROOT: GroupId = GroupId(0);
}

/// Why there is no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoMemory {
    /// The machine has none left.
    Machine,
    /// This group, or an ancestor of the asking one, is at its limit.
    Group(GroupId),
}

/// Bytes of kernel heap below which no object is made any more.
pub const HEAP_RESERVE: usize = 512 << 10;
/// The same for Linux programs: whatever they do, those who look after containers can go on, and remove some.
pub const LINUX_RESERVE: usize = 2 * HEAP_RESERVE;

/// Whom the kernel works for.
#[derive(Debug)]
pub(crate) struct Served {
    /// Who pays for the objects that are made.
    pub(crate) account: Rc<Account>,
    /// Bytes of kernel heap that are left alone.
    pub(crate) reserve: usize,
}

/// Who may take how much memory: implemented by the resource groups.
pub trait Charge {
    /// Takes one frame's worth from `group` and all its ancestors, or from none.
    ///
    /// # Errors
    /// [`NoMemory::Group`] names the one that is at its limit.
    fn charge(&mut self, group: GroupId) -> Result<(), NoMemory>;
    /// Gives one frame's worth back.
    fn uncharge(&mut self, group: GroupId);
}

#[derive(Clone, Copy)]
enum State {
    /// Not ours to hand out: firmware, kernel image, boot image.
    Fixed,
    /// Free; the next free frame's number.
    Free(Option<u32>),
    /// In use.
    Held { holders: u32, group: GroupId },
}

/// Which frames are whose.
struct Pool {
    frames: Vec<State>,
    first_free: Option<u32>,
    free: usize,
}

impl Pool {
    fn put_free(&mut self, number: u32) {
        if let Some(state) = self.frames.get_mut(number as usize) {
            *state = State::Free(self.first_free);
            self.first_free = Some(number);
            self.free += 1;
        }
    }
    /// A free frame with whatever it held last, held once, charged to `group`.
    fn take(&mut self, groups: &mut (impl Charge + ?Sized), group: GroupId) -> Result<Frame, NoMemory> {
        let number = self.first_free.ok_or(NoMemory::Machine)?;
        groups.charge(group)?;
        let slot = self.frames.get_mut(number as usize).ok_or(NoMemory::Machine)?;
        if let State::Free(next) = *slot {
            self.first_free = next;
        }
        *slot = State::Held { holders: 1, group };
        self.free -= 1;
        Ok(Frame(number))
    }
    fn share(&mut self, frame: Frame) {
        if let Some(State::Held { holders, .. }) = self.frames.get_mut(frame.0 as usize) {
            *holders = holders.saturating_add(1);
        }
    }
    fn release(&mut self, groups: &mut (impl Charge + ?Sized), frame: Frame) {
        match self.frames.get_mut(frame.0 as usize) {
            Some(State::Held { holders, .. }) if *holders > 1 => *holders -= 1,
            Some(State::Held { group, .. }) => {
                groups.uncharge(*group);
                self.put_free(frame.0);
            }
            _ => {}
        }
    }
}

/// All frames, over the machine that holds their bytes.
pub struct Memory<H> {
    /// The machine.
    pub hw: H,
    pool: Pool,
    total: usize,
    account: Rc<Account>,
    served: Served,
    /// How often pages that somebody has seen were moved.
    pub(crate) generation: Generation,
}

impl<H: Hw> Memory<H> {
    /// Takes over the frames in `ranges` (first number, count); every other frame below the highest is fixed.
    pub fn new(hw: H, ranges: &[(u32, u32)]) -> Self {
        let end = ranges.iter().map(|(first, count)| first + count).max().unwrap_or(0);
        let mut pool = Pool { frames: alloc::vec![State::Fixed; end as usize], first_free: None, free: 0 };
        for number in ranges.iter().rev().flat_map(|(first, count)| (*first..first + count).rev()) {
            pool.put_free(number);
        }
        let total = pool.free;
        let account = Account::new(GroupId::ROOT, None, None);
        let served = Served { account: Rc::clone(&account), reserve: HEAP_RESERVE };
        Memory { hw, pool, total, account, served, generation: Generation::default() }
    }

    /// Whether the kernel's heap has room for another object.
    ///
    /// # Errors
    /// `ENOMEM` below [`HEAP_RESERVE`], and for Linux programs below [`LINUX_RESERVE`].
    #[inline]
    pub(crate) fn room(&self) -> Result<(), Errno> {
        if self.hw.heap_free() < self.served.reserve { Err(Errno::ENOMEM) } else { Ok(()) }
    }
    /// Takes so many bytes of the kernel's heap for an object, which whoever the kernel works for pays.
    ///
    /// # Errors
    /// `ENOMEM` as [`Memory::room`], or if who pays is at a limit.
    #[inline]
    pub(crate) fn charge(&self, bytes: usize) -> Result<Charged, Errno> {
        self.room()?;
        Charged::new(&self.served.account, bytes).map_err(|_| Errno::ENOMEM)
    }
    /// The account above all others.
    pub(crate) fn account(&self) -> Rc<Account> {
        Rc::clone(&self.account)
    }
    /// Whom the kernel works for from now on; gives back whom it worked for.
    pub(crate) fn serve(&mut self, served: Served) -> Served {
        core::mem::replace(&mut self.served, served)
    }

    /// Frames there are to hand out, in use or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Frames nobody holds.
    pub fn free(&self) -> usize {
        self.pool.free
    }

    /// A zeroed frame, held once, charged to `group`.
    ///
    /// # Errors
    /// [`NoMemory`]; nothing is charged then.
    pub fn alloc(&mut self, groups: &mut (impl Charge + ?Sized), group: GroupId) -> Result<Frame, NoMemory> {
        let frame = self.pool.take(groups, group)?;
        *self.hw.bytes_mut(frame) = [0; PAGE];
        Ok(frame)
    }

    /// A copy of `from`, held once, charged to `group`.
    ///
    /// # Errors
    /// As [`Memory::alloc`].
    pub(crate) fn alloc_copy(
        &mut self,
        groups: &mut (impl Charge + ?Sized),
        group: GroupId,
        from: Frame,
    ) -> Result<Frame, NoMemory> {
        let frame = self.pool.take(groups, group)?;
        self.hw.copy(from, frame, PAGE);
        Ok(frame)
    }

    /// One more holder of `frame`. Fixed frames are not counted: they are never given back.
    pub fn share(&mut self, frame: Frame) {
        self.pool.share(frame);
    }

    /// Whether exactly one holder is left, so that it may write without copying.
    pub fn is_sole(&self, frame: Frame) -> bool {
        matches!(self.pool.frames.get(frame.0 as usize), Some(State::Held { holders: 1, .. }))
    }

    /// One holder less; the last one frees the frame and its group's charge.
    pub fn release(&mut self, groups: &mut (impl Charge + ?Sized), frame: Frame) {
        self.pool.release(groups, frame);
    }

    /// Removes the first `most` mappings of `start..end`, which are addresses of pages, and with each a holder of its
    /// frame. Returns how many there were.
    pub(crate) fn unmap(
        &mut self,
        groups: &mut (impl Charge + ?Sized),
        space: Space,
        (start, end): (u64, u64),
        most: u32,
    ) -> u32 {
        let Memory { hw, pool, .. } = self;
        hw.unmap_range(space, (start, end), most, |frame| pool.release(groups, frame))
    }

    /// Maps the frames from `frame` on to as many pages, the first and their number, each where none is yet and the table
    /// for it is there, with one more holder. Returns how many were mapped.
    pub(crate) fn map_run(
        &mut self,
        space: Space,
        pages: (Page, u32),
        frame: Frame,
        protection: Protection,
    ) -> u32 {
        let Memory { hw, pool, .. } = self;
        hw.map_run(space, pages, frame, protection, |frame| pool.share(frame))
    }

    /// Everything that `from` paid for, `count` frames, is `to`'s from now on. The charges have been moved already.
    ///
    /// Takes time for each frame of the machine, unless `count` is 0.
    pub(crate) fn bequeath(&mut self, from: GroupId, to: GroupId, count: u64) {
        let mut left = count;
        for state in &mut self.pool.frames {
            if left == 0 {
                return;
            }
            if let State::Held { group, .. } = state
                && *group == from
            {
                *group = to;
                left -= 1;
            }
        }
    }

    /// The frame's bytes.
    pub fn bytes(&self, frame: Frame) -> &[u8; PAGE] {
        self.hw.bytes(frame)
    }

    /// The frame's bytes, to be written. Whoever shares the frame sees it.
    pub fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        self.hw.bytes_mut(frame)
    }
}

//! Page faults: a page is missing, or may not be written yet.

use super::{Access, AddressSpace, Area, Backing, Role, STACK_GAP, Sharing, Supply};
use crate::hw::{Frame, Hw, PAGE, Page, Protection};
use crate::memory::NoMemory;
use bailiwick_protocol::error::Errno;

/// Bytes of a file that one fault maps at most: those of an aligned block of so many. A page that comes along costs a
/// fiftieth of a fault, so that a block is worth its pages if another of them is touched.
const AROUND: u64 = 64 * PAGE as u64;

/// Why an access cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing is mapped there (`SIGSEGV`, `SEGV_MAPERR`).
    Unmapped,
    /// What is mapped there does not allow it (`SIGSEGV`, `SEGV_ACCERR`).
    Denied,
    /// The file ends before it (`SIGBUS`, `BUS_ADRERR`).
    BeyondEnd,
    /// There is no frame for it.
    OutOfMemory(NoMemory),
}

impl From<NoMemory> for Fault {
    fn from(none: NoMemory) -> Self {
        Fault::OutOfMemory(none)
    }
}
impl From<Fault> for Errno {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::OutOfMemory(_) => Errno::ENOMEM,
            _ => Errno::EFAULT,
        }
    }
}

impl AddressSpace {
    /// Makes `address` accessible. After success the access can be made; it may have been possible before.
    ///
    /// # Errors
    /// [`Fault`]; nothing has changed then but perhaps the stack's size.
    pub fn fault<H: Hw>(&mut self, s: &mut Supply<'_, H>, address: u64, access: Access) -> Result<(), Fault> {
        self.touch(s, address, access).map(|_| ())
    }

    /// As [`Self::fault`], and the frame.
    pub(super) fn touch<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        address: u64,
        access: Access,
    ) -> Result<Frame, Fault> {
        let page = Page::containing(address).ok_or(Fault::Unmapped)?;
        let area = match self.area_at(address) {
            Some(area) => *area,
            None => self.grow_stack(page)?,
        };
        if !area.allows(access) {
            return Err(Fault::Denied);
        }
        match s.memory.hw.translate(self.space, page) {
            Some((frame, now)) if now.contains(needed(access)) => Ok(frame),
            Some((frame, _)) => self.widen(s, &area, page, frame, access),
            None => self.bring_in(s, &area, page, access),
        }
    }

    /// Extends the stack down to `page`, if there is one above, its limit allows it and the gap stays.
    fn grow_stack(&mut self, page: Page) -> Result<Area, Fault> {
        let address = page.address();
        let area = *self.area_after(address).ok_or(Fault::Unmapped)?;
        let below = self.areas.range(..address).next_back().map_or(0, |(_, area)| area.end);
        let fits = area.role == Role::Stack
            && area.end - address <= self.stack_max
            && (below == 0 || address - below >= STACK_GAP)
            && self.bytes().saturating_add(area.start - address) <= self.bytes_max;
        if !fits {
            return Err(Fault::Unmapped);
        }
        self.areas.remove(&area.start);
        let grown = Area { start: address, ..area };
        self.areas.insert(address, grown);
        Ok(grown)
    }

    /// A page is there, but less may be done with it than its area allows.
    fn widen<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        area: &Area,
        page: Page,
        frame: Frame,
        access: Access,
    ) -> Result<Frame, Fault> {
        if access == Access::Write
            && let Some(area) = self.areas.get_mut(&area.start)
        {
            area.written = true;
        }
        if access == Access::Write && area.sharing == Sharing::Private && !s.memory.is_sole(frame) {
            let own = s.copy_frame(self.group, frame)?;
            if let Err(none) = self.replace_page(s, page, own, area.protection) {
                s.release(own);
                return Err(none.into());
            }
            s.release(frame);
            return Ok(own);
        }
        if access == Access::Write
            && area.sharing == Sharing::Shared
            && let Some((file, index)) = area.file_index(page.address())
        {
            let own = s.file_page(self.group, file, index, Access::Write).map_err(file_fault(s.starved))?;
            if own != frame {
                s.memory.share(own);
                s.release(frame);
            }
            self.replace_page(s, page, own, area.protection)?;
            return Ok(own);
        }
        let protection = self.mapped_protection(s, area, frame, access);
        self.replace_page(s, page, frame, protection)?;
        Ok(frame)
    }

    /// No page is there yet.
    fn bring_in<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        area: &Area,
        page: Page,
        access: Access,
    ) -> Result<Frame, Fault> {
        let frame = match area.backing {
            Backing::Anonymous => s.frame(self.group)?,
            Backing::File { .. } => {
                let (file, index) = area.file_index(page.address()).ok_or(Fault::BeyondEnd)?;
                let copied = access == Access::Write && area.sharing == Sharing::Private;
                let wanted = if copied { Access::Read } else { access };
                let frame = s.file_page(self.group, file, index, wanted).map_err(file_fault(s.starved))?;
                if copied {
                    s.copy_frame(self.group, frame)?
                } else {
                    s.memory.share(frame);
                    frame
                }
            }
        };
        let protection = self.mapped_protection(s, area, frame, access);
        if let Err(none) = s.map(self.group, self.space, page, frame, protection) {
            s.release(frame);
            return Err(none.into());
        }
        let more = match (area.sharing, access) {
            (Sharing::Private, Access::Read | Access::Execute) => self.bring_in_around(s, area, page),
            _ => 0,
        };
        if let Some(area) = self.areas.get_mut(&area.start) {
            area.resident += 1 + more;
            area.written |= access == Access::Write;
        }
        Ok(frame)
    }

    /// Maps the pages of a file around one that was just mapped, as far as they are in memory: they need no fault of
    /// their own then. Nothing is made or charged for it. Stores fault as ever. Not for shared mappings, which have to
    /// show what the file holds when they are looked at. Returns how many were mapped.
    fn bring_in_around<H: Hw>(&mut self, s: &mut Supply<'_, H>, area: &Area, page: Page) -> u32 {
        let block = page.address() - page.address() % AROUND;
        let (mut at, end) = (block.max(area.start), (block + AROUND).min(area.end));
        let protection = area.protection.difference(Protection::WRITE);
        let mut count = 0;
        while at < end
            && let (Some(first), Some((file, index))) = (Page::containing(at), area.file_index(at))
        {
            let most = ((end - at) / PAGE as u64) as u32;
            let run = s.files.present(file, index, most);
            let pages = run.pages.clamp(1, most);
            if let Some(frame) = run.frame {
                count += s.memory.map_run(self.space, (first, pages), frame, protection);
            }
            at += u64::from(pages) * PAGE as u64;
        }
        count
    }

    /// What a page of `area` can be mapped with: no stores to what others hold, nor to a file's page before the
    /// file knows.
    pub(super) fn mapped_protection<H: Hw>(
        &self,
        s: &Supply<'_, H>,
        area: &Area,
        frame: Frame,
        access: Access,
    ) -> Protection {
        let writable = match (area.sharing, area.backing) {
            (Sharing::Private, _) => s.memory.is_sole(frame),
            (Sharing::Shared, Backing::Anonymous) => true,
            (Sharing::Shared, Backing::File { .. }) => access == Access::Write,
        };
        if writable { area.protection } else { area.protection.difference(Protection::WRITE) }
    }
}

fn needed(access: Access) -> Protection {
    match access {
        Access::Read => Protection::READ,
        Access::Write => Protection::WRITE,
        Access::Execute => Protection::EXECUTE,
    }
}

/// What it means that a file has no page to give.
fn file_fault(starved: &mut Option<NoMemory>) -> impl FnOnce(Errno) -> Fault {
    move |errno| match errno {
        Errno::ENOMEM => {
            let none = starved.unwrap_or(NoMemory::Machine);
            *starved = Some(none);
            Fault::OutOfMemory(none)
        }
        _ => Fault::BeyondEnd,
    }
}

const _: () = assert!(STACK_GAP.is_multiple_of(PAGE as u64));

//! fork(2): the same memory, copied when somebody writes.

use super::{Access, AddressSpace, Area, Backing, Fault, Sharing, Supply};
use crate::hw::{Hw, PAGE, Protection};
use crate::memory::NoMemory;

impl AddressSpace {
    /// A space with the same contents. Private pages are shared by both until one writes; shared ones stay
    /// shared: those that nobody has touched yet are made now, so that both see the same.
    ///
    /// # Errors
    /// [`Fault::OutOfMemory`]; nothing is left of the new space then.
    pub fn fork<H: Hw>(&mut self, s: &mut Supply<'_, H>) -> Result<AddressSpace, Fault> {
        let mut child = AddressSpace::new(s, self.group)?;
        child.top = self.top;
        child.heap_start = self.heap_start;
        child.heap_end = self.heap_end;
        child.bytes_max = self.bytes_max;
        child.stack_max = self.stack_max;
        if child.pay_for(self.areas.len()).is_err() {
            child.destroy(s);
            return Err(Fault::OutOfMemory(NoMemory::Group(self.group)));
        }
        let areas: alloc::vec::Vec<Area> = self.areas.values().copied().collect();
        for area in areas {
            if let Err(fault) = self.fork_area(s, &mut child, &area) {
                child.destroy(s);
                return Err(fault);
            }
        }
        Ok(child)
    }

    fn fork_area<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        child: &mut AddressSpace,
        area: &Area,
    ) -> Result<(), Fault> {
        if let Backing::File { file, .. } = area.backing {
            s.files.hold(file);
        }
        child.areas.insert(area.start, Area { resident: 0, ..*area });
        let all_now = area.sharing == Sharing::Shared
            && area.backing == Backing::Anonymous
            && area.protection.contains(Protection::READ);
        // What is still the file's the child finds there as well, and mostly it does not look: it calls execve(2). mmap(2)
        // leaves open whether a private mapping shows what is written to the file meanwhile.
        let of_file =
            area.sharing == Sharing::Private && !area.written && matches!(area.backing, Backing::File { .. });
        if !all_now && (area.resident == 0 || of_file) {
            return Ok(());
        }
        let mut left = area.resident;
        let mut copied = 0;
        if all_now {
            for address in (area.start..area.end).step_by(PAGE) {
                self.touch(s, address, Access::Read)?;
            }
            left = u32::MAX;
        }
        let mut at = area.start;
        while left > 0
            && let Some(page) = s.memory.hw.next_mapped(self.space, at, area.end)
        {
            at = page.address() + PAGE as u64;
            let Some((frame, protection)) = s.memory.hw.translate(self.space, page) else { continue };
            left = left.saturating_sub(1);
            let kept = match area.sharing {
                Sharing::Private => protection.difference(Protection::WRITE),
                Sharing::Shared => protection,
            };
            s.map(child.group, child.space, page, frame, kept)?;
            s.memory.share(frame);
            copied += 1;
            if let Some(area) = child.areas.get_mut(&area.start) {
                area.resident = copied;
            }
            if kept != protection {
                self.replace_page(s, page, frame, kept)?;
            }
        }
        Ok(())
    }
}

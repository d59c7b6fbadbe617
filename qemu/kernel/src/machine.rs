//! The machine as the rest of the kernel sees it: the implementation of [`Hw`].

use crate::clock::Clock;
use crate::cpu::{self, Features};
use crate::uart::Uart;
use crate::{ISOLATION, heap, paging, physical, power, traps};
use bailiwick_kernel_core::hw::{Frame, Hw, OutOfFrames, PAGE, Page, Protection, Space};
use bailiwick_kernel_core::ranges::{Range, Ranges};
use bailiwick_protocol::message::Nanos;

/// The one machine there is.
pub(crate) struct Machine {
    /// Root of the tables that have the kernel's half only.
    pub(crate) kernel_root: Frame,
    /// Root of those that have what every space has of the kernel: all of it, or its ways in and out.
    pub(crate) common_root: Frame,
    loaded: Space,
    memory: Ranges,
    /// The largest of them, where nearly every frame is.
    most: Range,
    uart: Uart,
    features: Features,
    clock: Clock,
    /// State of the generator that stands in for a processor without one.
    seed: u64,
}

impl Machine {
    /// The machine with this memory, which the first page tables map, and empty frames for the roots of the final
    /// ones: the kernel's, and what every space has of it, which may be the same.
    ///
    /// # Safety
    /// Called once. `memory` is memory, mapped at [`physical::MAP`] as long as the machine is used; the kernel's
    /// image, stacks and heap in it are never named as frames.
    pub(crate) unsafe fn new(
        memory: Ranges,
        [kernel_root, common_root]: [Frame; 2],
        uart: Uart,
        features: Features,
    ) -> Machine {
        let clock = Clock::stopped();
        let most = memory.iter().max_by_key(|range| range.bytes());
        let most = most.unwrap_or(Range { start: 0, end: 0 });
        let seed = cpu::ticks();
        Machine {
            kernel_root,
            common_root,
            loaded: Space(u32::MAX),
            memory,
            most,
            uart,
            features,
            clock,
            seed,
        }
    }

    /// Starts the clock.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Where a frame's bytes are. A frame that is not memory is a mistake of the kernel and ends it.
    fn place(&self, frame: Frame) -> *mut [u8; PAGE] {
        let address = paging::address(frame);
        if !self.most.contains(address) {
            self.must_be_memory(address);
        }
        physical::pointer(address).cast()
    }

    #[cold]
    fn must_be_memory(&self, address: u64) {
        if !self.memory.iter().any(|range| range.contains(address)) {
            power::die(format_args!("{address:#x} is not memory"));
        }
    }

    /// Whether the processor uses these tables now, or, with isolation, will in ring 3.
    pub(crate) fn is_loaded(&self, space: Space) -> bool {
        self.loaded == space
    }

    /// Makes the processor use these tables: at once, or, with isolation, on its way to ring 3.
    pub(crate) fn load_space(&mut self, space: Space) {
        if self.loaded != space {
            self.loaded = space;
            let root = paging::address(Frame(space.0));
            if ISOLATION {
                traps::set_user_tables(root);
            } else {
                // SAFETY: the root of a space has the kernel's half, which is the same in all of them.
                unsafe { cpu::load_tables(root) };
            }
        }
    }

    /// Makes the processor use the kernel's own tables, from here on or whenever it comes into the kernel.
    pub(crate) fn load_kernel(&mut self) {
        let root = paging::address(self.kernel_root);
        traps::set_kernel_tables(root);
        self.loaded = Space(self.kernel_root.0);
        // SAFETY: these are the kernel's half.
        unsafe { cpu::load_tables(root) };
    }
}

impl Hw for Machine {
    fn bytes(&self, frame: Frame) -> &[u8; PAGE] {
        // SAFETY: mapped memory, as the maker of this machine promised. Frames are reached through the one machine
        // only, so what borrows it is the only one to look at them; ring 3 does not run meanwhile.
        unsafe { &*self.place(frame) }
    }
    fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { &mut *self.place(frame) }
    }
    fn copy(&mut self, from: Frame, to: Frame, length: usize) {
        let (from, to) = (self.place(from).cast_const().cast::<u8>(), self.place(to).cast::<u8>());
        // SAFETY: as above, for both; within a frame, and they are the same one or have nothing in common.
        unsafe { core::ptr::copy(from, to, length.min(PAGE)) }
    }

    fn space_new(&mut self, root: Frame) -> Space {
        self.new_space(root)
    }
    fn space_root(&self, space: Space) -> Frame {
        Frame(space.0)
    }
    fn space_clear(&mut self, space: Space, release: &mut dyn FnMut(Frame)) {
        self.clear_space(space, release);
    }
    fn map(
        &mut self,
        space: Space,
        page: Page,
        frame: Frame,
        protection: Protection,
        table: &mut dyn FnMut() -> Option<Frame>,
    ) -> Result<(), OutOfFrames> {
        self.map_page(space, page, frame, protection, table)
    }
    fn unmap(&mut self, space: Space, page: Page) -> Option<Frame> {
        self.unmap_page(space, page)
    }
    fn unmap_range(&mut self, space: Space, range: (u64, u64), most: u32, each: impl FnMut(Frame)) -> u32 {
        self.unmap_pages(space, range, most, each)
    }
    fn map_run(
        &mut self,
        space: Space,
        pages: (Page, u32),
        frame: Frame,
        protection: Protection,
        each: impl FnMut(Frame),
    ) -> u32 {
        self.map_pages(space, pages, frame, protection, each)
    }
    fn translate(&self, space: Space, page: Page) -> Option<(Frame, Protection)> {
        self.translate_page(space, page)
    }
    fn next_mapped(&self, space: Space, from: u64, end: u64) -> Option<Page> {
        self.next_page(space, from, end)
    }

    fn now(&self) -> Nanos {
        self.clock.now()
    }
    fn realtime(&self) -> (u64, u32) {
        self.clock.realtime()
    }
    fn random(&mut self) -> u64 {
        if let Some(number) = self.features.random.then(cpu::random).flatten() {
            return number;
        }
        // SplitMix64, stirred with the time of each call.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ cpu::ticks();
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn heap_free(&self) -> usize {
        heap::free()
    }
    fn console_write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.uart.send(*byte));
    }
    fn console_read(&mut self) -> Option<u8> {
        self.uart.receive()
    }
    fn power_off(&mut self, status: u8) -> ! {
        power::off(status)
    }
}

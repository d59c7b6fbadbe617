use super::*;
use crate::hw::{PAGE, USER_END};
use crate::testing::{Counts, FakeHw};

const GROUP: GroupId = GroupId(3);

/// One file of `pages` pages, each filled with its number plus one, held in frames of its own.
#[derive(Default)]
struct OneFile {
    frames: alloc::vec::Vec<Frame>,
    holders: i32,
}

impl Files for OneFile {
    fn page(
        &mut self,
        _: &mut dyn Frames,
        _: GroupId,
        _: FileId,
        index: u32,
        _: Access,
    ) -> Result<Frame, Errno> {
        self.frames.get(index as usize).copied().ok_or(Errno::ENXIO)
    }
    fn present(&self, _: FileId, index: u32, most: u32) -> Run {
        match self.frames.get(index as usize) {
            Some(frame) => Run { frame: Some(*frame), pages: 1 },
            None => Run { frame: None, pages: most },
        }
    }
    fn hold(&mut self, _: FileId) {
        self.holders += 1;
    }
    fn close(&mut self, _: &mut dyn Frames, _: FileId) {
        self.holders -= 1;
        assert!(self.holders >= 0, "a file was closed too often");
    }
}

struct World {
    memory: Memory<FakeHw>,
    groups: Counts,
    files: OneFile,
    starved: Option<NoMemory>,
}

impl World {
    fn new() -> World {
        let mut memory = FakeHw::memory(512);
        let mut groups = Counts::default();
        let mut files = OneFile::default();
        for number in 0..3 {
            let frame = memory.alloc(&mut groups, GroupId::ROOT).unwrap();
            memory.bytes_mut(frame).fill(number + 1);
            files.frames.push(frame);
        }
        World { memory, groups, files, starved: None }
    }
    fn supply(&mut self) -> Supply<'_, FakeHw> {
        Supply {
            memory: &mut self.memory,
            groups: &mut self.groups,
            files: &mut self.files,
            starved: &mut self.starved,
        }
    }
}

const RW: Protection = Protection::READ.union(Protection::WRITE);

fn anonymous(pages: u64) -> MapRequest {
    MapRequest {
        place: Place::Hint(0),
        length: pages * PAGE as u64,
        protection: RW,
        sharing: Sharing::Private,
        backing: Backing::Anonymous,
        may_write: true,
        role: Role::Plain,
    }
}
fn of_file(sharing: Sharing, protection: Protection) -> MapRequest {
    MapRequest { sharing, protection, backing: Backing::File { file: FileId(0), offset: 0 }, ..anonymous(4) }
}

/// Runs `work` in a fresh space and checks that nothing is left afterwards.
fn leaves_nothing(work: impl FnOnce(&mut AddressSpace, &mut World)) {
    let mut world = World::new();
    let before = world.memory.free();
    let mut space = AddressSpace::new(&mut world.supply(), GROUP).unwrap();
    work(&mut space, &mut world);
    space.destroy(&mut world.supply());
    assert_eq!(world.memory.free(), before, "frames leaked");
    assert_eq!(world.groups.used(GROUP), 0, "charge leaked");
    assert_eq!(world.files.holders, 0, "files leaked");
}

#[test]
fn untouched_memory_costs_nothing_and_reads_as_zeros() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), anonymous(100)).unwrap();
        assert_eq!(world.groups.used(GROUP), 1);
        assert_eq!(space.read_u64(&mut world.supply(), at + 8).unwrap(), 0);
        assert_eq!(space.resident(), 1);
    });
}

#[test]
fn after_fork_neither_side_sees_the_others_stores() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), anonymous(3)).unwrap();
        space.write(&mut world.supply(), at, &[1; 3 * PAGE]).unwrap();
        let mut child = space.fork(&mut world.supply()).unwrap();
        let used = world.groups.used(GROUP);
        child.write(&mut world.supply(), at, b"child").unwrap();
        space.write(&mut world.supply(), at + PAGE as u64, b"parent").unwrap();
        assert_eq!(world.groups.used(GROUP), used + 2, "one copy for each store");
        let read = |space: &mut AddressSpace, world: &mut World, at| {
            space.read_array::<_, 5>(&mut world.supply(), at).unwrap()
        };
        assert_eq!(&read(&mut child, world, at), b"child");
        assert_eq!(read(space, world, at), [1; 5]);
        assert_eq!(read(&mut child, world, at + PAGE as u64), [1; 5]);
        assert_eq!(&read(space, world, at + PAGE as u64), b"paren");
        child.destroy(&mut world.supply());
        space.write(&mut world.supply(), at + 2 * PAGE as u64, b"alone again").unwrap();
        assert_eq!(space.resident(), 3);
    });
}

#[test]
fn shared_memory_stays_shared_over_fork_even_if_untouched() {
    leaves_nothing(|space, world| {
        let request = MapRequest { sharing: Sharing::Shared, ..anonymous(2) };
        let at = space.map(&mut world.supply(), request).unwrap();
        let mut child = space.fork(&mut world.supply()).unwrap();
        child.write(&mut world.supply(), at + PAGE as u64, b"x").unwrap();
        assert_eq!(&space.read_array::<_, 1>(&mut world.supply(), at + PAGE as u64).unwrap(), b"x");
        child.destroy(&mut world.supply());
    });
}

#[test]
fn a_private_mapping_shows_the_files_own_frames_until_it_is_written() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), of_file(Sharing::Private, RW)).unwrap();
        let used = world.groups.used(GROUP);
        assert_eq!(space.read_array::<_, 2>(&mut world.supply(), at + PAGE as u64).unwrap(), [2, 2]);
        assert_eq!(world.groups.used(GROUP), used, "reading copies nothing");
        space.write(&mut world.supply(), at, b"mine").unwrap();
        let file_frame = world.files.frames[0];
        assert_eq!(world.memory.bytes(file_frame)[0], 1, "the file is not changed");
        assert_eq!(
            space.fault(&mut world.supply(), at + 3 * PAGE as u64, Access::Read),
            Err(Fault::BeyondEnd)
        );
    });
}

#[test]
fn a_fault_in_a_private_mapping_brings_its_neighbours_of_the_file_along_and_pays_for_none() {
    leaves_nothing(|space, world| {
        let read = Protection::READ;
        let private = space.map(&mut world.supply(), of_file(Sharing::Private, read)).unwrap();
        let shared = space.map(&mut world.supply(), of_file(Sharing::Shared, read)).unwrap();
        let used = world.groups.used(GROUP);
        space.fault(&mut world.supply(), private + PAGE as u64, Access::Read).unwrap();
        assert_eq!(space.resident(), 3, "all that the file has");
        assert_eq!(world.groups.used(GROUP), used);
        space.fault(&mut world.supply(), shared, Access::Read).unwrap();
        assert_eq!(space.resident(), 4, "a shared mapping shows what is in the file when it is looked at");
        for at in 0..3 {
            let seen = space.read_array::<_, 1>(&mut world.supply(), private + at * PAGE as u64).unwrap();
            assert_eq!(seen, [at as u8 + 1]);
        }
    });
}

#[test]
fn a_fault_brings_an_aligned_block_of_a_long_file_along_and_no_more() {
    leaves_nothing(|space, world| {
        const BLOCK: u64 = 64;
        let frame = world.files.frames[0];
        world.files.frames = alloc::vec![frame; 4 * BLOCK as usize];
        let length = 3 * BLOCK * PAGE as u64;
        let place = Place::Fixed((5 * BLOCK + 1) * PAGE as u64);
        let request = MapRequest { place, length, ..of_file(Sharing::Private, Protection::READ) };
        let at = space.map(&mut world.supply(), request).unwrap();
        space.fault(&mut world.supply(), at, Access::Read).unwrap();
        assert_eq!(space.resident(), BLOCK - 1, "the first block begins before the mapping");
        space.fault(&mut world.supply(), at + length / 2, Access::Read).unwrap();
        assert_eq!(space.resident(), 2 * BLOCK - 1);
    });
}

#[test]
fn a_forked_child_finds_in_the_file_what_nobody_wrote_and_has_copies_of_the_rest() {
    leaves_nothing(|space, world| {
        let text = space.map(&mut world.supply(), of_file(Sharing::Private, Protection::READ)).unwrap();
        let data = space.map(&mut world.supply(), of_file(Sharing::Private, RW)).unwrap();
        space.fault(&mut world.supply(), text, Access::Read).unwrap();
        space.write(&mut world.supply(), data + PAGE as u64, b"mine").unwrap();
        space.protect(&mut world.supply(), data, 3 * PAGE as u64, Protection::READ).unwrap();
        let mut child = space.fork(&mut world.supply()).unwrap();
        assert_eq!(child.areas().map(|area| area.resident).min(), Some(0), "nothing of the text is copied");
        for at in [text, data] {
            for offset in (0..3 * PAGE as u64).step_by(PAGE) {
                let theirs = child.read_array::<_, 4>(&mut world.supply(), at + offset).unwrap();
                let ours = space.read_array::<_, 4>(&mut world.supply(), at + offset).unwrap();
                assert_eq!(theirs, ours, "{:#x}", at + offset);
            }
        }
        assert_eq!(&child.read_array::<_, 4>(&mut world.supply(), data + PAGE as u64).unwrap(), b"mine");
        child.destroy(&mut world.supply());
    });
}

#[test]
fn what_a_fault_brought_along_is_copied_when_it_is_written() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), of_file(Sharing::Private, RW)).unwrap();
        space.fault(&mut world.supply(), at, Access::Read).unwrap();
        space.write(&mut world.supply(), at + PAGE as u64, b"mine").unwrap();
        let file_frame = world.files.frames[1];
        assert_eq!(world.memory.bytes(file_frame)[0], 2, "the file is not changed");
        assert_eq!(space.resident(), 3);
    });
}

#[test]
fn a_shared_mapping_writes_the_file() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), of_file(Sharing::Shared, RW)).unwrap();
        space.read_u64(&mut world.supply(), at).unwrap();
        space.write(&mut world.supply(), at, b"!").unwrap();
        let file_frame = world.files.frames[0];
        assert_eq!(world.memory.bytes(file_frame)[0], b'!');
        let request = MapRequest { may_write: false, ..of_file(Sharing::Shared, Protection::READ) };
        let read_only = space.map(&mut world.supply(), request).unwrap();
        assert_eq!(space.protect(&mut world.supply(), read_only, 4096, RW), Err(Errno::EACCES));
    });
}

#[test]
fn writable_and_executable_at_once_is_refused_and_counted() {
    leaves_nothing(|space, world| {
        let request = MapRequest { protection: Protection::all(), ..anonymous(1) };
        assert_eq!(space.map(&mut world.supply(), request), Err(Errno::EACCES));
        let at = space.map(&mut world.supply(), anonymous(1)).unwrap();
        assert_eq!(space.protect(&mut world.supply(), at, 4096, Protection::all()), Err(Errno::EACCES));
        assert_eq!(space.refused_write_execute, 2);
        space.write(&mut world.supply(), at, b"code").unwrap();
        let execute = Protection::READ | Protection::EXECUTE;
        space.protect(&mut world.supply(), at, 4096, execute).unwrap();
        assert_eq!(space.fault(&mut world.supply(), at, Access::Write), Err(Fault::Denied));
        assert_eq!(space.fault(&mut world.supply(), at, Access::Execute), Ok(()));
    });
}

#[test]
fn a_hole_in_the_middle_splits_a_mapping_and_mprotect_finds_it() {
    leaves_nothing(|space, world| {
        let page = PAGE as u64;
        let at = space.map(&mut world.supply(), anonymous(5)).unwrap();
        space.write(&mut world.supply(), at, &[7; 5 * PAGE]).unwrap();
        space.unmap(&mut world.supply(), at + 2 * page, page).unwrap();
        assert_eq!(space.areas().count(), 2);
        assert_eq!(space.resident(), 4);
        assert_eq!(space.fault(&mut world.supply(), at + 2 * page, Access::Read), Err(Fault::Unmapped));
        assert_eq!(space.protect(&mut world.supply(), at, 5 * page, Protection::READ), Err(Errno::ENOMEM));
        assert_eq!(space.read_array::<_, 1>(&mut world.supply(), at + 4 * page).unwrap(), [7]);
    });
}

#[test]
fn protect_none_keeps_the_contents() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), anonymous(1)).unwrap();
        space.write(&mut world.supply(), at, b"kept").unwrap();
        space.protect(&mut world.supply(), at, 4096, Protection::empty()).unwrap();
        assert_eq!(space.fault(&mut world.supply(), at, Access::Read), Err(Fault::Denied));
        space.protect(&mut world.supply(), at, 4096, RW).unwrap();
        assert_eq!(&space.read_array::<_, 4>(&mut world.supply(), at).unwrap(), b"kept");
    });
}

#[test]
fn user_copies_stop_at_every_boundary() {
    leaves_nothing(|space, world| {
        let page = PAGE as u64;
        space.set_top(USER_END - (1 << 20));
        let at = space.map(&mut world.supply(), anonymous(2)).unwrap();
        let end = at + 2 * page;
        for length in [1usize, 8, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE] {
            let bytes = alloc::vec![9u8; length];
            let last = end - length as u64;
            assert_eq!(space.write(&mut world.supply(), last, &bytes), Ok(()));
            assert_eq!(space.write(&mut world.supply(), last + 1, &bytes), Err(Fault::Unmapped));
            let mut back = alloc::vec![0u8; length];
            assert_eq!(space.read(&mut world.supply(), last, &mut back), Ok(()));
            assert_eq!(back, bytes);
            assert_eq!(space.read(&mut world.supply(), last + 1, &mut back), Err(Fault::Unmapped));
        }
        for bad in [0, 8, USER_END - 4, USER_END, 0xffff_8000_0000_0000, u64::MAX - 3, u64::MAX] {
            assert_eq!(space.read_u64(&mut world.supply(), bad), Err(Fault::Unmapped), "{bad:#x}");
            assert_eq!(space.write(&mut world.supply(), bad, &[0; 8]), Err(Fault::Unmapped), "{bad:#x}");
            assert_eq!(space.read_string(&mut world.supply(), bad, 10), Err(Errno::EFAULT), "{bad:#x}");
        }
        space.protect(&mut world.supply(), at + page, page, Protection::READ).unwrap();
        assert_eq!(space.write(&mut world.supply(), at + page - 4, &[0; 8]), Err(Fault::Denied));
        assert_eq!(space.reach(&mut world.supply(), at + page - 4, 8, Access::Write), 4);
    });
}

#[test]
fn strings_end_at_their_zero_byte_even_beside_a_hole() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), anonymous(1)).unwrap();
        let end = at + PAGE as u64;
        space.write(&mut world.supply(), end - 4, b"abc\0").unwrap();
        assert_eq!(space.read_string(&mut world.supply(), end - 4, 100).unwrap(), b"abc");
        space.write(&mut world.supply(), end - 1, b"d").unwrap();
        assert_eq!(space.read_string(&mut world.supply(), end - 4, 100), Err(Errno::EFAULT));
        assert_eq!(space.read_string(&mut world.supply(), end - 4, 3), Err(Errno::ENAMETOOLONG));
    });
}

#[test]
fn a_stack_grows_to_its_limit_and_keeps_its_gap() {
    leaves_nothing(|space, world| {
        let top = USER_END - (1 << 20);
        space.stack_max = 16 * PAGE as u64;
        let start = top - PAGE as u64;
        let request = MapRequest { place: Place::Fixed(start), role: Role::Stack, ..anonymous(1) };
        space.map(&mut world.supply(), request).unwrap();
        let low = top - 16 * PAGE as u64;
        assert_eq!(space.fault(&mut world.supply(), low, Access::Write), Ok(()));
        assert_eq!(space.fault(&mut world.supply(), low - 1, Access::Write), Err(Fault::Unmapped));
        assert_eq!(space.area_at(low).unwrap().start, low);
        let near = space.map(&mut world.supply(), anonymous(1)).unwrap();
        assert!(near + PAGE as u64 + STACK_GAP <= low || near >= top);
    });
}

#[test]
fn mappings_can_grow_shrink_and_move_with_their_contents() {
    leaves_nothing(|space, world| {
        let page = PAGE as u64;
        let at = space.map(&mut world.supply(), anonymous(2)).unwrap();
        space.write(&mut world.supply(), at + page, b"here").unwrap();
        assert_eq!(space.resize(&mut world.supply(), at, 2 * page, 4 * page, None), Err(Errno::ENOMEM));
        let moved = space.resize(&mut world.supply(), at, 2 * page, 4 * page, Some(Place::Hint(0))).unwrap();
        assert_ne!(moved, at);
        assert_eq!(&space.read_array::<_, 4>(&mut world.supply(), moved + page).unwrap(), b"here");
        assert_eq!(space.fault(&mut world.supply(), at, Access::Read), Err(Fault::Unmapped));
        assert_eq!(space.resize(&mut world.supply(), moved, 4 * page, page, None), Ok(moved));
        assert_eq!(space.resident(), 0);
    });
}

#[test]
fn the_heap_grows_and_shrinks_and_stops_at_its_neighbour() {
    leaves_nothing(|space, world| {
        let page = PAGE as u64;
        space.set_heap(0x10_0000);
        assert_eq!(space.set_heap_end(&mut world.supply(), 0), 0x10_0000);
        assert_eq!(space.set_heap_end(&mut world.supply(), 0x10_0000 + 5000), 0x10_0000 + 5000);
        space.write(&mut world.supply(), 0x10_0000 + 4999, b"x").unwrap();
        let wall = MapRequest { place: Place::Fixed(0x11_0000), ..anonymous(1) };
        space.map(&mut world.supply(), wall).unwrap();
        assert_eq!(space.set_heap_end(&mut world.supply(), 0x11_0000), 0x10_0000 + 5000);
        assert_eq!(space.set_heap_end(&mut world.supply(), 0x10_0000), 0x10_0000);
        assert_eq!(space.fault(&mut world.supply(), 0x10_0000 + page, Access::Read), Err(Fault::Unmapped));
    });
}

#[test]
fn a_group_at_its_limit_gets_a_fault_that_names_it_and_fork_leaves_nothing_behind() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), anonymous(8)).unwrap();
        space.write(&mut world.supply(), at, &[1; 4 * PAGE]).unwrap();
        world.groups.limits.insert(GROUP, world.groups.used(GROUP));
        let none = NoMemory::Group(GROUP);
        let fault = space.fault(&mut world.supply(), at + 4 * PAGE as u64, Access::Write);
        assert_eq!(fault, Err(Fault::OutOfMemory(none)));
        assert_eq!(world.starved, Some(none));
        let used = world.groups.used(GROUP);
        assert!(space.fork(&mut world.supply()).is_err());
        assert_eq!(world.groups.used(GROUP), used);
        space.write(&mut world.supply(), at, b"still writable").unwrap();
    });
}

#[test]
fn dont_need_forgets_private_pages() {
    leaves_nothing(|space, world| {
        let at = space.map(&mut world.supply(), anonymous(2)).unwrap();
        space.write(&mut world.supply(), at, &[5; 2 * PAGE]).unwrap();
        space.advise(&mut world.supply(), at, 4096, Advice::DontNeed).unwrap();
        assert_eq!(space.read_array::<_, 1>(&mut world.supply(), at).unwrap(), [0]);
        assert_eq!(space.read_array::<_, 1>(&mut world.supply(), at + 4096).unwrap(), [5]);
    });
}

fn elf_with(machine: u16, flags: u32, offset: u64) -> alloc::vec::Vec<u8> {
    let mut file = alloc::vec![0u8; 120];
    file[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file[16..18].copy_from_slice(&2u16.to_le_bytes());
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    file[20..24].copy_from_slice(&1u32.to_le_bytes());
    file[24..32].copy_from_slice(&0x40_0078u64.to_le_bytes());
    file[32..40].copy_from_slice(&64u64.to_le_bytes());
    file[52..54].copy_from_slice(&64u16.to_le_bytes());
    file[54..56].copy_from_slice(&56u16.to_le_bytes());
    file[56..58].copy_from_slice(&1u16.to_le_bytes());
    file[64..68].copy_from_slice(&1u32.to_le_bytes());
    file[68..72].copy_from_slice(&flags.to_le_bytes());
    file[72..80].copy_from_slice(&offset.to_le_bytes());
    file[80..88].copy_from_slice(&0x40_0000u64.to_le_bytes());
    file[96..104].copy_from_slice(&0x100u64.to_le_bytes());
    file[104..112].copy_from_slice(&0x3000u64.to_le_bytes());
    file
}

#[test]
fn a_program_is_mapped_and_what_is_none_is_refused() {
    leaves_nothing(|space, world| {
        let image = parse(&elf_with(62, 6, 0)).unwrap();
        let loaded = space.load(&mut world.supply(), &image, FileId(0), None).unwrap();
        assert_eq!((loaded.entry, loaded.headers, loaded.end), (0x40_0078, 0x40_0040, 0x40_3000));
        assert_eq!(space.read_array::<_, 1>(&mut world.supply(), 0x40_00ff).unwrap(), [1]);
        assert_eq!(space.read_array::<_, 1>(&mut world.supply(), 0x40_0100).unwrap(), [0]);
        assert_eq!(space.read_array::<_, 1>(&mut world.supply(), 0x40_2fff).unwrap(), [0]);
        for bad in
            [&elf_with(40, 6, 0)[..], &elf_with(62, 6, 1), &elf_with(62, 6, 0)[..100], b"", b"#!/bin/sh"]
        {
            assert_eq!(parse(bad).unwrap_err(), Errno::ENOEXEC);
        }
    });
}

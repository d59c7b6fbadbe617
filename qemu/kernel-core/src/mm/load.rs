//! ELF programs: what a file asks for, and mapping it.

use super::{AddressSpace, Backing, MapRequest, Place, Role, Sharing, Supply};
use crate::hw::{Hw, PAGE, Protection};
use crate::vfs::FileId;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use elf::abi;
use elf::endian::LittleEndian;
use elf::file::Class;

const MASK: u64 = PAGE as u64 - 1;

/// Bytes of an ELF file header.
const FILE_HEADER: usize = 64;

/// Most program headers that are looked at.
pub const MAX_HEADERS: usize = 64;

/// One `PT_LOAD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Segment {
    offset: u64,
    address: u64,
    file_bytes: u64,
    bytes: u64,
    protection: Protection,
}

/// What an ELF file for this machine asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    segments: Vec<Segment>,
    entry: u64,
    /// Whether it can be anywhere (`ET_DYN`).
    relocatable: bool,
    headers: (u64, u64),
    /// Where in the file the interpreter's path is, and how long it is with its zero byte.
    pub interpreter: Option<(u64, usize)>,
}

/// Where a program was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Its first instruction.
    pub entry: u64,
    /// What was added to its addresses.
    pub base: u64,
    /// Where its program headers are (`AT_PHDR`).
    pub headers: u64,
    /// How many they are.
    pub header_count: u64,
    /// First address after it.
    pub end: u64,
}

/// Reads the headers; `start` is the file's beginning, [`PAGE`] bytes if it has that many.
///
/// # Errors
/// `ENOEXEC` if it is no ELF program for this machine, or its headers make no sense.
pub fn parse(start: &[u8]) -> Result<Image, Errno> {
    let no = |_| Errno::ENOEXEC;
    // The parser takes a complete header for granted.
    if start.len() < FILE_HEADER {
        return Err(Errno::ENOEXEC);
    }
    let ident = elf::file::parse_ident::<LittleEndian>(start).map_err(no)?;
    if ident.1 != Class::ELF64 {
        return Err(Errno::ENOEXEC);
    }
    let tail = start.get(abi::EI_NIDENT..).ok_or(Errno::ENOEXEC)?;
    let header = elf::file::FileHeader::parse_tail(ident, tail).map_err(no)?;
    let kind_fits = matches!(header.e_type, abi::ET_EXEC | abi::ET_DYN);
    if !kind_fits || header.e_machine != abi::EM_X86_64 || header.e_phentsize != 56 {
        return Err(Errno::ENOEXEC);
    }
    let count = usize::from(header.e_phnum);
    let first = usize::try_from(header.e_phoff).map_err(|_| Errno::ENOEXEC)?;
    let table = first
        .checked_add(count * 56)
        .filter(|_| (1..=MAX_HEADERS).contains(&count))
        .and_then(|end| start.get(first..end))
        .ok_or(Errno::ENOEXEC)?;
    let mut image = Image {
        segments: Vec::new(),
        entry: header.e_entry,
        relocatable: header.e_type == abi::ET_DYN,
        headers: (header.e_phoff, u64::from(header.e_phnum)),
        interpreter: None,
    };
    let headers = elf::segment::SegmentTable::new(LittleEndian, Class::ELF64, table);
    for header in headers.iter() {
        match header.p_type {
            abi::PT_LOAD if header.p_memsz > 0 => image.segments.push(segment(&header)?),
            abi::PT_INTERP => {
                let length = usize::try_from(header.p_filesz).map_err(|_| Errno::ENOEXEC)?;
                if !(2..=super::user::PATH_MAX).contains(&length) {
                    return Err(Errno::ENOEXEC);
                }
                image.interpreter = Some((header.p_offset, length));
            }
            _ => {}
        }
    }
    if image.segments.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    Ok(image)
}

fn segment(header: &elf::segment::ProgramHeader) -> Result<Segment, Errno> {
    let mut protection = Protection::empty();
    for (bit, flag) in
        [(abi::PF_R, Protection::READ), (abi::PF_W, Protection::WRITE), (abi::PF_X, Protection::EXECUTE)]
    {
        protection.set(flag, header.p_flags & bit != 0);
    }
    let end = header.p_vaddr.checked_add(header.p_memsz);
    let fits = end.is_some_and(|end| end <= crate::hw::USER_END)
        && header.p_filesz <= header.p_memsz
        && header.p_offset.checked_add(header.p_filesz).is_some()
        && header.p_offset & MASK == header.p_vaddr & MASK;
    if !fits {
        return Err(Errno::ENOEXEC);
    }
    Ok(Segment {
        offset: header.p_offset,
        address: header.p_vaddr,
        file_bytes: header.p_filesz,
        bytes: header.p_memsz,
        protection,
    })
}

impl Image {
    /// First and last address it asks for.
    fn extent(&self) -> (u64, u64) {
        let low = self.segments.iter().map(|s| s.address & !MASK).min().unwrap_or(0);
        let high = self.segments.iter().map(|s| s.address.saturating_add(s.bytes)).max().unwrap_or(0);
        (low, high)
    }
    /// Whether it must be given a base address.
    pub fn is_relocatable(&self) -> bool {
        self.relocatable
    }
}

impl AddressSpace {
    /// Maps a program. One that can be anywhere goes to `base`, or where there is room.
    ///
    /// # Errors
    /// `ENOEXEC`, `ENOMEM`, `EACCES` (a segment that is writable and executable).
    pub fn load<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        image: &Image,
        file: FileId,
        base: Option<u64>,
    ) -> Result<Loaded, Errno> {
        let (low, high) = image.extent();
        let length = high.checked_sub(low).ok_or(Errno::ENOEXEC)?.saturating_add(MASK) & !MASK;
        let offset = if image.relocatable {
            let at = match base {
                Some(base) if self.is_free(base, base.saturating_add(length)) => base & !MASK,
                _ => self.find_room(length).ok_or(Errno::ENOMEM)?,
            };
            at.checked_sub(low).ok_or(Errno::ENOEXEC)?
        } else {
            0
        };
        for segment in &image.segments {
            self.load_segment(s, segment, file, offset)?;
        }
        let (table, count) = image.headers;
        let headers = image
            .segments
            .iter()
            .find(|s| table >= s.offset && table < s.offset + s.file_bytes)
            .map_or(0, |s| s.address + (table - s.offset) + offset);
        Ok(Loaded {
            entry: image.entry.wrapping_add(offset),
            base: offset,
            headers,
            header_count: count,
            end: high + offset,
        })
    }

    fn load_segment<H: Hw>(
        &mut self,
        s: &mut Supply<'_, H>,
        segment: &Segment,
        file: FileId,
        offset: u64,
    ) -> Result<(), Errno> {
        let address = segment.address.checked_add(offset).ok_or(Errno::ENOMEM)?;
        let start = address & !MASK;
        let file_end = address.checked_add(segment.file_bytes).ok_or(Errno::ENOMEM)?;
        let end = address.checked_add(segment.bytes).ok_or(Errno::ENOMEM)?.saturating_add(MASK) & !MASK;
        let file_pages_end =
            if segment.file_bytes == 0 { start } else { file_end.saturating_add(MASK) & !MASK };
        let request = |start: u64, end: u64, backing: Backing| MapRequest {
            place: Place::FixedNoReplace(start),
            length: end - start,
            protection: segment.protection,
            sharing: Sharing::Private,
            backing,
            may_write: true,
            role: Role::Plain,
        };
        if file_pages_end > start {
            let backing = Backing::File { file, offset: segment.offset & !MASK };
            self.map(s, request(start, file_pages_end, backing)).map_err(overlap)?;
        }
        if end > file_pages_end {
            self.map(s, request(file_pages_end, end, Backing::Anonymous)).map_err(overlap)?;
        }
        if segment.bytes > segment.file_bytes
            && file_end < file_pages_end
            && segment.protection.contains(Protection::WRITE)
        {
            self.clear(s, file_end, (file_pages_end - file_end) as usize)?;
        }
        Ok(())
    }
}

/// Segments that overlap are no program.
fn overlap(errno: Errno) -> Errno {
    if errno == Errno::EEXIST { Errno::ENOEXEC } else { errno }
}

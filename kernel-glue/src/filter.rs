//! System-call filters: small programs of classic BPF over `struct seccomp_data` (seccomp(2), bpf(4) of the BSDs).
//!
//! The planner compiles a configuration's rules to a [`Filter`]; Linux loads it as it is, our own kernel interprets
//! it. Programs come from the planner, yet whoever interprets one trusts nothing in it: see [`Filter::verify`].

use alloc::vec::Vec;
use bitflags::bitflags;
use serde::{Deserialize, Serialize};

/// Longest program (`BPF_MAXINSNS` of Linux).
pub const INSTRUCTIONS_MAX: usize = 4096;
/// Bytes of `struct seccomp_data`: number, architecture, instruction pointer, six arguments.
pub const DATA_LEN: u32 = 64;
/// Where the system call's number is in it.
pub const DATA_NUMBER: u32 = 0;
/// Where the architecture is in it, one of `AUDIT_ARCH_*` of `linux/audit.h`.
pub const DATA_ARCHITECTURE: u32 = 4;
/// Where the first argument is in it; eight bytes each, the lower half first.
pub const DATA_ARGUMENTS: u32 = 16;

/// `AUDIT_ARCH_X86_64`: also of calls with 32-bit pointers ([`X32_BIT`]).
pub const ARCHITECTURE_X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`.
pub const ARCHITECTURE_X86: u32 = 0x4000_0003;
/// Set in the numbers of calls of the x32 interface.
pub const X32_BIT: u32 = 0x4000_0000;

/// What an instruction does, with the numbers of `linux/filter.h`: all that the planner uses.
pub mod code {
    /// The word at offset `k` of the data into the accumulator.
    pub const LOAD: u16 = 0x20;
    /// Accumulator and `k`.
    pub const AND: u16 = 0x54;
    /// Skips `k` instructions.
    pub const JUMP: u16 = 0x05;
    /// Skips `jt` instructions if the accumulator is `k`, else `jf`.
    pub const JUMP_EQUAL: u16 = 0x15;
    /// The same if it is more than `k`.
    pub const JUMP_GREATER: u16 = 0x25;
    /// The same if it is at least `k`.
    pub const JUMP_AT_LEAST: u16 = 0x35;
    /// Ends with `k`.
    pub const RETURN: u16 = 0x06;
}

/// What a program ends with (`SECCOMP_RET_*`): the action in the upper half, its number in the lower.
pub mod verdict {
    /// The process ends as by SIGSYS.
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    /// The thread ends as by SIGSYS.
    pub const KILL_THREAD: u32 = 0;
    /// SIGSYS.
    pub const TRAP: u32 = 0x0003_0000;
    /// The call fails with the error number in the lower half.
    pub const ERRNO: u32 = 0x0005_0000;
    /// A tracer is told the lower half; without one the call is `ENOSYS`.
    pub const TRACE: u32 = 0x7ff0_0000;
    /// The call is carried out and logged.
    pub const LOG: u32 = 0x7ffc_0000;
    /// The call is carried out.
    pub const ALLOW: u32 = 0x7fff_0000;
    /// The action.
    pub const ACTION: u32 = 0xffff_0000;
    /// Its number.
    pub const DATA: u32 = 0x0000_ffff;
}

bitflags! {
    /// How a filter is loaded, with the numbers of seccomp(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FilterFlags: u32 {
        /// Every action but `ALLOW` is logged.
        const LOG = 1 << 1;
        /// Speculative-store mitigation is not forced on.
        const SPEC_ALLOW = 1 << 2;
    }
}

impl Serialize for FilterFlags {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.bits().serialize(s)
    }
}
impl<'de> Deserialize<'de> for FilterFlags {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        FilterFlags::from_bits(u32::deserialize(d)?).ok_or(serde::de::Error::custom("unknown filter flag"))
    }
}

/// One instruction, as `struct sock_filter` has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(C)]
pub struct Instruction {
    /// What it does, one of [`code`].
    pub code: u16,
    /// Instructions to skip if the condition holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// A program and how it is loaded.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Filter {
    /// The program.
    pub instructions: Vec<Instruction>,
    /// How it is loaded.
    pub flags: FilterFlags,
}

/// A program that may not run, and the position of the instruction that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadFilter(pub usize);

impl core::fmt::Display for BadFilter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "instruction {} of the system-call filter is not valid", self.0)
    }
}

impl Filter {
    /// Holds the program to the rules under which it ends: known instructions, loads of aligned words of the data,
    /// jumps forward and inside, a return as the last one.
    ///
    /// # Errors
    /// The first instruction that breaks one.
    pub fn verify(&self) -> Result<(), BadFilter> {
        let length = self.instructions.len();
        if length > INSTRUCTIONS_MAX {
            return Err(BadFilter(INSTRUCTIONS_MAX));
        }
        if self.instructions.last().is_none_or(|last| last.code != code::RETURN) {
            return Err(BadFilter(length.saturating_sub(1)));
        }
        for (at, instruction) in self.instructions.iter().enumerate() {
            let left = length - at - 1;
            let inside = |skip: usize| skip < left;
            let good = match instruction.code {
                code::LOAD => instruction.k.is_multiple_of(4) && instruction.k < DATA_LEN,
                code::AND | code::RETURN => true,
                code::JUMP => usize::try_from(instruction.k).is_ok_and(inside),
                code::JUMP_EQUAL | code::JUMP_GREATER | code::JUMP_AT_LEAST => {
                    inside(usize::from(instruction.jt)) && inside(usize::from(instruction.jf))
                }
                _ => false,
            };
            if !good {
                return Err(BadFilter(at));
            }
        }
        Ok(())
    }

    /// Runs a verified program: what it says of a call. A program that was not verified and goes wrong kills.
    pub fn run(&self, call: &SystemCall) -> u32 {
        let mut accumulator = 0;
        let mut at = 0usize;
        while let Some(Instruction { code, jt, jf, k }) = self.instructions.get(at).copied() {
            let either = |holds: bool| usize::from(if holds { jt } else { jf });
            at = at.saturating_add(1);
            match code {
                code::LOAD => accumulator = call.word(k),
                code::AND => accumulator &= k,
                code::JUMP => at = at.saturating_add(usize::try_from(k).unwrap_or(usize::MAX)),
                code::JUMP_EQUAL => at = at.saturating_add(either(accumulator == k)),
                code::JUMP_GREATER => at = at.saturating_add(either(accumulator > k)),
                code::JUMP_AT_LEAST => at = at.saturating_add(either(accumulator >= k)),
                code::RETURN => return k,
                _ => break,
            }
        }
        verdict::KILL_PROCESS
    }
}

/// What a filter sees of a system call (`struct seccomp_data`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemCall {
    /// Its number.
    pub number: u32,
    /// By which interface it came.
    pub architecture: u32,
    /// Where it was made.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl SystemCall {
    /// The word at an offset of the data; 0 where there is none.
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64| if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 };
        match offset {
            DATA_NUMBER => self.number,
            DATA_ARCHITECTURE => self.architecture,
            8 | 12 => half(self.instruction_pointer),
            _ => {
                let index =
                    offset.checked_sub(DATA_ARGUMENTS).and_then(|from| usize::try_from(from / 8).ok());
                index.and_then(|index| self.arguments.get(index)).map_or(0, |argument| half(*argument))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    fn filter(instructions: Vec<Instruction>) -> Filter {
        Filter { instructions, flags: FilterFlags::empty() }
    }

    #[test]
    fn programs_that_could_run_away_are_refused() {
        let end = instruction(code::RETURN, 0, 0, 0);
        for (bad, at) in [
            (vec![], 0),
            (vec![instruction(code::LOAD, 0, 0, 0)], 0),
            (vec![instruction(code::LOAD, 0, 0, 64), end], 0),
            (vec![instruction(code::LOAD, 0, 0, 2), end], 0),
            (vec![instruction(code::JUMP, 0, 0, 1), end], 0),
            (vec![instruction(code::JUMP, 0, 0, u32::MAX), end], 0),
            (vec![end, instruction(code::JUMP_EQUAL, 0, 1, 0), end], 1),
            (vec![end, instruction(code::JUMP_EQUAL, 1, 0, 0), end], 1),
            (vec![instruction(0x61, 0, 0, 0), end], 0),
            (vec![end; INSTRUCTIONS_MAX + 1], INSTRUCTIONS_MAX),
        ] {
            assert_eq!(filter(bad.clone()).verify(), Err(BadFilter(at)), "{bad:?}");
        }
        assert_eq!(filter(vec![end; INSTRUCTIONS_MAX]).verify(), Ok(()));
    }

    #[test]
    fn every_word_of_a_call_is_seen_where_linux_has_it() {
        let arguments = [1, 2, 3, 4, 5, 6].map(|n: u64| n | (n + 100) << 32);
        let (number, architecture) = (7, ARCHITECTURE_X86_64);
        let call = SystemCall { number, architecture, instruction_pointer: 9 | 8 << 32, arguments };
        let mut seen = Vec::new();
        for offset in (0..DATA_LEN).step_by(4) {
            let value = call.word(offset);
            let load = instruction(code::LOAD, 0, 0, offset);
            let test = instruction(code::JUMP_EQUAL, 0, 1, value);
            let ends = [instruction(code::RETURN, 0, 0, 1), instruction(code::RETURN, 0, 0, 0)];
            assert_eq!(filter(vec![load, test, ends[0], ends[1]]).run(&call), 1);
            seen.push(value);
        }
        assert_eq!(seen, [7, architecture, 9, 8, 1, 101, 2, 102, 3, 103, 4, 104, 5, 105, 6, 106]);
    }
}

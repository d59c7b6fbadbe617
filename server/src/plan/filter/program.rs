//! From rules to instructions.

use super::{Calls, Condition, Rules};
use crate::oci::OciSeccompOperator;
use alloc::vec::Vec;
use bailiwick_kernel_glue::filter::{
    ARCHITECTURE_X86, ARCHITECTURE_X86_64, DATA_ARCHITECTURE, DATA_ARGUMENTS, DATA_NUMBER, Instruction,
    X32_BIT, code, verdict,
};

/// What becomes of all calls from some number on, up to the next range.
enum Range<'a> {
    Verdict(u32),
    Rules(&'a Rules),
}

/// The whole program. Calls by an interface that was not asked for end the process.
pub(super) fn of(native: &Calls, x32: bool, x86: Option<&Calls>, default: u32) -> Vec<Instruction> {
    let mut all = Vec::from([load(DATA_ARCHITECTURE)]);
    let mut ranges = ranges(native, default);
    if !x32 {
        ranges.push((X32_BIT, Range::Verdict(verdict::KILL_PROCESS)));
    }
    interface(&mut all, ARCHITECTURE_X86_64, &ranges, default);
    if let Some(x86) = x86 {
        interface(&mut all, ARCHITECTURE_X86, &self::ranges(x86, default), default);
    }
    all.push(end(verdict::KILL_PROCESS));
    all
}

fn interface(all: &mut Vec<Instruction>, number: u32, ranges: &[(u32, Range<'_>)], default: u32) {
    let mut block = Vec::from([load(DATA_NUMBER)]);
    block.extend(search(ranges, default));
    all.push(jump(code::JUMP_EQUAL, number, 1, 0));
    all.push(skip(block.len()));
    all.extend(block);
}

/// Ranges in order; the first begins at 0, and neighbours differ.
fn ranges(calls: &Calls, default: u32) -> Vec<(u32, Range<'_>)> {
    let mut ranges: Vec<(u32, Range<'_>)> = Vec::from([(0, Range::Verdict(default))]);
    let mut push = |from: u32, range| {
        if let (Some((_, Range::Verdict(before))), Range::Verdict(now)) = (ranges.last(), &range)
            && before == now
        {
            return;
        }
        // A range that ends where it begins.
        if ranges.last().is_some_and(|(last, _)| *last == from) {
            ranges.pop();
        }
        ranges.push((from, range));
    };
    for (number, rules) in calls {
        push(*number, rules.always.map_or(Range::Rules(rules), Range::Verdict));
        if let Some(next) = number.checked_add(1).filter(|next| !calls.contains_key(next)) {
            push(next, Range::Verdict(default));
        }
    }
    ranges
}

/// Finds the range of the number in the accumulator by halving.
fn search(ranges: &[(u32, Range<'_>)], default: u32) -> Vec<Instruction> {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    match (low, high) {
        ([], [(_, Range::Verdict(verdict)), ..]) => Vec::from([end(*verdict)]),
        ([], [(_, Range::Rules(rules)), ..]) => conditional(rules, default),
        (_, []) => Vec::from([end(default)]),
        (_, [(from, _), ..]) => {
            let below = search(low, default);
            let mut all = Vec::new();
            match u8::try_from(below.len()) {
                Ok(length) => all.push(jump(code::JUMP_AT_LEAST, *from, length, 0)),
                Err(_) => all.extend([jump(code::JUMP_AT_LEAST, *from, 0, 1), skip(below.len())]),
            }
            all.extend(below);
            all.extend(search(high, default));
            all
        }
    }
}

/// The rules of one call, in their order, then the default.
fn conditional(rules: &Rules, default: u32) -> Vec<Instruction> {
    let mut all = Vec::new();
    for (conditions, verdict) in &rules.when {
        // Built from its end: where a condition that fails goes to is behind everything that follows it.
        let mut rule = Vec::from([end(*verdict)]);
        for condition in conditions.iter().rev() {
            let mut before = test(condition, u8::try_from(rule.len()).unwrap_or(u8::MAX));
            before.append(&mut rule);
            rule = before;
        }
        all.extend(rule);
    }
    all.push(end(default));
    all
}

/// Goes on if the condition holds; if not, skips what follows and `rest` instructions more. At most 6 conditions of
/// at most 6 instructions make a rule, so `rest` is small.
fn test(c: &Condition, rest: u8) -> Vec<Instruction> {
    use OciSeccompOperator as Op;
    let halves = |value: u64| ((value >> 32) as u32, value as u32);
    let ((mask_high, mask_low), (high, low)) = (halves(c.mask), halves(c.value));
    let at = DATA_ARGUMENTS + 8 * c.argument;
    let (load_high, load_low) = (load(at + 4), load(at));
    // How far it is to the failure from an instruction with so many of this condition behind it.
    let fail = |behind: u8| rest.saturating_add(behind);
    match c.operator {
        Op::Equal => Vec::from([
            load_high,
            jump(code::JUMP_EQUAL, high, 0, fail(2)),
            load_low,
            jump(code::JUMP_EQUAL, low, 0, fail(0)),
        ]),
        Op::MaskedEqual => Vec::from([
            load_high,
            jump(code::AND, mask_high, 0, 0),
            jump(code::JUMP_EQUAL, high, 0, fail(3)),
            load_low,
            jump(code::AND, mask_low, 0, 0),
            jump(code::JUMP_EQUAL, low, 0, fail(0)),
        ]),
        Op::NotEqual => Vec::from([
            load_high,
            jump(code::JUMP_EQUAL, high, 0, 2),
            load_low,
            jump(code::JUMP_EQUAL, low, fail(0), 0),
        ]),
        Op::GreaterThan | Op::GreaterOrEqual => {
            let last = if c.operator == Op::GreaterThan { code::JUMP_GREATER } else { code::JUMP_AT_LEAST };
            Vec::from([
                load_high,
                jump(code::JUMP_GREATER, high, 3, 0),
                jump(code::JUMP_EQUAL, high, 0, fail(2)),
                load_low,
                jump(last, low, 0, fail(0)),
            ])
        }
        Op::LessThan | Op::LessOrEqual => {
            let last = if c.operator == Op::LessThan { code::JUMP_AT_LEAST } else { code::JUMP_GREATER };
            Vec::from([
                load_high,
                jump(code::JUMP_GREATER, high, fail(3), 0),
                jump(code::JUMP_EQUAL, high, 0, 2),
                load_low,
                jump(last, low, fail(0), 0),
            ])
        }
    }
}

fn load(offset: u32) -> Instruction {
    Instruction { code: code::LOAD, jt: 0, jf: 0, k: offset }
}
fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}
fn skip(length: usize) -> Instruction {
    Instruction { code: code::JUMP, jt: 0, jf: 0, k: u32::try_from(length).unwrap_or(u32::MAX) }
}
fn end(verdict: u32) -> Instruction {
    Instruction { code: code::RETURN, jt: 0, jf: 0, k: verdict }
}

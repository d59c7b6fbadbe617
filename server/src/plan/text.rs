//! A plan as text, one step a line.

use alloc::string::String;
use bailiwick_kernel_glue::plan::{Hook, Plan};
use core::fmt::{self, Write};

/// Shows a whole plan. The numbers of the lines before the gate are those that a kernel fault names.
#[derive(Clone, Copy, Debug)]
pub struct Text<'p>(pub &'p Plan);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in 0.. {
            match write_line(self.0, line, f)? {
                Line::Written => f.write_char('\n')?,
                Line::PastTheEnd => break,
            }
        }
        Ok(())
    }
}

enum Line {
    Written,
    PastTheEnd,
}

/// Writes through what fits one line: control characters of arguments and paths are escaped.
struct OneLine<'w, W>(&'w mut W);

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if c.is_control() { write!(self.0, "{}", c.escape_default()) } else { self.0.write_char(c) }
        })
    }
}

/// Writes line number `line`, without its line feed.
fn write_line(plan: &Plan, line: usize, out: &mut impl Write) -> Result<Line, fmt::Error> {
    let mut out = OneLine(out);
    if let Some(step) = plan.create.get(line) {
        write!(out, "{line:>3} {step}")?;
        return Ok(Line::Written);
    }
    let after = line - plan.create.len();
    let hooks = || plan.start.iter().chain(&plan.poststart).chain(&plan.poststop);
    match hooks().nth(after) {
        Some(Hook { kind, path, .. }) => {
            write!(out, "  - hook {} {path}", kind.as_str())?;
            Ok(Line::Written)
        }
        None => Ok(Line::PastTheEnd),
    }
}

/// Writes whole lines from line number `from` on, as long as `out` stays within `limit` bytes, and gives the number
/// of the first line left out; none at the end. A line that alone is longer than `limit` is cut.
pub fn page(plan: &Plan, from: u32, limit: usize, out: &mut String) -> Option<u32> {
    let (mut number, mut line) = (from, String::new());
    loop {
        line.clear();
        // Writing to a string does not fail.
        let Ok(Line::Written) = write_line(plan, number as usize, &mut line) else { return None };
        if line.len() + 1 > limit {
            let cut = line.floor_char_boundary(limit.saturating_sub(1));
            line.truncate(cut);
        }
        line.push('\n');
        if out.len() + line.len() > limit {
            return Some(number);
        }
        out.push_str(&line);
        number = number.checked_add(1)?;
    }
}

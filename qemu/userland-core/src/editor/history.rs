//! The lines before.

use alloc::collections::VecDeque;
use alloc::string::String;

/// Lines that are kept.
const LINES: usize = 100;

/// Lines that were finished, and where the user is among them.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    /// How many lines back the user is; 0 is the line being typed.
    back: usize,
    /// What was being typed before the user went back.
    draft: String,
}

impl History {
    /// Adds a finished line, unless it is blank or the same as the last, and goes to the end.
    pub(super) fn add(&mut self, line: &str) {
        self.back = 0;
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.into());
    }

    /// The line before, if there is one; `current` is what is shown now.
    pub(super) fn older(&mut self, current: &str) -> Option<String> {
        let index = self.lines.len().checked_sub(self.back + 1)?;
        if self.back == 0 {
            self.draft = current.into();
        }
        self.back += 1;
        self.lines.get(index).cloned()
    }

    /// The line after, and in the end what was being typed; none if that is shown now.
    pub(super) fn newer(&mut self) -> Option<String> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 {
            return Some(core::mem::take(&mut self.draft));
        }
        self.lines.get(self.lines.len().checked_sub(self.back)?).cloned()
    }
}

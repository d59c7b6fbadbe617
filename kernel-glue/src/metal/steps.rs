//! The steps of `create` as the kernel takes them: encoded one directly after the other, many to a call.

use crate::plan::{Hook, Step};
use alloc::string::String;
use alloc::vec::Vec;
use postcard::ser_flavors::Flavor;

/// Bytes of steps that are handed over at once, unless one step is longer: the kernel does nothing else meanwhile.
const AT_ONCE: usize = 1 << 10;
/// Bytes that nearly every plan fits into.
const USUAL: usize = 4 << 10;

/// Steps, and what is to be known of them outside the kernel.
#[derive(Default, Debug)]
pub(super) struct Steps {
    text: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Those that the kernel does not take: hooks, by position.
    hooks: Vec<(usize, Hook)>,
    /// Where the old root is put, and what becomes the new one.
    pub(super) pivot: Option<(String, String)>,
}

/// A step that cannot be encoded.
pub(super) struct TooLarge;

impl Steps {
    /// Encodes them.
    pub(super) fn new(steps: &[Step]) -> Result<Self, TooLarge> {
        let mut new = Steps {
            text: Vec::with_capacity(USUAL),
            ends: Vec::with_capacity(steps.len()),
            ..Steps::default()
        };
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Hook(hook) => new.hooks.push((at, hook.clone())),
                Step::PivotRoot { new: root, old } => new.pivot = Some((old.clone(), root.clone())),
                _ => {}
            }
            postcard::serialize_with_flavor(step, Text(&mut new.text)).map_err(|_| TooLarge)?;
            new.ends.push(new.text.len());
        }
        Ok(new)
    }

    /// The hook that is step `at`, if that is one.
    pub(super) fn hook(&self, at: usize) -> Option<&Hook> {
        self.hooks.iter().find(|(position, _)| *position == at).map(|(_, hook)| hook)
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)
    }

    /// The text of some steps from `at` on, none of them a hook unless the first is, and which comes after them. None at
    /// the end.
    pub(super) fn some(&self, at: usize) -> Option<(&[u8], usize)> {
        let start = self.start(at);
        let hook = self.hooks.iter().map(|(position, _)| *position).find(|position| *position > at);
        let ends = self.ends.get(at..hook.unwrap_or(self.ends.len()))?;
        let fit = ends.iter().take_while(|end| **end - start <= AT_ONCE).count().max(1);
        let end = ends.get(fit - 1)?;
        Some((self.text.get(start..*end)?, at + fit))
    }
}

/// What a step is encoded into: bytes that grow.
struct Text<'a>(&'a mut Vec<u8>);

impl Flavor for Text<'_> {
    type Output = ();
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Most lengths and numbers are one byte, for which a copy would be called in vain.
        match bytes {
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

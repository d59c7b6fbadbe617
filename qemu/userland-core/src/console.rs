//! What the programs need of the world besides a channel.

use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::message::Request;
use core::fmt;

/// Where output goes. Best effort: nobody could be told that the console is gone.
pub trait Console {
    /// Writes all of it.
    fn write(&mut self, bytes: &[u8]);
}

/// A console that several write to: each line is written in one go, with a label in front, once it is complete.
#[derive(Debug)]
pub struct Labelled<C: Console> {
    console: C,
    label: String,
    line: Vec<u8>,
}

impl<C: Console> Labelled<C> {
    /// Longest line that is waited for; a longer one is divided.
    const LINE_MAX: usize = 4096;

    /// Puts this label in front of lines.
    pub fn new(console: C, label: &str) -> Self {
        Labelled { console, label: alloc::format!("{label} | "), line: Vec::new() }
    }

    fn end_line(&mut self) {
        let mut text = Vec::from(self.label.as_bytes());
        text.append(&mut self.line);
        text.push(b'\n');
        self.console.write(&text);
    }
}

impl<C: Console> Console for Labelled<C> {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' || self.line.len() == Self::LINE_MAX {
                self.end_line();
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
    }
}

impl<C: Console> Drop for Labelled<C> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

/// Where bundles are found.
pub trait Bundles {
    /// A capability on a bundle's directory.
    type Directory;
    /// Why it cannot be had.
    type Error: fmt::Display;

    /// The directory of the bundle with this name, which is one component of a path.
    ///
    /// # Errors
    /// There is none, or the holder may not open it.
    fn open(&self, name: &str) -> Result<Self::Directory, Self::Error>;
}

/// Lets somebody else wait for an answer, so that the program can go on.
pub trait Waiter<C> {
    /// Has the program woken once there is an answer to this request on this channel. False if that cannot be done.
    fn wake_when_answered(&mut self, channel: &C, request: &Request<'_>) -> bool;
}

/// How a wait went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    /// There is an answer, or there may be: whoever asks now waits without being interrupted.
    Answered,
    /// Somebody typed Ctrl-C.
    Interrupted,
}

/// Waits for an answer and for somebody at the terminal who does not want to.
pub trait Attention<C> {
    /// Waits until there is an answer to this request on this channel, or until it is interrupted.
    fn until_answered(&self, channel: &C, request: &Request<'_>) -> Waited;
}

/// Nobody can interrupt.
#[derive(Clone, Copy, Debug)]
pub struct Patient;

impl<C> Attention<C> for Patient {
    fn until_answered(&self, _: &C, _: &Request<'_>) -> Waited {
        Waited::Answered
    }
}
impl<C> Waiter<C> for Patient {
    fn wake_when_answered(&mut self, _: &C, _: &Request<'_>) -> bool {
        false
    }
}

/// Writes formatted text in one go, so that no other process's line comes in between.
pub(crate) fn say(console: &mut dyn Console, text: fmt::Arguments<'_>) {
    match text.as_str() {
        Some(text) => console.write(text.as_bytes()),
        None => console.write(alloc::fmt::format(text).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;
    use core::cell::RefCell;

    /// Remembers each write.
    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<Vec<u8>>>>);

    impl Console for Paper {
        fn write(&mut self, bytes: &[u8]) {
            self.0.borrow_mut().push(bytes.to_vec());
        }
    }

    #[test]
    fn a_label_stands_before_each_line_and_a_line_is_one_write() {
        let paper = Paper::default();
        let mut console = Labelled::new(paper.clone(), "a");
        for piece in ["on", "e\n\ntwo", "\nrest"] {
            console.write(piece.as_bytes());
        }
        let written = || paper.0.borrow().clone();
        assert_eq!(written(), [&b"a | one\n"[..], b"a | \n", b"a | two\n"]);
        drop(console);
        assert_eq!(written().last().unwrap(), b"a | rest\n");
    }

    #[test]
    fn a_line_without_an_end_is_divided_and_nothing_of_it_is_lost() {
        let paper = Paper::default();
        let mut console = Labelled::new(paper.clone(), "a");
        console.write(&[b'x'; 10_000]);
        drop(console);
        let written = paper.0.borrow().clone();
        assert_eq!(written.len(), 3);
        assert_eq!(written.concat().iter().filter(|byte| **byte == b'x').count(), 10_000);
    }
}

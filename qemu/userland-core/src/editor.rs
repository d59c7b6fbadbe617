//! The line editor: bytes of a terminal in, finished lines out.
//!
//! It knows the keys of every shell (arrows, Home, End, Backspace, Delete, and Ctrl with A B C D E F H K L N P U W),
//! keeps a history, and draws on a terminal that understands `CR`, `BS` and `ESC [ K` (ECMA-48). A line longer than
//! the terminal is wide scrolls sideways.

mod history;
mod keys;

use crate::console::{Console, say};
use alloc::string::String;
use history::History;
use keys::{Key, Keys};

/// Longest line, in bytes. What is typed beyond it is dropped.
pub const LINE_MAX: usize = 4096;

/// What became of a byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edited {
    /// Nothing to act on.
    More,
    /// A line was finished with Enter.
    Line(String),
    /// Ctrl-C: the line was given up.
    Interrupted,
    /// Ctrl-D on an empty line.
    End,
}

/// A line that is being typed, and the lines before it.
#[derive(Debug)]
pub struct Editor {
    prompt: String,
    /// Columns of the terminal.
    width: usize,
    line: String,
    /// Where the next character goes: a byte position between characters.
    cursor: usize,
    keys: Keys,
    history: History,
}

impl Editor {
    /// An empty line behind `prompt` on a terminal with `width` columns (at least 20 more than the prompt has).
    pub fn new(prompt: &str, width: usize) -> Self {
        let width = width.max(prompt.chars().count() + 20);
        Editor {
            prompt: prompt.into(),
            width,
            line: String::new(),
            cursor: 0,
            keys: Keys::default(),
            history: History::default(),
        }
    }

    /// Draws the prompt and what there is of the line.
    pub fn draw(&self, console: &mut dyn Console) {
        let room = self.width - self.prompt.chars().count() - 1;
        let before = self.line.get(..self.cursor).unwrap_or_default().chars().count();
        let skipped = (before + 1).saturating_sub(room);
        let shown: String = self.line.chars().skip(skipped).take(room).collect();
        let back = "\x08".repeat((shown.chars().count() + skipped).saturating_sub(before));
        say(console, format_args!("\r{}{shown}\x1b[K{back}", self.prompt));
    }

    /// Takes one byte of what was typed and shows what it does.
    pub fn byte(&mut self, byte: u8, console: &mut dyn Console) -> Edited {
        match self.keys.byte(byte) {
            Some(key) => self.key(key, console),
            None => Edited::More,
        }
    }

    fn key(&mut self, key: Key, console: &mut dyn Console) -> Edited {
        match key {
            Key::Enter => return self.enter(console),
            Key::Interrupt => {
                console.write(b"^C\n");
                self.set(String::new());
                return Edited::Interrupted;
            }
            Key::EndOfInput if self.line.is_empty() => {
                console.write(b"\n");
                return Edited::End;
            }
            Key::Text(c) => {
                self.insert(c);
                if self.cursor == self.line.len() && self.fits() {
                    say(console, format_args!("{c}"));
                    return Edited::More;
                }
            }
            Key::Clear => console.write(b"\x1b[H\x1b[2J"),
            Key::Up => {
                if let Some(line) = self.history.older(&self.line) {
                    self.set(line);
                }
            }
            Key::Down => {
                if let Some(line) = self.history.newer() {
                    self.set(line);
                }
            }
            Key::Left => self.cursor = self.before(),
            Key::Right => self.cursor = self.after(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Backspace => self.cut(self.before(), self.cursor),
            Key::Delete | Key::EndOfInput => self.cut(self.cursor, self.after()),
            Key::CutBefore => self.cut(0, self.cursor),
            Key::CutAfter => self.cut(self.cursor, self.line.len()),
            Key::CutWord => self.cut(self.word_before(), self.cursor),
        }
        self.draw(console);
        Edited::More
    }

    /// Whether the line and the cursor after it fit the terminal without scrolling.
    fn fits(&self) -> bool {
        self.prompt.chars().count() + self.line.chars().count() + 1 < self.width
    }

    fn enter(&mut self, console: &mut dyn Console) -> Edited {
        self.cursor = self.line.len();
        self.draw(console);
        console.write(b"\n");
        let line = core::mem::take(&mut self.line);
        self.cursor = 0;
        self.history.add(&line);
        Edited::Line(line)
    }

    fn set(&mut self, line: String) {
        self.cursor = line.len();
        self.line = line;
    }

    fn insert(&mut self, c: char) {
        if self.line.len() + c.len_utf8() <= LINE_MAX {
            self.line.insert(self.cursor, c);
            self.cursor += c.len_utf8();
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.line.replace_range(from..to, "");
        self.cursor = from;
    }

    /// The position one character before the cursor.
    fn before(&self) -> usize {
        let text = self.line.get(..self.cursor).unwrap_or_default();
        text.char_indices().next_back().map_or(0, |(at, _)| at)
    }

    /// The position one character after it.
    fn after(&self) -> usize {
        let text = self.line.get(self.cursor..).unwrap_or_default();
        self.cursor + text.chars().next().map_or(0, char::len_utf8)
    }

    /// Where the word before the cursor begins.
    fn word_before(&self) -> usize {
        let text = self.line.get(..self.cursor).unwrap_or_default().trim_end();
        text.rfind(' ').map_or(0, |at| at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    struct Screen(Vec<u8>);
    impl Console for Screen {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    /// Types bytes and gives the first thing that is more than "more".
    fn typed(editor: &mut Editor, bytes: &[u8]) -> Edited {
        let mut screen = Screen(Vec::new());
        let outcomes = bytes.iter().map(|byte| editor.byte(*byte, &mut screen));
        outcomes.filter(|outcome| *outcome != Edited::More).last().unwrap_or(Edited::More)
    }
    fn line(text: &str) -> Edited {
        Edited::Line(text.into())
    }
    fn editor() -> Editor {
        Editor::new("> ", 80)
    }

    #[test]
    fn keys_edit_the_line_as_in_every_shell() {
        for (keys, result) in [
            (&b"abc\r"[..], "abc"),
            (b"abd\x1b[Dc\n", "abcd"),
            (b"bc\x01a\x05d\r", "abcd"),
            (b"bc\x1b[Ha\x1b[Fd\r", "abcd"),
            (b"bc\x1bOHa\x1bOFd\r", "abcd"),
            (b"abx\x7fc\x08c\r", "abc"),
            (b"axbc\x01\x1b[C\x1b[3~\r", "abc"),
            (b"axbc\x01\x06\x04\r", "abc"),
            (b"gone\x15abc\r", "abc"),
            (b"abcgone\x1b[D\x1b[D\x1b[D\x1b[D\x0b\r", "abc"),
            (b"abc gone  \x17\r", "abc "),
            (b"a\xc3\xa4\xe2\x82\xacb\x1b[D\x7f\x7f\r", "ab"),
            (b"a\x1b[5~\x1b[1;5Cb\x1b[200~\r", "ab"),
            (b"a\xff\xc3b\r", "ab"),
        ] {
            assert_eq!(typed(&mut editor(), keys), line(result), "{keys:?}");
        }
    }

    #[test]
    fn the_history_gives_back_lines_and_what_was_being_typed() {
        let mut editor = editor();
        typed(&mut editor, b"one\rtwo\rtwo\r");
        assert_eq!(typed(&mut editor, b"\x1b[A\r"), line("two"));
        assert_eq!(typed(&mut editor, b"\x1b[A\x10\r"), line("one"));
        assert_eq!(typed(&mut editor, b"th\x1b[A\x1b[Bree\r"), line("three"));
        assert_eq!(typed(&mut editor, b"\x1b[B\x0e\r"), line(""));
        assert_eq!(typed(&mut editor, b"\x1b[A!\r"), line("three!"));
    }

    #[test]
    fn interrupt_gives_the_line_up_and_end_of_input_needs_an_empty_one() {
        let mut editor = editor();
        assert_eq!(typed(&mut editor, b"abc\x03"), Edited::Interrupted);
        assert_eq!(typed(&mut editor, b"\r"), line(""));
        assert_eq!(typed(&mut editor, b"a\x04\x7f"), Edited::More);
        assert_eq!(typed(&mut editor, b"\x04"), Edited::End);
    }

    #[test]
    fn a_line_has_a_bound_and_a_long_one_scrolls() {
        let mut editor = Editor::new("> ", 0);
        let long = [b'x'; LINE_MAX + 10];
        typed(&mut editor, &long);
        let mut screen = Screen(Vec::new());
        editor.draw(&mut screen);
        assert_eq!(screen.0.iter().filter(|byte| **byte == b'x').count(), 18);
        let finished = typed(&mut editor, b"\r");
        assert!(matches!(finished, Edited::Line(text) if text.len() == LINE_MAX));
    }

    #[test]
    fn what_is_drawn_is_the_prompt_the_line_and_the_cursor() {
        let mut editor = editor();
        typed(&mut editor, b"abc\x1b[D");
        let mut screen = Screen(Vec::new());
        editor.draw(&mut screen);
        assert_eq!(screen.0, b"\r> abc\x1b[K\x08");
    }
}

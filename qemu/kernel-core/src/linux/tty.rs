//! The console as a terminal: line editing, echo, signals from keys (termios(3)).

use crate::ns::ProcessId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes of input that wait to be read; more are dropped.
pub(super) const INPUT_MAX: usize = 4096;
/// Longest line in canonical mode (`MAX_CANON` is less).
const LINE_MAX: usize = 4095;

// Input flags.
const ISTRIP: u32 = 0o40;
const INLCR: u32 = 0o100;
const IGNCR: u32 = 0o200;
const ICRNL: u32 = 0o400;
const IXON: u32 = 0o2000;
const IUTF8: u32 = 0o40000;
// Output flags.
const OPOST: u32 = 0o1;
const ONLCR: u32 = 0o4;
// Local flags.
const ISIG: u32 = 0o1;
const ICANON: u32 = 0o2;
const ECHO: u32 = 0o10;
const ECHOE: u32 = 0o20;
const ECHOK: u32 = 0o40;
const ECHONL: u32 = 0o100;
const NOFLSH: u32 = 0o200;
const TOSTOP: u32 = 0o400;
const ECHOCTL: u32 = 0o1000;
const ECHOKE: u32 = 0o4000;
const IEXTEN: u32 = 0o100000;

// Control characters, by position.
const VINTR: usize = 0;
const VQUIT: usize = 1;
const VERASE: usize = 2;
const VKILL: usize = 3;
const VEOF: usize = 4;
const VTIME: usize = 5;
const VMIN: usize = 6;
const VSUSP: usize = 10;
const VEOL: usize = 11;
const VWERASE: usize = 14;
const VEOL2: usize = 16;

/// Bytes of the kernel's `struct termios`.
pub(super) const TERMIOS_BYTES: usize = 36;

/// The settings, as `TCGETS` shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

impl Default for Termios {
    fn default() -> Self {
        Termios {
            input: ICRNL | IXON | IUTF8,
            output: OPOST | ONLCR,
            // B38400, CS8, CREAD.
            control: 0o15 | 0o60 | 0o200,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0],
        }
    }
}

impl Termios {
    /// As it lies in a process's memory.
    pub fn to_bytes(self) -> [u8; TERMIOS_BYTES] {
        let mut bytes = [0; TERMIOS_BYTES];
        for (at, word) in [self.input, self.output, self.control, self.local].iter().enumerate() {
            if let Some(to) = bytes.get_mut(at * 4..at * 4 + 4) {
                to.copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes[16] = self.line;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }
    /// From a process's memory.
    pub fn from_bytes(bytes: &[u8; TERMIOS_BYTES]) -> Self {
        let word =
            |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let mut characters = [0; 19];
        characters.copy_from_slice(&bytes[17..]);
        Termios {
            input: word(0),
            output: word(4),
            control: word(8),
            local: word(12),
            line: bytes[16],
            characters,
        }
    }
    fn local(&self, flag: u32) -> bool {
        self.local & flag != 0
    }
    /// Whether `byte` is the control character at `position`; 0 stands for none.
    fn is(&self, byte: u8, position: usize) -> bool {
        byte != 0 && self.characters.get(position) == Some(&byte)
    }
    fn character(&self, position: usize) -> u8 {
        self.characters.get(position).copied().unwrap_or(0)
    }
}

/// What a key asks for besides input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// `SIGINT` for the foreground.
    Interrupt,
    /// `SIGQUIT` for the foreground.
    Quit,
    /// `SIGTSTP` for the foreground.
    Suspend,
}

/// What a read of the terminal gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// So many bytes; 0 is the end of input.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
}

/// Which queues a change of settings empties.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// None.
    Nothing,
    /// Input that was not read.
    Input,
}

/// A terminal. It knows no processes: who may read is decided by whoever asks.
#[derive(Debug)]
pub struct Terminal {
    settings: Termios,
    /// Rows and columns.
    pub size: (u16, u16),
    /// The session it controls.
    pub session: Option<ProcessId>,
    /// The foreground process group.
    pub foreground: Option<ProcessId>,
    /// What can be read. In canonical mode, whole lines and ends of input.
    ready: VecDeque<Item>,
    /// The line that is being typed.
    line: Vec<u8>,
    column: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Byte(u8),
    /// A byte that ends a line.
    End(u8),
    EndOfInput,
}

impl Default for Terminal {
    fn default() -> Self {
        Terminal {
            settings: Termios::default(),
            size: (24, 80),
            session: None,
            foreground: None,
            ready: VecDeque::new(),
            line: Vec::new(),
            column: 0,
        }
    }
}

impl Terminal {
    /// The settings.
    pub fn settings(&self) -> Termios {
        self.settings
    }
    /// Changes the settings. A half-typed line becomes readable when canonical mode ends.
    pub fn set(&mut self, settings: Termios, flush: Flush) {
        if flush == Flush::Input {
            self.ready.clear();
            self.line.clear();
        }
        if self.settings.local(ICANON) && !settings.local(ICANON) {
            self.ready.extend(self.line.drain(..).map(Item::Byte));
        }
        self.settings = settings;
    }
    /// Empties the input.
    pub fn flush(&mut self) {
        self.ready.clear();
        self.line.clear();
    }
    /// Whether background writes are stopped.
    pub fn stops_writers(&self) -> bool {
        self.settings.local(TOSTOP)
    }

    /// A byte came from the line. `echo` gets what is to be shown.
    pub fn receive(&mut self, byte: u8, echo: &mut Vec<u8>) -> Option<Key> {
        let set = self.settings;
        let mut byte = if set.input & ISTRIP != 0 { byte & 0x7f } else { byte };
        if set.local(ISIG) {
            let key = [(VINTR, Key::Interrupt), (VQUIT, Key::Quit), (VSUSP, Key::Suspend)]
                .into_iter()
                .find(|(position, _)| set.is(byte, *position));
            if let Some((_, key)) = key {
                self.echo(byte, echo);
                if !set.local(NOFLSH) {
                    self.flush();
                }
                return Some(key);
            }
        }
        match byte {
            b'\r' if set.input & IGNCR != 0 => return None,
            b'\r' if set.input & ICRNL != 0 => byte = b'\n',
            b'\n' if set.input & INLCR != 0 => byte = b'\r',
            _ => {}
        }
        if set.local(ICANON) {
            self.edit(byte, echo);
        } else if self.ready.len() < INPUT_MAX {
            self.echo(byte, echo);
            self.ready.push_back(Item::Byte(byte));
        }
        None
    }

    /// Canonical mode: the byte edits the line or ends it.
    fn edit(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let set = self.settings;
        if set.is(byte, VERASE) {
            self.erase(echo);
        } else if set.local(IEXTEN) && set.is(byte, VWERASE) {
            while self.line.last() == Some(&b' ') {
                self.erase(echo);
            }
            while self.line.last().is_some_and(|b| *b != b' ') {
                self.erase(echo);
            }
        } else if set.is(byte, VKILL) {
            while !self.line.is_empty() {
                self.erase(echo);
            }
        } else if set.is(byte, VEOF) {
            self.end_line(Item::EndOfInput);
        } else if byte == b'\n' || set.is(byte, VEOL) || set.is(byte, VEOL2) {
            if set.local(ECHO) || byte == b'\n' && set.local(ECHONL) {
                self.process(&[byte], echo);
            }
            self.end_line(Item::End(byte));
        } else if self.line.len() < LINE_MAX && self.ready.len() + self.line.len() < INPUT_MAX {
            self.echo(byte, echo);
            self.line.push(byte);
        }
    }

    fn end_line(&mut self, end: Item) {
        // An end of input after some bytes only makes them readable.
        let silent = end == Item::EndOfInput && !self.line.is_empty();
        let mut bytes = core::mem::take(&mut self.line);
        if silent && let Some(last) = bytes.pop() {
            self.ready.extend(bytes.into_iter().map(Item::Byte));
            self.ready.push_back(Item::End(last));
        } else {
            self.ready.extend(bytes.into_iter().map(Item::Byte));
            self.ready.push_back(end);
        }
    }

    /// Takes the last character off the line: all bytes of it, in UTF-8.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        let Some(mut last) = self.line.pop() else { return };
        while self.settings.input & IUTF8 != 0 && last & 0xC0 == 0x80 {
            match self.line.pop() {
                Some(byte) => last = byte,
                None => break,
            }
        }
        if self.settings.local(ECHO) && self.settings.local(ECHOE) {
            let width = if last < 0x20 && last != b'\t' { 2 } else { 1 };
            for _ in 0..width {
                echo.extend_from_slice(b"\x08 \x08");
            }
        }
    }

    fn echo(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let set = self.settings;
        if !set.local(ECHO) {
            return;
        }
        if (byte < 0x20 || byte == 0x7f) && !matches!(byte, b'\t' | b'\n') && set.local(ECHOCTL) {
            echo.extend_from_slice(&[b'^', byte ^ 0x40]);
        } else {
            self.process(&[byte], echo);
        }
    }

    /// What is shown for what a process writes.
    pub fn process(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        let post = self.settings.output & OPOST != 0;
        for byte in bytes {
            if post && *byte == b'\n' && self.settings.output & ONLCR != 0 {
                shown.push(b'\r');
            }
            shown.push(*byte);
            self.column = if *byte == b'\n' || *byte == b'\r' { 0 } else { self.column + 1 };
        }
    }

    /// Bytes that a read would give (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.ready.iter().filter(|item| **item != Item::EndOfInput).count()
    }
    /// Whether a read would not wait.
    pub fn readable(&self) -> bool {
        if self.settings.local(ICANON) {
            self.ready.iter().any(|item| !matches!(item, Item::Byte(_)))
        } else {
            !self.ready.is_empty()
        }
    }
    /// Tenths of a second after which a read without input ends (`VTIME`, where `VMIN` is 0); none waits for ever.
    pub fn read_timeout(&self) -> Option<u8> {
        let set = &self.settings;
        (!set.local(ICANON) && set.character(VMIN) == 0).then(|| set.character(VTIME))
    }

    /// Reads: one line in canonical mode, otherwise what is there, if it is at least `VMIN` bytes.
    pub fn read(&mut self, buffer: &mut [u8]) -> Input {
        if self.settings.local(ICANON) {
            return self.read_line(buffer);
        }
        let least = usize::from(self.settings.character(VMIN)).min(buffer.len());
        if self.ready.len() < least.max(1) {
            return Input::Nothing;
        }
        let mut count = 0;
        for to in buffer.iter_mut() {
            match self.ready.pop_front() {
                Some(Item::Byte(byte) | Item::End(byte)) => *to = byte,
                Some(Item::EndOfInput) => continue,
                None => break,
            }
            count += 1;
        }
        Input::Bytes(count)
    }

    fn read_line(&mut self, buffer: &mut [u8]) -> Input {
        if !self.readable() {
            return Input::Nothing;
        }
        let mut count = 0;
        for to in buffer.iter_mut() {
            match self.ready.pop_front() {
                Some(Item::Byte(byte)) => *to = byte,
                Some(Item::End(byte)) => {
                    *to = byte;
                    return Input::Bytes(count + 1);
                }
                Some(Item::EndOfInput) | None => return Input::Bytes(count),
            }
            count += 1;
        }
        Input::Bytes(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(terminal: &mut Terminal, text: &[u8]) -> (Vec<u8>, Vec<Key>) {
        let mut echo = Vec::new();
        let keys = text.iter().filter_map(|byte| terminal.receive(*byte, &mut echo)).collect();
        (echo, keys)
    }
    fn read(terminal: &mut Terminal) -> Option<Vec<u8>> {
        let mut buffer = [0; 64];
        match terminal.read(&mut buffer) {
            Input::Bytes(count) => Some(buffer[..count].to_vec()),
            Input::Nothing => None,
        }
    }

    #[test]
    fn a_line_is_readable_once_it_is_complete_and_edited() {
        let mut t = Terminal::default();
        let (echo, _) = typed(&mut t, b"lx\x7fs");
        assert_eq!(echo, b"lx\x08 \x08s");
        assert_eq!(read(&mut t), None);
        typed(&mut t, b"\rnext\n");
        assert_eq!(read(&mut t).unwrap(), b"ls\n");
        assert_eq!(read(&mut t).unwrap(), b"next\n");
        assert_eq!(read(&mut t), None);
    }

    #[test]
    fn word_and_line_erase_take_back_what_was_typed() {
        let mut t = Terminal::default();
        typed(&mut t, b"one two\x17three\n\x15");
        assert_eq!(read(&mut t).unwrap(), b"one three\n");
        typed(&mut t, b"gone\x15kept\n");
        assert_eq!(read(&mut t).unwrap(), b"kept\n");
    }

    #[test]
    fn erasing_takes_a_whole_utf8_character() {
        let mut t = Terminal::default();
        typed(&mut t, "aé\x7fb\n".as_bytes());
        assert_eq!(read(&mut t).unwrap(), b"ab\n");
    }

    #[test]
    fn control_d_ends_input_only_on_an_empty_line() {
        let mut t = Terminal::default();
        typed(&mut t, b"half\x04");
        assert_eq!(read(&mut t).unwrap(), b"half");
        assert_eq!(read(&mut t), None);
        typed(&mut t, b"\x04");
        assert_eq!(read(&mut t).unwrap(), b"");
    }

    #[test]
    fn keys_become_signals_and_throw_the_line_away() {
        let mut t = Terminal::default();
        let (echo, keys) = typed(&mut t, b"abc\x03\x1c\x1a");
        assert_eq!(keys, [Key::Interrupt, Key::Quit, Key::Suspend]);
        assert_eq!(echo, b"abc^C^\\^Z");
        typed(&mut t, b"d\n");
        assert_eq!(read(&mut t).unwrap(), b"d\n");
    }

    #[test]
    fn raw_mode_gives_every_byte_at_once_and_shows_none() {
        let mut t = Terminal::default();
        let mut raw = t.settings();
        raw.local &= !(ICANON | ECHO | ISIG);
        raw.input &= !ICRNL;
        raw.output &= !OPOST;
        t.set(raw, Flush::Nothing);
        let (echo, keys) = typed(&mut t, b"\x03\r");
        assert!(echo.is_empty() && keys.is_empty());
        assert_eq!(read(&mut t).unwrap(), b"\x03\r");
        let mut shown = Vec::new();
        t.process(b"a\n", &mut shown);
        assert_eq!(shown, b"a\n");
    }

    #[test]
    fn settings_survive_their_way_through_memory() {
        let set = Termios::default();
        assert_eq!(Termios::from_bytes(&set.to_bytes()), set);
        let mut t = Terminal::default();
        let mut shown = Vec::new();
        t.process(b"a\n", &mut shown);
        assert_eq!(shown, b"a\r\n");
    }
}

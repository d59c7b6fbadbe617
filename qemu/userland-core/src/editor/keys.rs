//! From bytes to keys: UTF-8, control characters, and the sequences that arrows and their neighbours send.

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Text(char),
    Enter,
    Interrupt,
    EndOfInput,
    Clear,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    Backspace,
    Delete,
    CutBefore,
    CutAfter,
    CutWord,
}

/// What was read of a key so far.
#[derive(Clone, Copy, Debug, Default)]
enum Reading {
    #[default]
    Nothing,
    /// `ESC`.
    Escape,
    /// `ESC [` and a parameter; none once there was a second one.
    Sequence(Option<u16>),
    /// `ESC O`.
    Single,
    /// The beginning of a character of several bytes: its bits, and how many bytes are missing.
    Character(u32, u8),
}

/// The decoder.
#[derive(Debug, Default)]
pub(super) struct Keys {
    reading: Reading,
    /// The last byte was `CR`: an `LF` after it is the same key.
    returned: bool,
}

impl Keys {
    /// Takes a byte; gives a key once it is complete. What makes no sense is dropped.
    pub(super) fn byte(&mut self, byte: u8) -> Option<Key> {
        let returned = core::mem::replace(&mut self.returned, byte == b'\r');
        match core::mem::take(&mut self.reading) {
            Reading::Nothing if returned && byte == b'\n' => None,
            Reading::Nothing => self.first(byte),
            Reading::Escape => {
                self.reading = match byte {
                    b'[' => Reading::Sequence(Some(0)),
                    b'O' => Reading::Single,
                    _ => Reading::Nothing,
                };
                None
            }
            Reading::Single => letter(byte),
            Reading::Sequence(parameter) => self.sequence(parameter, byte),
            Reading::Character(bits, missing) => self.character(bits, missing, byte),
        }
    }

    fn first(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            b'\r' | b'\n' => Key::Enter,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            0x0b => Key::CutAfter,
            0x0c => Key::Clear,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::CutBefore,
            0x17 => Key::CutWord,
            0x1b => {
                self.reading = Reading::Escape;
                return None;
            }
            b'\t' => Key::Text(' '),
            0x20..=0x7e => Key::Text(char::from(byte)),
            0xc2..=0xdf => return self.begin(byte & 0x1f, 1),
            0xe0..=0xef => return self.begin(byte & 0x0f, 2),
            0xf0..=0xf4 => return self.begin(byte & 0x07, 3),
            _ => return None,
        })
    }

    fn begin(&mut self, bits: u8, missing: u8) -> Option<Key> {
        self.reading = Reading::Character(u32::from(bits), missing);
        None
    }

    fn character(&mut self, bits: u32, missing: u8, byte: u8) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            return self.first(byte);
        }
        let bits = bits << 6 | u32::from(byte & 0x3f);
        if missing > 1 {
            self.reading = Reading::Character(bits, missing - 1);
            return None;
        }
        char::from_u32(bits).filter(|c| !c.is_control()).map(Key::Text)
    }

    fn sequence(&mut self, parameter: Option<u16>, byte: u8) -> Option<Key> {
        match (byte, parameter) {
            (b'0'..=b'9', _) => {
                let digit = u16::from(byte - b'0');
                let parameter = parameter.map(|value| value.saturating_mul(10).saturating_add(digit));
                self.reading = Reading::Sequence(parameter);
                None
            }
            // Further parameters and intermediate bytes: a key this editor does not know.
            (0x20..=0x3f, _) => {
                self.reading = Reading::Sequence(None);
                None
            }
            (b'~', Some(1 | 7)) => Some(Key::Home),
            (b'~', Some(3)) => Some(Key::Delete),
            (b'~', Some(4 | 8)) => Some(Key::End),
            (_, Some(0)) => letter(byte),
            _ => None,
        }
    }
}

fn letter(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}

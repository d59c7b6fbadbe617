//! What the model's programs do: a shell's simplest commands, on virtual time.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bailiwick_protocol::message::Nanos;

/// One command: its name and its arguments.
pub(super) type Words = Vec<String>;

/// What a process has still to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Script(pub VecDeque<Words>);

impl Script {
    /// The script of a program started with these arguments.
    pub(super) fn of(args: &[String]) -> Script {
        let words: Words = match args {
            [name, rest @ ..] if base(name) == "busybox" && !rest.is_empty() => rest.to_vec(),
            _ => args.to_vec(),
        };
        match words.as_slice() {
            [name, flag, text, ..] if base(name) == "sh" && flag == "-c" => Script::parse(text),
            _ => Script([words].into()),
        }
    }

    /// The script with this text: commands separated by `;`, `&` or a new line, quotes as in sh(1).
    pub(super) fn parse(text: &str) -> Script {
        let mut script = VecDeque::new();
        let mut words = Words::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        for c in text.chars() {
            match (quote, c) {
                (Some(q), _) if c == q => quote = None,
                (Some(_), _) => word.get_or_insert_default().push(c),
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, ';' | '&' | '\n') => {
                    words.extend(word.take());
                    if !words.is_empty() {
                        script.push_back(core::mem::take(&mut words));
                    }
                }
                (None, ' ' | '\t') => words.extend(word.take()),
                (None, _) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        if !words.is_empty() {
            script.push_back(words);
        }
        Script(script)
    }

    /// How long a hook with this script takes and how it ends: (virtual time, exit status).
    pub(super) fn outcome(mut self) -> (Nanos, u8) {
        let (mut time, mut status) = (0u64, 0);
        while let Some(words) = self.0.pop_front() {
            match (words.first().map_or("", |name| base(name)), words.get(1)) {
                ("sleep", Some(text)) => time = time.saturating_add(duration(text).0),
                ("exit", code) => return (Nanos(time), number(code.map_or("", String::as_str))),
                ("false", _) => status = 1,
                _ => status = 0,
            }
        }
        (Nanos(time), status)
    }
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A number of a command line; what is none counts as 0.
pub(super) fn number(text: &str) -> u8 {
    text.parse().unwrap_or(0)
}

/// Seconds with a fraction, as sleep(1) takes them.
pub(super) fn duration(text: &str) -> Nanos {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut nanos = whole.parse::<u64>().unwrap_or(0).saturating_mul(1_000_000_000);
    let mut unit = 100_000_000;
    for digit in fraction.chars().filter_map(|c| c.to_digit(10)) {
        nanos = nanos.saturating_add(u64::from(digit) * unit);
        unit /= 10;
    }
    Nanos(nanos)
}

/// A signal by name or number; none if there is no such signal here.
pub(super) fn signal(name: &str) -> Option<u8> {
    let number = match name.trim_start_matches('-').trim_start_matches("SIG") {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "KILL" => 9,
        "USR1" => 10,
        "USR2" => 12,
        "TERM" => 15,
        "STOP" => 19,
        text => text.parse().ok()?,
    };
    (1..=64).contains(&number).then_some(number)
}

/// Joins words the way echo(1) prints them.
pub(super) fn joined(words: &[String]) -> String {
    words.iter().enumerate().fold(String::new(), |mut line, (i, word)| {
        if i > 0 {
            line.push(' ');
        }
        line.push_str(word);
        line
    })
}

/// Replaces `$$` and `$?`.
pub(super) fn expand(words: &[String], pid: u32, status: u8) -> Words {
    words.iter().map(|w| w.replace("$$", &pid.to_string()).replace("$?", &status.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_split_as_a_shell_does() {
        let script = Script::parse("trap 'exit 3' TERM; echo \"a  b\" c;\nsleep 0.25 & wait");
        let lines: Vec<String> = script.0.iter().map(|words| words.join("|")).collect();
        assert_eq!(lines, ["trap|exit 3|TERM", "echo|a  b|c", "sleep|0.25", "wait"]);
        assert_eq!(script.outcome(), (Nanos(250_000_000), 0));
    }
}

//! Names of signals, as signal(7) gives their numbers on x86_64.

/// Highest signal number.
pub const SIGNAL_MAX: u8 = 64;
/// First real-time signal, as the kernel counts them.
const RT_MIN: u8 = 32;

/// Names without `SIG`, by number from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The number for a name (`TERM`, `SIGTERM`, `sigterm`), an alias (`IOT`, `POLL`, `CLD`) or decimal digits
/// ("15", 1 to 64).
pub fn number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=SIGNAL_MAX).contains(&number).then_some(number);
    }
    let name = match text.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("SIG") => text.get(3..)?,
        _ => text,
    };
    let position = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
    position.and_then(|index| u8::try_from(index + 1).ok()).or_else(|| alias(name))
}

fn alias(name: &str) -> Option<u8> {
    [("IOT", 6), ("CLD", 17), ("POLL", 29)]
        .into_iter()
        .find_map(|(known, number)| known.eq_ignore_ascii_case(name).then_some(number))
}

/// The name without `SIG`; none for real-time signals and for what is no signal.
pub fn name(number: u8) -> Option<&'static str> {
    if number >= RT_MIN {
        return None;
    }
    NAMES.get(usize::from(number).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gives_back_its_number() {
        for signal in 1..RT_MIN {
            assert_eq!(name(signal).and_then(number), Some(signal));
        }
    }

    #[test]
    fn names_are_read_with_and_without_prefix_in_any_case() {
        for text in ["KILL", "SIGKILL", "sigkill", "Kill", "9"] {
            assert_eq!(number(text), Some(9), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_has_no_number() {
        for text in ["", "SIG", "0", "65", "-1", "KILLER", "256", "SIGSIGKILL"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!((name(0), name(32), name(255)), (None, None, None));
    }
}

//! Limits as words: `memory=32M cpu=500 pids=9`, to the JSON of `linux.resources`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Microseconds of the period that CPU time is given in.
const PERIOD: u64 = 100_000;

/// What limits become. Displayed, it is `linux.resources` of a `config.json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Bytes.
    memory: Option<Limit>,
    /// Thousandths of a CPU.
    cpu: Option<Limit>,
    /// Processes.
    pids: Option<Limit>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limit {
    None,
    Of(u64),
}

impl Limits {
    /// What these words say; the word that says nothing otherwise. A number of bytes may end in K, M or G, and `none`
    /// takes a limit away.
    ///
    /// # Errors
    /// The word.
    pub fn parse(words: &[String]) -> Result<Limits, &str> {
        let mut limits = Limits::default();
        for word in words {
            let limit = word.split_once('=').and_then(|(name, value)| Some((name, Limit::parse(value)?)));
            match limit {
                Some(("memory", limit)) => limits.memory = Some(limit),
                Some(("cpu", limit)) => limits.cpu = Some(limit),
                Some(("pids", limit)) => limits.pids = Some(limit),
                _ => return Err(word),
            }
        }
        Ok(limits)
    }
}

impl Limit {
    fn parse(text: &str) -> Option<Limit> {
        if text == "none" {
            return Some(Limit::None);
        }
        let units = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];
        let unit = units.iter().find_map(|(letter, unit)| Some((text.strip_suffix(*letter)?, *unit)));
        let (number, unit) = unit.unwrap_or((text, 1u64));
        // 0 would ask for nothing.
        let number = number.parse::<u64>().ok().filter(|number| *number > 0)?.checked_mul(unit)?;
        i64::try_from(number).ok().map(|_| Limit::Of(number))
    }
    fn times(self, factor: u64) -> Limit {
        match self {
            Limit::None => Limit::None,
            Limit::Of(number) => Limit::Of(number.saturating_mul(factor)),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::None => f.write_str("-1"),
            Limit::Of(number) => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str, key: &str, limit: Option<Limit>, rest: &str| {
            limit.map(|limit| alloc::format!("\"{name}\":{{\"{key}\":{limit}{rest}}}"))
        };
        let period = alloc::format!(",\"period\":{PERIOD}");
        let parts: Vec<String> = [
            part("memory", "limit", self.memory, ""),
            part("cpu", "quota", self.cpu.map(|cpu| cpu.times(PERIOD / 1000)), &period),
            part("pids", "limit", self.pids, ""),
        ]
        .into_iter()
        .flatten()
        .collect();
        write!(f, "{{{}}}", parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn json(text: &str) -> Result<String, String> {
        let words: Vec<String> = text.split_whitespace().map(String::from).collect();
        Limits::parse(&words).map(|limits| limits.to_string()).map_err(String::from)
    }

    #[test]
    fn limits_become_what_a_configuration_would_say() {
        let all = "{\"memory\":{\"limit\":33554432},\"cpu\":{\"quota\":50000,\"period\":100000},\"pids\":{\"limit\":9}}";
        assert_eq!(json("memory=32M cpu=500 pids=9").as_deref(), Ok(all));
        assert_eq!(
            json("pids=none memory=none").as_deref(),
            Ok("{\"memory\":{\"limit\":-1},\"pids\":{\"limit\":-1}}")
        );
        assert_eq!(json("").as_deref(), Ok("{}"));
    }

    #[test]
    fn a_word_that_is_no_limit_is_given_back() {
        for word in ["memory", "memory=", "memory=x", "memory=0", "disk=5", "pids=-1", "memory=99999999999G"]
        {
            assert_eq!(json(word), Err(word.into()));
        }
    }
}

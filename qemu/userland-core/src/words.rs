//! From a line to commands, and from a command to words.
//!
//! Commands are divided by `;` or a line end, words by blanks. Quotes as in sh(1): nothing is special inside `'…'`;
//! inside `"…"` and outside of quotes a backslash takes the next character as it is.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One command of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandText<'a> {
    /// As it was typed, without the blanks around it.
    pub source: &'a str,
    /// Its words, at least one.
    pub words: Result<Vec<String>, Unclosed>,
}

/// A quote or a backslash at the end waits for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unclosed(pub char);

impl fmt::Display for Unclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            '\\' => f.write_str("nothing follows the \\ at the end"),
            quote => write!(f, "the {quote} is not closed"),
        }
    }
}

/// The commands of `text`, in order. Empty ones are left out.
pub fn commands(text: &str) -> impl Iterator<Item = CommandText<'_>> {
    let mut rest = text;
    core::iter::from_fn(move || {
        while !rest.is_empty() {
            let (source, words, after) = command(rest);
            rest = after;
            if words.as_ref().map_or(true, |words| !words.is_empty()) {
                return Some(CommandText { source: source.trim(), words });
            }
        }
        None
    })
}

/// The first command of `text`: its source, its words, and what follows the `;`.
fn command(text: &str) -> (&str, Result<Vec<String>, Unclosed>, &str) {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('"') | None, '\\') => match chars.next() {
                Some((_, next)) => word.get_or_insert_default().push(next),
                None => return (text, Err(Unclosed('\\')), ""),
            },
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ';' | '\n') => {
                words.extend(word);
                let (source, rest) = text.split_at(at);
                return (source, Ok(words), rest.get(1..).unwrap_or_default());
            }
            (None, ' ' | '\t' | '\r') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (text, quote.map_or(Ok(words), |open| Err(Unclosed(open))), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn split(text: &str) -> Vec<(&str, Result<Vec<String>, Unclosed>)> {
        commands(text).map(|command| (command.source, command.words)).collect()
    }
    fn words(list: &[&str]) -> Result<Vec<String>, Unclosed> {
        Ok(list.iter().map(|word| (*word).into()).collect())
    }

    #[test]
    fn commands_end_at_semicolons_and_keep_what_was_typed() {
        let expected = vec![("list", words(&["list"])), ("state  web", words(&["state", "web"]))];
        assert_eq!(split(" list ;; state  web ; \n"), expected);
    }

    #[test]
    fn quotes_hold_words_together_and_protect_semicolons() {
        let text = r#"exec web sh -c 'echo "a; b" $x'; exec web echo "it's" a\ b "\"" ''"#;
        let expected = vec![
            (r#"exec web sh -c 'echo "a; b" $x'"#, words(&["exec", "web", "sh", "-c", r#"echo "a; b" $x"#])),
            (
                r#"exec web echo "it's" a\ b "\"" ''"#,
                words(&["exec", "web", "echo", "it's", "a b", "\"", ""]),
            ),
        ];
        assert_eq!(split(text), expected);
    }

    #[test]
    fn what_is_left_open_is_an_error_of_that_command_only() {
        let split = split("list; state 'web; list");
        assert_eq!(split.first().map(|(_, words)| words.is_ok()), Some(true));
        assert_eq!(split.get(1), Some(&("state 'web; list", Err(Unclosed('\'')))));
        assert_eq!(split.len(), 2);
        assert_eq!(Unclosed('"').to_string(), "the \" is not closed");
        assert_eq!(super::commands("a\\").next().map(|c| c.words), Some(Err(Unclosed('\\'))));
    }

    #[test]
    fn blanks_are_no_command() {
        assert_eq!(split(" ; \t;\n;"), vec![]);
    }
}

//! The shell's commands: one table with usage and help, and what words mean.

use crate::limits::Limits;
use alloc::string::String;
use bailiwick_protocol::message::{DeleteMode, Stdio};
use bailiwick_protocol::{Rights, signal};
use core::fmt;

/// Name, arguments, what it does.
pub const TABLE: [(&str, &str, &str); 24] = [
    ("list", "", "the containers of this shell's factory"),
    ("create", "ID BUNDLE", "make a container of a bundle; its program waits"),
    ("start", "ID", "let the program of a created container run"),
    ("run", "[-t|-i] ID BUNDLE", "create and start; returns at once"),
    ("input", "ID [TEXT]", "a line of input (run -i); without TEXT its end"),
    ("exec", "[-t] ID PROGRAM ARGS…", "run a program inside, show its output"),
    ("state", "ID", "the OCI state, as JSON"),
    ("kill", "ID [SIGNAL]", "signal the first process (TERM if none is named)"),
    ("wait", "ID", "wait for the end and print the exit status"),
    ("pause", "ID", "stop every process inside where it is"),
    ("resume", "ID", "let them go on"),
    ("delete", "[--force] ID", "remove a container (--force: kill it first)"),
    ("logs", "ID", "what the container has written"),
    ("ps", "ID", "the processes inside"),
    ("events", "", "what has happened to this factory's containers"),
    ("stats", "ID", "memory, CPU time, process counts"),
    ("update", "ID LIMIT…", "other limits: memory=32M cpu=500 pids=20, or none"),
    ("grant", "ID NAME ON RIGHT…", "store a capability on ON with container ID"),
    ("take", "ID NAME", "what is stored with it by that name allows"),
    ("pivot", "ID", "which roots its creation exchanged"),
    ("plan", "BUNDLE", "the kernel steps of create, without doing any"),
    ("whoami", "", "what this shell may do"),
    ("help", "", "this list"),
    ("poweroff", "", "leave the shell and switch the machine off"),
];

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are the rows of TABLE")]
pub enum Command<'a> {
    List,
    Create { id: &'a str, bundle: &'a str },
    Start { id: &'a str },
    Run { id: &'a str, bundle: &'a str, stdio: Stdio },
    Input { id: &'a str, line: Option<&'a str> },
    Exec { id: &'a str, args: &'a [String], stdio: Stdio },
    State { id: &'a str },
    Kill { id: &'a str, signal: u8 },
    Wait { id: &'a str },
    Pause { id: &'a str },
    Resume { id: &'a str },
    Delete { id: &'a str, mode: DeleteMode },
    Logs { id: &'a str },
    Ps { id: &'a str },
    Events,
    Stats { id: &'a str },
    Update { id: &'a str, limits: Limits },
    Grant { id: &'a str, name: &'a str, on: &'a str, rights: Rights },
    Take { id: &'a str, name: &'a str },
    Pivot { id: &'a str },
    Plan { bundle: &'a str },
    WhoAmI,
    Help,
    PowerOff,
}

/// Why words are no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandError<'a> {
    /// No command is called that.
    Unknown(&'a str),
    /// The arguments are not those of the command with this name and usage.
    Usage(&'static str, &'static str),
    /// No signal is called that.
    Signal(&'a str),
    /// That is no limit.
    Limit(&'a str),
    /// No right that means something on a container is called that.
    Right(&'a str),
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Unknown(name) => write!(f, "{name}: no such command; help lists them"),
            CommandError::Usage(name, "") => write!(f, "usage: {name}"),
            CommandError::Usage(name, usage) => write!(f, "usage: {name} {usage}"),
            CommandError::Limit(word) => {
                write!(f, "{word}: no limit; such as memory=32M, cpu=500, pids=20 or pids=none")
            }
            CommandError::Right(name) => {
                write!(f, "{name}: no right on a container; such as inspect, observe, signal or exec")
            }
            CommandError::Signal(name) => {
                write!(f, "{name}: no such signal; a name such as TERM or a number")
            }
        }
    }
}

impl<'a> Command<'a> {
    /// What these words mean.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn parse(words: &'a [String]) -> Result<Command<'a>, CommandError<'a>> {
        let (name, args) = words.split_first().map_or(("", words), |(name, args)| (name.as_str(), args));
        let Some(&(name, usage, _)) = TABLE.iter().find(|(known, _, _)| *known == name) else {
            return Err(CommandError::Unknown(name));
        };
        match (name, args) {
            ("update", [id, words @ ..]) if !words.is_empty() => {
                let limits = Limits::parse(words).map_err(CommandError::Limit)?;
                return Ok(Command::Update { id, limits });
            }
            ("grant", [id, name, on, words @ ..]) if !words.is_empty() => {
                return Ok(Command::Grant { id, name, on, rights: rights(words)? });
            }
            ("exec", [flag, id, args @ ..]) if flag == TERMINAL => return exec(id, args, Stdio::Terminal),
            ("run", [flag, id, bundle]) if flag == TERMINAL => {
                return Ok(Command::Run { id, bundle, stdio: Stdio::Terminal });
            }
            ("run", [flag, id, bundle]) if flag == PIPED => {
                return Ok(Command::Run { id, bundle, stdio: Stdio::Piped });
            }
            _ => {}
        }
        match args {
            [] => none(name),
            [id, args @ ..] if name == "exec" => return exec(id, args, Stdio::Log),
            [one] => with_one(name, one),
            [one, two] => return with_two(name, usage, one, two),
            _ => None,
        }
        .ok_or(CommandError::Usage(name, usage))
    }
}

fn none(name: &str) -> Option<Command<'static>> {
    Some(match name {
        "list" => Command::List,
        "events" => Command::Events,
        "whoami" => Command::WhoAmI,
        "help" => Command::Help,
        "poweroff" => Command::PowerOff,
        _ => return None,
    })
}

fn with_one<'a>(name: &str, id: &'a str) -> Option<Command<'a>> {
    Some(match name {
        "start" => Command::Start { id },
        "state" => Command::State { id },
        "kill" => Command::Kill { id, signal: TERM },
        "wait" => Command::Wait { id },
        "pause" => Command::Pause { id },
        "resume" => Command::Resume { id },
        "delete" if id != FORCE => Command::Delete { id, mode: DeleteMode::Stopped },
        "logs" => Command::Logs { id },
        "ps" => Command::Ps { id },
        "stats" => Command::Stats { id },
        "pivot" => Command::Pivot { id },
        "input" => Command::Input { id, line: None },
        "plan" => Command::Plan { bundle: id },
        _ => return None,
    })
}

/// `SIGTERM` (signal(7)).
const TERM: u8 = 15;
const FORCE: &str = "--force";
const TERMINAL: &str = "-t";
const PIPED: &str = "-i";

fn with_two<'a>(
    name: &'static str,
    usage: &'static str,
    one: &'a str,
    two: &'a str,
) -> Result<Command<'a>, CommandError<'a>> {
    Ok(match name {
        "create" => Command::Create { id: one, bundle: two },
        "take" => Command::Take { id: one, name: two },
        "input" => Command::Input { id: one, line: Some(two) },
        "run" if one != TERMINAL && one != PIPED => {
            Command::Run { id: one, bundle: two, stdio: Stdio::Console }
        }
        "kill" => Command::Kill { id: one, signal: signal::number(two).ok_or(CommandError::Signal(two))? },
        "delete" if one == FORCE => Command::Delete { id: two, mode: DeleteMode::Force },
        "delete" if two == FORCE => Command::Delete { id: one, mode: DeleteMode::Force },
        _ => return Err(CommandError::Usage(name, usage)),
    })
}

fn rights<'a>(names: &'a [String]) -> Result<Rights, CommandError<'a>> {
    let mut rights = Rights::empty();
    for name in names {
        let named =
            Rights::from_name(&name.to_ascii_uppercase()).filter(|right| Rights::CONTAINER.contains(*right));
        rights |= named.ok_or(CommandError::Right(name))?;
    }
    Ok(rights)
}

fn exec<'a>(id: &'a str, args: &'a [String], stdio: Stdio) -> Result<Command<'a>, CommandError<'a>> {
    let usage = || TABLE.iter().find(|row| row.0 == "exec").map_or("", |row| row.1);
    match args {
        [] => Err(CommandError::Usage("exec", usage())),
        _ => Ok(Command::Exec { id, args, stdio }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn parsed(text: &str) -> Vec<String> {
        words::commands(text).next().and_then(|command| command.words.ok()).unwrap_or_default()
    }
    fn error(text: &str) -> Option<String> {
        Command::parse(&parsed(text)).err().map(|error| error.to_string())
    }

    #[test]
    fn every_command_of_the_table_is_understood() {
        for (name, usage, _) in TABLE {
            let usage = usage.replace("LIMIT…", "memory=8M pids=none").replace("RIGHT…", "inspect exec");
            let usage =
                usage.replace("[SIGNAL]", "KILL").replace("[--force]", "--force").replace("[-t]", "-t");
            let usage = usage.replace("[-t|-i]", "-i").replace("[TEXT]", "text");
            let words = parsed(&alloc::format!("{name} {usage}"));
            assert!(Command::parse(&words).is_ok(), "{name} {usage}");
        }
    }

    #[test]
    fn a_wrong_number_of_arguments_shows_the_usage() {
        for (name, usage, _) in TABLE {
            let shown = CommandError::Usage(name, usage).to_string();
            if usage.is_empty() {
                assert_eq!(error(&alloc::format!("{name} a b c d")), Some(shown));
            } else {
                assert_eq!(error(name), Some(shown));
            }
        }
        assert_eq!(error("exec web").as_deref(), Some("usage: exec [-t] ID PROGRAM ARGS…"));
        assert_eq!(error("delete --force").as_deref(), Some("usage: delete [--force] ID"));
    }

    #[test]
    fn signals_are_named_or_numbered() {
        for (text, signal) in [("kill a", 15), ("kill a KILL", 9), ("kill a sigusr1", 10), ("kill a 64", 64)]
        {
            assert_eq!(Command::parse(&parsed(text)), Ok(Command::Kill { id: "a", signal }));
        }
        let text = "KILLER: no such signal; a name such as TERM or a number";
        assert_eq!(error("kill a KILLER").as_deref(), Some(text));
        let text = "disk=5: no limit; such as memory=32M, cpu=500, pids=20 or pids=none";
        assert_eq!(error("update a disk=5").as_deref(), Some(text));
        let text = "create: no right on a container; such as inspect, observe, signal or exec";
        assert_eq!(error("grant a n b inspect create").as_deref(), Some(text));
        assert_eq!(error("fly").as_deref(), Some("fly: no such command; help lists them"));
    }

    #[test]
    fn options_of_a_program_in_exec_are_the_programs_own() {
        let words = parsed("exec web ls -t --force");
        assert!(matches!(
            Command::parse(&words),
            Ok(Command::Exec { id: "web", args, stdio: Stdio::Log }) if args.len() == 3
        ));
    }
}

//! The shell: commands to calls, answers to text.
//!
//! A command looks its container up with no more rights than the operation needs, makes the call, and gives the
//! capability up again. Whatever goes wrong is one line: command, thing, reason.
//!
//! A container is named by its id, or by the path to a capability that is stored: `desk/db` is what is stored with `desk`
//! as `db`. What the shell was handed capabilities on ([`Shell::hold`]) it does not look up.

mod act;
mod named;
mod print;

pub(crate) use print::exit as exit_text;

use crate::command::Command;
use crate::console::{Attention, Bundles, Console, say};
use crate::editor::{Edited, Editor};
use crate::words::{CommandText, commands};
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_client::{CallError, Container, Factory, StateError};
use bailiwick_protocol::channel::Channel;
use core::fmt;

/// What the shell shows before a command.
pub const PROMPT: &str = "bailiwick> ";

/// A terminal somebody types on.
pub trait Terminal: Console {
    /// Waits for input and takes what there is, at least one byte. None if there will never be any more.
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize>;
}

/// What follows a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The next one.
    Command,
    /// Nothing: the shell was told to power off.
    PowerOff,
}

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure<E, B> {
    /// The call failed.
    Call(CallError<E>),
    /// This bundle wants a terminal, and a container with this id was to be made without one.
    NoTerminal {
        /// What the server says.
        error: CallError<E>,
        /// Which container.
        id: String,
        /// Which bundle.
        bundle: String,
    },
    /// The bundle with this name cannot be had.
    Bundle(String, B),
    /// So many bytes of so many were taken: the program has to read some first.
    Full(u32, usize),
    /// What was asked about ended with this status, which is not 0.
    Status(u8),
    /// Somebody typed Ctrl-C.
    Interrupted,
}

impl<E: fmt::Display, B: fmt::Display> fmt::Display for Failure<E, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Call(error) => error.fmt(f),
            Failure::NoTerminal { error, id, bundle } => {
                write!(f, "{error}; run -t {id} {bundle} gives it this one")
            }
            Failure::Bundle(name, error) => write!(f, "bundle {name:?}: {error}"),
            Failure::Full(taken, of) => {
                write!(
                    f,
                    "it is full, {taken} of {of} bytes were taken: try again with the rest once some were read"
                )
            }
            Failure::Status(status) => write!(f, "it ended with status {status}"),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}
impl<E, B> From<CallError<E>> for Failure<E, B> {
    fn from(error: CallError<E>) -> Self {
        Failure::Call(error)
    }
}
impl<E, B> From<StateError<E>> for Failure<E, B> {
    fn from(error: StateError<E>) -> Self {
        match error {
            StateError::Call(error) => Failure::Call(error),
            // The console takes everything.
            StateError::Write(_) => Failure::Status(1),
        }
    }
}

/// How a list of commands went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Commands that were carried out or tried.
    pub ran: u32,
    /// Those of them that failed.
    pub failed: u32,
}

/// The shell over one factory.
#[derive(Debug)]
pub struct Shell<C, B, A> {
    factory: Factory<C>,
    bundles: B,
    attention: A,
    /// Containers it holds capabilities on, by their names.
    held: Vec<(String, Container<C>)>,
}

type Result<T, C, B> = core::result::Result<T, Failure<<C as Channel>::Error, <B as Bundles>::Error>>;

impl<C: Channel, B: Bundles<Directory = C::Directory>, A: Attention<C>> Shell<C, B, A> {
    /// A shell that may do what this factory allows, with these bundles, interrupted by what has its attention.
    pub fn new(factory: Factory<C>, bundles: B, attention: A) -> Self {
        Shell { factory, bundles, attention, held: Vec::new() }
    }

    /// The same shell, which also holds this capability on a container and calls it `name`.
    #[must_use]
    pub fn hold(mut self, name: &str, container: Container<C>) -> Self {
        self.held.push((name.into(), container));
        self
    }

    /// Runs a list of commands, each echoed behind the prompt before its output, the next one also after a failure.
    pub fn run_list(&self, text: &str, console: &mut dyn Console) -> Tally {
        let mut tally = Tally::default();
        for command in commands(text) {
            say(console, format_args!("{PROMPT}{}\n", command.source));
            tally.ran += 1;
            match self.run(&command, console) {
                Ok(Next::Command) => {}
                Ok(Next::PowerOff) => break,
                Err(_) => tally.failed += 1,
            }
        }
        tally
    }

    /// Prompts until it is told to power off or the input ends.
    pub fn converse(&self, terminal: &mut impl Terminal, width: usize) {
        let mut editor = Editor::new(PROMPT, width);
        let mut buffer = [0; 64];
        editor.draw(terminal);
        while let Some(count) = terminal.read(&mut buffer) {
            for byte in buffer.iter().take(count) {
                match editor.byte(*byte, terminal) {
                    Edited::More => continue,
                    Edited::Line(line) => {
                        if self.run_line(&line, terminal) == Next::PowerOff {
                            return;
                        }
                    }
                    Edited::Interrupted => {}
                    Edited::End => return,
                }
                editor.draw(terminal);
            }
        }
    }

    fn run_line(&self, line: &str, console: &mut dyn Console) -> Next {
        for command in commands(line) {
            match self.run(&command, console) {
                Ok(Next::PowerOff) => return Next::PowerOff,
                Err(Failed::Interrupted) => break,
                Ok(Next::Command) | Err(Failed::Told) => {}
            }
        }
        Next::Command
    }

    /// Runs one command; a failure has been told on the console.
    fn run(&self, text: &CommandText<'_>, console: &mut dyn Console) -> core::result::Result<Next, Failed> {
        let words = match &text.words {
            Ok(words) => words,
            Err(error) => return failed(console, format_args!("{error}")),
        };
        let command = match Command::parse(words) {
            Ok(command) => command,
            Err(error) => return failed(console, format_args!("{error}")),
        };
        match self.act(command, console) {
            Ok(next) => Ok(next),
            // The status itself is what was asked for, and is on the console.
            Err(Failure::Status(_)) => Err(Failed::Told),
            Err(Failure::Interrupted) => {
                console.write(b"^C\n");
                Err(Failed::Interrupted)
            }
            Err(error) => {
                let name = words.first().map_or("", String::as_str);
                match subject(&command) {
                    Some(id) => failed(console, format_args!("{name} {id}: {error}")),
                    None => failed(console, format_args!("{name}: {error}")),
                }
            }
        }
    }
}

/// A command failed and said so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failed {
    /// By itself.
    Told,
    /// By Ctrl-C, which is for all commands of the line.
    Interrupted,
}

fn failed<T>(console: &mut dyn Console, text: fmt::Arguments<'_>) -> core::result::Result<T, Failed> {
    say(console, format_args!("{text}\n"));
    Err(Failed::Told)
}

/// The container a command is about.
fn subject<'a>(command: &Command<'a>) -> Option<&'a str> {
    Some(match command {
        Command::Create { id, .. } | Command::Run { id, .. } | Command::Exec { id, .. } => id,
        Command::Start { id } | Command::State { id } | Command::Kill { id, .. } => id,
        Command::Wait { id } | Command::Pause { id } | Command::Resume { id } => id,
        Command::Delete { id, .. } | Command::Logs { id } | Command::Ps { id } => id,
        Command::Input { id, .. } | Command::Grant { id, .. } | Command::Take { id, .. } => id,
        Command::Stats { id } | Command::Pivot { id } | Command::Update { id, .. } => id,
        Command::Plan { bundle } => bundle,
        Command::List | Command::Events | Command::WhoAmI | Command::Help | Command::PowerOff => return None,
    })
}

//! Measures, prints one table, and compares it with what is recorded.

mod figure;
mod heap;
mod host;
mod machine;
mod record;
mod runtimes;
mod source;
mod stepping;

use anyhow::{Context, Result};
use clap::Parser;
use figure::Figure;
use record::Record;
use std::path::Path;
use std::process::ExitCode;

/// Measures, prints one table, and compares it with tests/bench/record.toml.
///
/// The exit status is 1 if a figure is worse than recorded. Instructions in QEMU are counted exactly, by its instruction
/// counter; those on the host are single steps, exact but for `rep` instructions. Everything else is a ratio to a peer of the same run, or only shown.
#[derive(Parser, Debug)]
#[command(name = "tests/bench/run", max_term_width = 110)]
struct Args {
    /// Leaves out what takes long: the table with 100,000 containers, other container runtimes, the time to the prompt
    #[arg(long)]
    quick: bool,
    /// Prints JSON in place of the table
    #[arg(long)]
    json: bool,
    /// Records these figures as those that must not get worse
    #[arg(long)]
    record: bool,
    /// Does what is counted on the host, with this many containers
    #[arg(long, hide = true)]
    counted: Option<u32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.counted {
        Some(containers) => host::counted(containers).map(|()| ExitCode::SUCCESS),
        None => run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tests/bench/run: {error:#}");
        ExitCode::from(2)
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    let figures = measure(args.quick)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print!("{}", figure::table(&figures));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/record.toml");
    if args.record {
        let mut record = if path.exists() { Record::read(&path)? } else { Record::default() };
        record.update(&figures);
        record.write(&path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let comparison = Record::read(&path)?.compare(&figures);
    comparison.better.iter().for_each(|line| eprintln!("better: {line}"));
    comparison.worse.iter().for_each(|line| eprintln!("worse: {line}"));
    Ok(if comparison.worse.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(quick: bool) -> Result<Vec<Figure>> {
    let mut figures = machine::figures(quick).context("in QEMU")?;
    figures.extend(source::figures().context("sizes")?);
    figures.extend(host::figures(quick).context("over loopback")?);
    if !quick {
        figures.extend(runtimes::figures().context("beside other runtimes")?);
    }
    Ok(figures)
}

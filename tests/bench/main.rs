//! Measures, prints one table, and compares it with what is recorded.

mod authority;
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
    /// The same, with this many grants
    #[arg(long, hide = true)]
    counted_grants: Option<u32>,
    /// The same, while the tree with this number is swept
    #[arg(long, hide = true)]
    counted_sweep: Option<usize>,
    /// Only what is measured over the loopback channel
    #[arg(long)]
    loopback: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let counted = args.counted.map(host::counted);
    let counted = counted.or_else(|| args.counted_grants.map(authority::count_grants));
    let counted = counted.or_else(|| args.counted_sweep.map(authority::count_sweep));
    let done = counted.map_or_else(|| run(&args), |counted| counted.map(|()| ExitCode::SUCCESS));
    done.unwrap_or_else(|error| {
        eprintln!("tests/bench/run: {error:#}");
        ExitCode::from(2)
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    let figures = if args.loopback { loopback(args.quick)? } else { measure(args.quick)? };
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
    figures.extend(loopback(quick)?);
    if !quick {
        figures.extend(runtimes::figures().context("beside other runtimes")?);
    }
    Ok(figures)
}

fn loopback(quick: bool) -> Result<Vec<Figure>> {
    let mut figures = host::figures(quick).context("over loopback")?;
    figures.extend(authority::figures().context("over loopback")?);
    Ok(figures)
}

//! `run` of `/bin/true` on Linux, by this command, runc and crun in turn.

use crate::figure::{Figure, Kind};
use anyhow::{Context, Result};
use bailiwick_runner::programs;
use bailiwick_tests::bundle::Bundle;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Rounds in which each runs once.
const ROUNDS: usize = 40;
const PEERS: [&str; 2] = ["runc", "crun"];

/// Ours beside each peer that runs here.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    let bundle = Bundle::new(&["/bin/true"])?;
    let state = tempfile::tempdir()?;
    let ours = ours()?;
    let once = |program: &Path| once(program, state.path(), bundle.path());
    once(&ours).context("bailiwick does not run here, which takes root")?;
    let peers: Vec<&str> = PEERS.into_iter().filter(|peer| once(Path::new(peer)).is_ok()).collect();
    let mut figures = Vec::new();
    for peer in peers {
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(once(&ours)?);
            theirs.push(once(Path::new(peer))?);
        }
        let inside =
            "wall time of the whole process, `/bin/true` of busybox, median of 40 runs of each in turn";
        let ours = (median(own), "ms");
        let figure = Figure::new(format!("run beside {peer}"), ours, Kind::Ratio, inside, "tests/bench/run");
        figures.push(figure.peer(peer, median(theirs)));
    }
    Ok(figures)
}

/// The command, freshly built.
fn ours() -> Result<std::path::PathBuf> {
    let root = programs::workspace();
    let arguments = ["build", "-q", "--release", "-p", "bailiwick"];
    let status = Command::new("cargo").current_dir(&root).args(arguments).status()?;
    anyhow::ensure!(status.success(), "the command does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    Ok(target.join("release/bailiwick"))
}

/// Milliseconds of one run.
fn once(program: &Path, state: &Path, bundle: &Path) -> Result<f64> {
    let root = state.join(program.file_name().unwrap_or_default());
    let start = Instant::now();
    let status = Command::new(program)
        .arg("--root")
        .arg(root)
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(format!("bench-{}", std::process::id()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "{} run: {status}", program.display());
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// The one in the middle.
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::INFINITY)
}

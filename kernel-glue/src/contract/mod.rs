//! The contract: one suite that every backend must pass.
//!
//! Each case is a promise of [`KernelGlue`], tried on a real container of a backend. A backend
//! brings a [`Fixture`]: the backend itself, the bundle of [`bundle::ENTRIES`], and a count of the kernel's
//! objects. After each case every container it made is destroyed, and the count must be what it was before.
//!
//! ```text
//!   run(fixture, report) ──► for each case: report.begin(name)
//!                                           case(context) ── ensure!(…) ──► Verdict
//!                                           destroy what it made, compare the census
//!                                           report.end(name, outcome)
//! ```
//!
//! It allocates and needs nothing else, so it runs on a host, as root on Linux, and as a program on our own
//! kernel. It never panics: what goes wrong is an outcome.

/// Fails the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::contract::Verdict::Failed(alloc::format!($($text)+)));
        }
    };
}

/// Fails the case unless both are equal.
macro_rules! ensure_eq {
    ($left:expr, $right:expr, $what:literal) => {
        match (&$left, &$right) {
            (left, right) if left == right => {}
            (left, right) => {
                return Err($crate::contract::Verdict::Failed(alloc::format!(
                    "{}: {left:?}, expected {right:?}",
                    $what
                )));
            }
        }
    };
}

pub mod bundle;
mod context;
mod destroy;
mod execute;
mod files;
mod filter;
mod freeze;
mod gate;
mod hooks;
mod input;
mod inside;
mod limits;
mod signals;

use crate::glue::KernelGlue;
use crate::plan::{Hook, HookKind};
use alloc::string::String;
use alloc::vec::Vec;
use context::Context;

/// Numbers of kernel objects, by kind. The same kinds in the same order at every count.
pub type Census = Vec<(&'static str, u64)>;

/// What a backend brings to be tried.
pub trait Fixture {
    /// The backend.
    type Glue: KernelGlue;

    /// The backend itself.
    fn glue(&mut self) -> &mut Self::Glue;

    /// A new handle on the directory of the bundle that [`bundle::ENTRIES`] describes.
    ///
    /// # Errors
    /// Why there is none; the case fails then.
    fn directory(&mut self) -> Result<<Self::Glue as KernelGlue>::Directory, String>;

    /// How many kernel objects there are. What a kernel cannot tell is left out; empty if it can tell nothing.
    /// If memory is counted, this waits before it counts until processes that have just been started have come to
    /// rest; some never do.
    fn census(&mut self) -> Census;

    /// A hook of this kind that succeeds and leaves a trace for [`Fixture::trail`]; none if the backend's hooks
    /// can leave none.
    fn traced(&mut self, kind: HookKind) -> Option<Hook>;

    /// The kinds of the traced hooks that ran since the last call, in the order in which they ran.
    fn trail(&mut self) -> Vec<HookKind>;
}

/// How a case ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The promise was kept.
    Passed,
    /// It was not; this is what was seen.
    Failed(String),
    /// It could not be tried, for this reason.
    Skipped(String),
}

/// Is told how it goes.
pub trait Report {
    /// A case begins. If nothing follows, it hangs.
    fn begin(&mut self, name: &'static str);
    /// It has ended.
    fn end(&mut self, name: &'static str, outcome: Outcome);
}

/// How many cases ended how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Promises kept.
    pub passed: u32,
    /// Promises broken.
    pub failed: u32,
    /// Promises not tried.
    pub skipped: u32,
}

/// Why a case stopped early.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Verdict {
    Failed(String),
    Skipped(String),
}

type Case = Result<(), Verdict>;
type Row<F> = (&'static str, fn(&mut Context<'_, F>) -> Case);

/// Runs every case.
pub fn run<F: Fixture>(fixture: &mut F, report: &mut impl Report) -> Counts {
    run_some(fixture, report, |_| true)
}

/// Runs the cases whose names `wanted` accepts.
pub fn run_some<F: Fixture>(
    fixture: &mut F,
    report: &mut impl Report,
    wanted: impl Fn(&str) -> bool,
) -> Counts {
    let mut counts = Counts::default();
    let groups: [Vec<Row<F>>; 11] = [
        files::cases(),
        gate::cases(),
        inside::cases(),
        signals::cases(),
        freeze::cases(),
        execute::cases(),
        input::cases(),
        limits::cases(),
        filter::cases(),
        hooks::cases(),
        destroy::cases(),
    ];
    let mut used = 0;
    for (name, case) in groups.into_iter().flatten().filter(|(name, _)| wanted(name)) {
        report.begin(name);
        let outcome = try_case(fixture, &mut used, case);
        match outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed(_) => counts.failed += 1,
            Outcome::Skipped(_) => counts.skipped += 1,
        }
        report.end(name, outcome);
    }
    counts
}

fn try_case<F: Fixture>(fixture: &mut F, used: &mut u64, case: fn(&mut Context<'_, F>) -> Case) -> Outcome {
    let before = fixture.census();
    let mut context = Context::new(fixture, used);
    let verdict = case(&mut context);
    let cleared = context.clear();
    let after = fixture.census();
    match (verdict, cleared) {
        (Err(Verdict::Failed(what)), _) | (Ok(()), Err(Verdict::Failed(what))) => Outcome::Failed(what),
        (Err(Verdict::Skipped(why)), _) | (Ok(()), Err(Verdict::Skipped(why))) => Outcome::Skipped(why),
        (Ok(()), Ok(())) if before != after => {
            Outcome::Failed(alloc::format!("left behind: {before:?} before, {after:?} after"))
        }
        (Ok(()), Ok(())) => Outcome::Passed,
    }
}

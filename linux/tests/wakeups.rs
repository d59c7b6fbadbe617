//! What happens between two looks of the monitor is answered before it sleeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::{bundle::Bundle, limit};
use common::{BAILIWICK, Home, path, text};
use std::process::{Command, Stdio};

/// Holds the monitor up after each of its looks, so that whatever the container's first process does happens between
/// one look that found nothing and the next. The delay only forces this order: nothing here is timed.
const DELAY: &str = "inject=epoll_wait,epoll_pwait:delay_exit=100000";

#[test]
fn an_event_between_two_looks_is_answered_before_the_monitor_sleeps() {
    let home = Home::new();
    let bundle = Bundle::script("exit 7").unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", "strace", "-f", "-qq", "-o", "/dev/null", "-e", DELAY]);
    command.args([BAILIWICK, "--root"]).arg(home.root()).args(["run", "--bundle", path(bundle.path())]);
    command.arg(home.id("between")).stdin(Stdio::null());
    let output = limit::output(&mut command).unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(home.names(), Vec::<String>::new());
}

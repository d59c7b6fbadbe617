//! A time limit for each test of a program with one thread.

use core::ffi::{c_int, c_void};

/// Seconds for one test, however loaded the machine is.
const SECONDS: u32 = 120;

/// Begins a test: unless the next one begins in time, the program ends and says so. Call [`end`] after the last.
pub fn begin() {
    // SAFETY: the handler does only what signal-safety(7) allows.
    unsafe { libc::signal(libc::SIGALRM, too_late as extern "C" fn(c_int) as libc::sighandler_t) };
    // SAFETY: alarm(2) touches no memory.
    unsafe { libc::alarm(SECONDS) };
}

/// No test is under way any more.
pub fn end() {
    // SAFETY: as above.
    unsafe { libc::alarm(0) };
}

extern "C" fn too_late(_: c_int) {
    let text = b"FAILED\n    it hangs: its time limit is over\ntest result: FAILED\n";
    // SAFETY: pointer and length describe `text`; both calls are safe in a handler.
    unsafe {
        libc::write(1, text.as_ptr().cast::<c_void>(), text.len());
        libc::_exit(1)
    }
}

//! Standard input that is a pipe.

use super::*;
use bailiwick_kernel_glue::plan::ProcessPlan;
use bailiwick_protocol::message::InputEnd;

/// A system call whose number is not what it returns at the end.
const READV: u64 = 19;

/// A container at the gate whose first process has a pipe, and the census with one that had none made and removed.
fn piped(w: &mut World) -> (ContainerId, Census) {
    let plan = spec_plan(|_| {});
    let first = w.made(&plan);
    w.k.container_remove(first);
    let before = w.census();
    let id = w.create_with(Stdio::Piped);
    w.steps(id, &plan.create).unwrap();
    (id, before)
}

fn feed(w: &mut World, id: ContainerId, bytes: &[u8], then: InputEnd) -> Result<usize, Errno> {
    w.k.container_input(id, Which::First, bytes, then)
}

/// What a process gets from its standard input, which must not be empty and open.
fn take(w: &mut World, process: ProcessId) -> Vec<u8> {
    let at = w.text(process, "");
    let count = w.call(process, 0, [0, at, 4096, 0]);
    let mut bytes = alloc::vec![0; usize::try_from(count).unwrap()];
    w.k.with_memory(process, |space, s| space.read(s, at, &mut bytes)).unwrap().unwrap();
    bytes
}

#[test]
fn a_process_reads_what_is_written_to_its_input_and_comes_to_its_end() {
    let mut w = World::new();
    let (id, before) = piped(&mut w);
    assert_eq!(feed(&mut w, id, b"early ", InputEnd::Open), Ok(6));
    w.k.container_release(id).unwrap();
    let pid = w.first(id);
    assert_eq!(take(&mut w, pid), b"early ");
    // Who comes before the bytes waits for them, and is woken by them.
    let at = w.text(pid, "");
    let one = [(at + 64).to_le_bytes(), 4000u64.to_le_bytes()].concat();
    w.k.with_memory(pid, |space, s| space.write(s, at, &one)).unwrap().unwrap();
    assert_eq!(w.call(pid, READV, [0, at, 1, 0]), READV as i64, "the call has not returned");
    assert_eq!(feed(&mut w, id, b"la", InputEnd::Open), Ok(2));
    assert_eq!(take(&mut w, pid), b"la");
    assert_eq!(feed(&mut w, id, b"te", InputEnd::Close), Ok(2));
    assert_eq!(take(&mut w, pid), b"te");
    assert_eq!(take(&mut w, pid), b"", "the end");
    assert_eq!(feed(&mut w, id, b"more", InputEnd::Open), Err(Errno::EPIPE));
    assert_eq!(w.write(pid, 1, "said"), 4);
    w.exit(pid, 0);
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn an_input_holds_so_much_and_what_nobody_read_is_given_back() {
    let mut w = World::new();
    let (id, before) = piped(&mut w);
    w.k.container_release(id).unwrap();
    let mut total = 0;
    while total <= 16 * crate::hw::PAGE {
        match feed(&mut w, id, &[7; 3000], InputEnd::Open).unwrap() {
            0 => break,
            taken => total += taken,
        }
    }
    assert_eq!(total, 16 * crate::hw::PAGE);
    // What is not taken whole does not end it: there may be more.
    assert_eq!(feed(&mut w, id, &[7; 3000], InputEnd::Close), Ok(0));
    let pid = w.first(id);
    assert_eq!(take(&mut w, pid).len(), 4096);
    assert_eq!(feed(&mut w, id, &[7; 3000], InputEnd::Open), Ok(3000));
    // Nobody reads any more.
    w.exit(pid, 0);
    assert_eq!(feed(&mut w, id, b"x", InputEnd::Open), Err(Errno::EPIPE));
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

#[test]
fn a_further_process_has_an_input_of_its_own_and_others_have_none() {
    let mut w = World::new();
    let plan = spec_plan(|_| {});
    let id = w.started(&plan);
    w.k.container_remove(id);
    let before = w.census();
    let id = w.started(&plan);
    assert_eq!(feed(&mut w, id, b"x", InputEnd::Open), Err(Errno::EINVAL), "its input is no pipe");
    let load = Step::Load { args: Vec::from(["sh".to_string()]), env: Vec::from(["PATH=/bin".to_string()]) };
    let further = ProcessPlan { steps: Vec::from([load]), stdio: Stdio::Piped };
    let pid = w.k.container_execute(id, 5, &further).unwrap();
    let own = |w: &mut World, which| w.k.container_input(id, which, b"own", InputEnd::Open);
    assert_eq!(own(&mut w, Which::Exec(5)), Ok(3));
    assert_eq!(take(&mut w, pid), b"own");
    assert_eq!(own(&mut w, Which::Exec(6)), Err(Errno::ESRCH));
    assert_eq!(own(&mut w, Which::Hook(5)), Err(Errno::ESRCH));
    // Forgotten while it is open and full of bytes.
    assert_eq!(own(&mut w, Which::Exec(5)), Ok(3));
    w.k.container_forget(id, Which::Exec(5)).unwrap();
    assert_eq!(own(&mut w, Which::Exec(5)), Err(Errno::ESRCH));
    // One that was ended before anybody read it.
    w.k.container_execute(id, 6, &further).unwrap();
    assert_eq!(w.k.container_input(id, Which::Exec(6), b"x", InputEnd::Close), Ok(1));
    assert_eq!(w.k.container_input(id, Which::Exec(6), b"x", InputEnd::Open), Err(Errno::EPIPE));
    w.k.container_destroy(id);
    assert_eq!(feed(&mut w, id, b"x", InputEnd::Open), Err(Errno::ESRCH));
    w.k.container_remove(id);
    assert_eq!(w.census(), before);
}

//! What objects of the kernel take counts as memory of the container they were made for.

use super::*;
use crate::group::{Group, Limits};
use bailiwick_kernel_glue::plan::ProcessPlan;
use bailiwick_server::oci::OciCapabilitySet;

const ENOMEM: i64 = -12;
const CREATE: u64 = 0o101;

/// Makes one object more as a process; below 0 if it was refused.
type Make = fn(&mut World, ProcessId, u64) -> i64;

/// Everything that a process can have more and more of, and pages that are left for each.
const OBJECTS: [(&str, u64, Make); 13] = [
    ("files", 20, |w, p, at| {
        let fd = w.open(p, &format!("/dev/shm/{at}"), CREATE);
        if fd < 0 { fd } else { w.call(p, 3, [fd as u64, 0, 0, 0]) }
    }),
    ("directories", 20, |w, p, at| {
        let path = w.text(p, &format!("/dev/shm/d{at}"));
        w.call(p, 83, [path, 0o755, 0, 0])
    }),
    ("long names", 20, |w, p, at| {
        let path = w.text(p, &format!("/dev/shm/{at}{}", "n".repeat(240)));
        w.call(p, 83, [path, 0o755, 0, 0])
    }),
    ("links", 20, |w, p, at| {
        let target = w.text(p, &"t".repeat(1000));
        let path = w.text_at(p, 1024, &format!("/dev/shm/l{at}"));
        w.call(p, 88, [target, path, 0, 0])
    }),
    ("names of one file", 20, |w, p, at| {
        let fd = w.open(p, "/dev/shm/one", CREATE);
        w.call(p, 3, [fd as u64, 0, 0, 0]);
        let old = w.text(p, "/dev/shm/one");
        let new = w.text_at(p, 1024, &format!("/dev/shm/h{at}"));
        w.call(p, 86, [old, new, 0, 0])
    }),
    ("open files", 20, |w, p, _| w.open(p, "/etc/plain", 0)),
    ("files without a name", 20, |w, p, _| {
        let name = w.text(p, "name");
        w.call(p, 319, [name, 0, 0, 0])
    }),
    ("pipes", 20, |w, p, _| {
        let at = w.text(p, "");
        w.call(p, 22, [at, 0, 0, 0])
    }),
    ("descriptors", 0, |w, p, at| w.call(p, 33, [0, 70 + at, 0, 0])),
    ("areas", 20, |w, p, at| w.call(p, 9, [0, 4096, 1 + 2 * (at % 2), 0x22])),
    ("threads", 20, |w, p, _| w.call(p, 56, [0x10f00, 0, 0, 0])),
    ("mounts", 20, |w, p, _| {
        let kind = w.text(p, "tmpfs");
        let place = w.text_at(p, 1024, "/dev/shm");
        w.call(p, 165, [kind, place, kind, 0])
    }),
    ("namespaces", 20, |w, p, _| {
        let unshared = w.call(p, 272, [0x0400_0000, 0, 0, 0]);
        if unshared < 0 { unshared } else { w.open(p, "/proc/self/ns/uts", 0) }
    }),
];

impl World {
    fn group(&self, id: ContainerId) -> &Group {
        let group = self.k.containers.made(id).unwrap().group().unwrap();
        self.k.groups.get(group).unwrap()
    }
    /// Leaves the group of a container so many pages.
    fn leave(&mut self, id: ContainerId, pages: u64) -> u64 {
        let limit = self.group(id).memory() + pages;
        let group = self.k.containers.made(id).unwrap().group().unwrap();
        let limits = Limits { frames: Some(limit), ..Limits::default() };
        self.k.groups.get_mut(group).unwrap().set_limits(limits);
        limit
    }
}

/// A plan whose process may mount.
fn admin() -> Plan {
    spec_plan(|c| {
        let capabilities = c.process.capabilities.as_mut().unwrap();
        let admin = OciCapabilitySet::from_name("CAP_SYS_ADMIN").unwrap();
        (capabilities.bounding, capabilities.effective, capabilities.permitted) = (admin, admin, admin);
    })
}

#[test]
fn whatever_a_process_makes_it_stops_at_the_limit_of_its_memory_and_nobody_else_notices() {
    let plan = admin();
    let mut other = plan.clone();
    if let Step::ResourceGroup { path, .. } = &mut other.create[0] {
        *path = "calm".to_string();
    }
    for (what, pages, make) in OBJECTS {
        let mut w = World::new();
        let before = w.census();
        let calm = w.started(&other);
        let full = w.started(&plan);
        let process = w.first(full);
        // What making the first one takes besides: pages of the stack, of a list.
        assert!(make(&mut w, process, 0) >= 0, "{what}");
        let heap = w.group(full).account.total();
        let limit = w.leave(full, pages);
        let refusal = (1..10_000).map(|at| make(&mut w, process, at)).find(|result| *result < 0);
        assert_eq!(refusal, Some(ENOMEM), "{what}");
        let taken = w.group(full).account.total() - heap;
        assert!(w.group(full).memory() <= limit, "{what}");
        assert!(taken > pages / 2 * 4096 || pages == 0, "{what}: only {taken} bytes are charged");
        let neighbour = w.first(calm);
        assert!(make(&mut w, neighbour, 1) >= 0, "{what}: another container is refused too");
        [full, calm].into_iter().for_each(|id| w.k.container_remove(id));
        assert_eq!(w.census(), before, "{what}");
    }
}

/// A whole life with everything in it, as far as it goes.
fn live(w: &mut World, plan: &Plan) -> Option<ContainerId> {
    let id = w.try_create(Stdio::Log).ok()?;
    if w.steps(id, &plan.create).is_err() || w.k.container_release(id).is_err() {
        return Some(id);
    }
    let process = w.first(id);
    for (_, _, make) in OBJECTS {
        make(w, process, 1);
    }
    w.call(process, 57, [0; 4]);
    let load = Step::Load { args: Vec::from(["sh".to_string()]), env: Vec::new() };
    let _ = w.k.container_execute(id, 1, &ProcessPlan { steps: Vec::from([load]), stdio: Stdio::Piped });
    Some(id)
}

#[test]
fn whatever_is_refused_for_want_of_heap_leaves_nothing_behind() {
    let plan = admin();
    let mut refused = 0;
    loop {
        let mut w = World::new();
        let before = w.census();
        w.k.mem.hw.heap_full_after.set(Some(refused));
        let id = live(&mut w, &plan);
        let was_refused = w.k.mem.hw.heap_full_after.take().is_none();
        id.into_iter().for_each(|id| w.k.container_remove(id));
        assert_eq!(w.census(), before, "the look that was refused: {refused}");
        if !was_refused {
            break;
        }
        refused += 1;
    }
    assert!(refused > 150, "{refused}");
}

#[test]
fn what_an_object_is_charged_for_is_what_it_takes_of_the_heap() {
    let fork: (&str, u64, Make) = ("processes", 0, |w, p, _| w.call(p, 57, [0; 4]));
    for (what, _, make) in OBJECTS.into_iter().chain([fork]) {
        let mut w = World::new();
        let id = w.started(&admin());
        let process = w.first(id);
        // What is made once is there by then.
        (0..100).for_each(|at| assert!(make(&mut w, process, at) >= 0, "{what}"));
        let before = w.census().kernel.charged_heap;
        let measured = allocation_counter::measure(|| {
            (100..300).for_each(|at| assert!(make(&mut w, process, at) >= 0, "{what}"));
        });
        let charged = (w.census().kernel.charged_heap - before) as i64;
        let taken = measured.bytes_current;
        assert!((taken..=4 * taken).contains(&charged), "{what}: charged {charged}, taken {taken}");
    }
}

#[test]
fn a_process_pays_for_itself_beside_its_first_thread() {
    let mut w = World::new();
    let id = w.started(&admin());
    let (process, before) = (w.first(id), w.census().kernel.charged_heap);
    assert!(w.call(process, 57, [0; 4]) > 0);
    let least = crate::thread::PRICE + crate::linux::LinuxProcess::price(0);
    assert!(w.census().kernel.charged_heap - before >= least as u64);
}

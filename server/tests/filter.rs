//! `linux.seccomp` as a program: what it says of calls, held against the rules read one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_kernel_glue::filter::{
    ARCHITECTURE_X86, ARCHITECTURE_X86_64, Filter, FilterFlags, SystemCall, X32_BIT, verdict,
};
use bailiwick_kernel_glue::plan::Step;
use common::{all, planned, refused, spec_with};
use serde_json::{Value, json};

const EPERM: u32 = verdict::ERRNO | 1;
const READ: u32 = 0;
const IOCTL: u32 = 16;
const SOCKET: u32 = 41;

fn filter(profile: Value) -> Filter {
    let plan = planned(&spec_with("/linux/seccomp", profile), &all()).unwrap();
    let mut filters = plan.create.into_iter().filter_map(|step| match step {
        Step::Filter(filter) => Some(filter),
        _ => None,
    });
    let only = filters.next().unwrap();
    assert_eq!((filters.next(), only.verify()), (None, Ok(())));
    only
}

fn call(number: u32, arguments: &[u64]) -> SystemCall {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    SystemCall { number, architecture: ARCHITECTURE_X86_64, instruction_pointer: 0, arguments: all }
}

#[test]
fn a_call_that_no_rule_names_gets_the_default() {
    let rules = json!([
        { "names": ["read", "exit_group", "arm_fadvise64_64"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9 },
        { "names": ["getppid"], "action": "SCMP_ACT_KILL" },
        { "names": ["gettid"], "action": "SCMP_ACT_KILL_PROCESS" },
        { "names": ["getuid"], "action": "SCMP_ACT_TRAP" },
        { "names": ["getgid"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
        { "names": ["geteuid"], "action": "SCMP_ACT_LOG" },
    ]);
    let it = filter(json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": rules }));
    let named = [
        (READ, verdict::ALLOW),
        (231, verdict::ALLOW),
        (39, verdict::ERRNO | 9),
        (110, verdict::KILL_THREAD),
        (186, verdict::KILL_PROCESS),
        (102, verdict::TRAP),
        (104, verdict::TRACE | 7),
        (107, verdict::LOG),
    ];
    for number in (0..1000).chain([X32_BIT - 1]) {
        let wanted =
            named.iter().find(|(known, _)| *known == number).map_or(verdict::ERRNO | 38, |(_, v)| *v);
        assert_eq!(it.run(&call(number, &[])), wanted, "{number}");
    }
    for architecture in [ARCHITECTURE_X86, 0, 0xc000_00b7] {
        let foreign = SystemCall { architecture, ..call(READ, &[]) };
        assert_eq!(it.run(&foreign), verdict::KILL_PROCESS, "{architecture:x}");
    }
    assert_eq!(it.run(&call(X32_BIT, &[])), verdict::KILL_PROCESS);
}

#[test]
fn an_argument_is_compared_over_all_its_64_bits() {
    let edges =
        [0, 1, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x2_0000_0000, u64::MAX - 1, u64::MAX];
    for (op, holds) in [
        ("SCMP_CMP_EQ", (|a, b| a == b) as fn(u64, u64) -> bool),
        ("SCMP_CMP_NE", |a, b| a != b),
        ("SCMP_CMP_LT", |a, b| a < b),
        ("SCMP_CMP_LE", |a, b| a <= b),
        ("SCMP_CMP_GT", |a, b| a > b),
        ("SCMP_CMP_GE", |a, b| a >= b),
    ] {
        for value in edges {
            for index in [0, 5] {
                let rule = json!([{
                    "names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                    "args": [{ "index": index, "value": value, "op": op }],
                }]);
                let it = filter(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rule }));
                for given in edges {
                    let mut arguments = [7; 6];
                    arguments[index] = given;
                    let wanted = if holds(given, value) { verdict::ALLOW } else { EPERM };
                    assert_eq!(it.run(&call(IOCTL, &arguments)), wanted, "{given:x} {op} {value:x}");
                }
            }
        }
    }
}

#[test]
fn a_masked_argument_is_compared_under_its_mask() {
    let rule = json!([{
        "names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": 0x1_0000_00f0u64, "valueTwo": 0x1_0000_0010u64, "op": "SCMP_CMP_MASKED_EQ" }],
    }]);
    let it = filter(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rule }));
    for (given, wanted) in [
        (0x1_0000_0010, verdict::ALLOW),
        (0xffff_ffff_ffff_ff1f, verdict::ALLOW),
        (0x10, EPERM),
        (0x1_0000_0030, EPERM),
        (0x1_0000_0000, EPERM),
    ] {
        assert_eq!(it.run(&call(56, &[given])), wanted, "{given:x}");
    }
}

#[test]
fn conditions_on_several_arguments_must_all_hold_and_of_several_on_one_any() {
    let socket = |args: Value, action: &str| json!({ "names": ["socket"], "action": action, "args": args });
    let is = |index: u32, value: u64| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let deny = socket(json!([is(0, 16), is(2, 9)]), "SCMP_ACT_ERRNO");
    let any = socket(json!([is(0, 16), is(0, 2)]), "SCMP_ACT_ALLOW");
    let it = filter(json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [deny, any] }));
    for (arguments, wanted) in [
        ([16, 3, 9], EPERM),
        ([16, 3, 8], verdict::ALLOW),
        ([2, 3, 9], verdict::ALLOW),
        ([1, 3, 9], verdict::KILL_PROCESS),
    ] {
        assert_eq!(it.run(&call(SOCKET, &arguments)), wanted, "{arguments:?}");
    }
    // A rule without conditions beats those with, wherever it stands.
    let plain = json!({ "names": ["socket"], "action": "SCMP_ACT_LOG" });
    let it = filter(json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [deny, plain] }));
    assert_eq!(it.run(&call(SOCKET, &[16, 3, 9])), verdict::LOG);
}

#[test]
fn other_interfaces_of_the_processor_have_their_own_numbers() {
    let rules = json!([
        { "names": ["read", "ioctl"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_EQ" }] },
        { "names": ["shmget"], "action": "SCMP_ACT_ERRNO" },
    ]);
    let it = filter(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules, "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
    }));
    assert_eq!(it.flags, FilterFlags::LOG);
    let x86 = |number, first| SystemCall { architecture: ARCHITECTURE_X86, ..call(number, &[first]) };
    for (made, wanted) in [
        (call(READ, &[]), EPERM),
        (call(X32_BIT | READ, &[]), EPERM),
        (call(IOCTL, &[]), EPERM),
        (call(X32_BIT | 514, &[]), EPERM),
        (call(X32_BIT | 515, &[]), verdict::ALLOW),
        (x86(3, 0), EPERM),
        (x86(0, 0), verdict::ALLOW),
        (x86(359, 40), EPERM),
        (x86(359, 41), verdict::ALLOW),
        // socketcall(SYS_SOCKET) and ipc(SHMGET): what they carry cannot be seen.
        (x86(102, 1), EPERM),
        (x86(102, 2), verdict::ALLOW),
        (x86(117, 23), EPERM),
        (x86(117, 24), verdict::ALLOW),
    ] {
        assert_eq!(it.run(&made), wanted, "{made:?}");
    }
}

#[test]
fn what_a_filter_cannot_do_is_refused_by_name() {
    let rule = |name: &str, action: &str| json!([{ "names": ["read", name], "action": action }]);
    for (profile, place) in [
        (
            json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s",
                "syscalls": rule("write", "SCMP_ACT_NOTIFY"),
            }),
            "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY",
        ),
        (json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/s" }), "linux.seccomp.listenerPath"),
        (
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            }),
            "linux.seccomp.flags[1]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule("no_such_call", "SCMP_ACT_ERRNO") }),
            "linux.seccomp.syscalls[0].names[1]: \"no_such_call\" is no system call of this machine",
        ),
    ] {
        assert_eq!(refused(planned(&spec_with("/linux/seccomp", profile), &all())), place);
    }
    // Where the default forbids, a name that is not known is forbidden already.
    filter(json!({ "defaultAction": "SCMP_ACT_KILL", "syscalls": rule("no_such_call", "SCMP_ACT_ERRNO") }));
}

#[test]
fn the_filter_comes_where_loading_it_needs_no_more_than_the_process_has() {
    let position = |no_new_privileges: bool| {
        let mut document = spec_with("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW" }));
        document["process"]["noNewPrivileges"] = no_new_privileges.into();
        let steps = planned(&document, &all()).unwrap().create;
        let at = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
        (at(|s| matches!(s, Step::Filter(_))), at(|s| matches!(s, Step::Capabilities(_))), steps.len())
    };
    let (filter, capabilities, steps) = position(true);
    assert_eq!((filter, capabilities), (steps - 3, steps - 5));
    let (filter, capabilities, _) = position(false);
    assert_eq!(filter + 1, capabilities);
}

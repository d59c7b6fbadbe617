//! One process, as proc(5) shows it. Ids are shown as the reader's user namespace names them.

use super::super::facts::ProcessFacts;
use super::super::items::Item;
use super::super::{Caller, Env, SuperId, Vfs};
use super::top::TICK;
use crate::hw::PAGE;
use crate::ns::user::{IdTable, OVERFLOW_ID};
use crate::ns::{Body, NamespaceId, ProcessId};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;
use core::fmt::Write;

impl Vfs {
    pub(super) fn process_text(
        &self,
        env: &mut Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        process: ProcessId,
        (name, dir, _): Item,
    ) -> Result<Vec<u8>, Errno> {
        let facts = env.processes.process(process).ok_or(Errno::ENOENT)?;
        let text: String = match (name, dir) {
            ("dev", _) => self.net_devices(env, process),
            ("route", _) => "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n".into(),
            ("tcp" | "udp", _) => {
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n".into()
            }
            ("unix", _) => "Num       RefCount Protocol Flags    Type St Inode Path\n".into(),
            ("cmdline", _) => return Ok(env.processes.arguments(process)),
            ("environ", _) => return Ok(env.processes.environment(process)),
            ("comm", _) => return Ok([facts.name.as_slice(), b"\n"].concat()),
            ("stat", _) => return Ok(self.stat_line(fs, process, &facts)),
            ("status", _) => return self.status(env, caller, fs, process, &facts),
            ("mounts", _) => return Ok(self.mounts_text(env, process)),
            ("mountinfo", _) => return Ok(self.mount_info(env, process)),
            ("maps", _) => return Ok(self.maps_text(env, process)),
            ("statm", _) => {
                format!("{} {} 0 0 0 0 0\n", facts.virtual_bytes / PAGE as u64, facts.resident_pages)
            }
            ("limits", _) => limits(&env.processes.limits(process)),
            ("cgroup", _) => self.group_line(env, caller, &facts),
            ("oom_score", _) => "0\n".into(),
            ("oom_score_adj", _) => format!("{}\n", facts.oom_score),
            ("io", _) => "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n".into(),
            ("wchan", _) => "0".into(),
            ("uid_map" | "gid_map" | "setgroups", _) => self.id_map(env, caller, process, name)?,
            _ => String::new(),
        };
        Ok(text.into_bytes())
    }

    fn stat_line(&self, fs: SuperId, process: ProcessId, f: &ProcessFacts) -> Vec<u8> {
        let number = |p: Option<ProcessId>| p.and_then(|p| self.shown_number(fs, p)).unwrap_or(0);
        let mut line = format!("{} (", number(Some(process))).into_bytes();
        line.extend_from_slice(&f.name);
        let rest = format!(
            ") {} {} {} {} 0 -1 0 0 0 0 0 {} {} 0 0 {} {} {} 0 {} {} {} 18446744073709551615 0 0 0 0 0 {} {} {} {} \
             0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 {}\n",
            f.state as char,
            number(f.parent),
            number(f.process_group),
            number(f.session),
            f.user_time / TICK,
            f.system_time / TICK,
            20 + i32::from(f.nice),
            f.nice,
            f.threads,
            f.started / TICK,
            f.virtual_bytes,
            f.resident_pages,
            f.signals[3],
            f.signals[0],
            f.signals[1],
            f.signals[2],
            f.exit_code
        );
        line.extend_from_slice(rest.as_bytes());
        line
    }

    fn status(
        &self,
        env: &Env<'_>,
        caller: &Caller<'_>,
        fs: SuperId,
        process: ProcessId,
        f: &ProcessFacts,
    ) -> Result<Vec<u8>, Errno> {
        let who = env.processes.credentials(process).ok_or(Errno::ENOENT)?;
        let reader = self.namespaces.user(caller.credentials.user_namespace).ok_or(Errno::ENOENT)?;
        let number = |p: Option<ProcessId>| p.and_then(|p| self.shown_number(fs, p)).unwrap_or(0);
        let state = match f.state {
            b'R' => "R (running)",
            b'S' => "S (sleeping)",
            b'D' => "D (disk sleep)",
            b'T' => "T (stopped)",
            b'Z' => "Z (zombie)",
            _ => "X (dead)",
        };
        let mut text = b"Name:\t".to_vec();
        text.extend_from_slice(&f.name);
        let mut t = String::new();
        let _ = write!(
            t,
            "\nUmask:\t{:04o}\nState:\t{state}\n",
            env.processes.context(process).map_or(0, |c| c.umask)
        );
        let own = number(Some(process));
        let _ =
            write!(t, "Tgid:\t{own}\nNgid:\t0\nPid:\t{own}\nPPid:\t{}\nTracerPid:\t0\n", number(f.parent));
        let [r, e, s, l] = [who.uid, who.euid, who.suid, who.fsuid].map(|uid| reader.map_from(uid));
        let _ = writeln!(t, "Uid:\t{r}\t{e}\t{s}\t{l}");
        let [r, e, s, l] = [who.gid, who.egid, who.sgid, who.fsgid].map(|gid| reader.map_group_from(gid));
        let _ = writeln!(t, "Gid:\t{r}\t{e}\t{s}\t{l}\nFDSize:\t64");
        t.push_str("Groups:\t");
        for group in &who.groups {
            let _ = write!(t, "{} ", reader.map_group_from(*group));
        }
        let numbers = self.nested_numbers(env, fs, process);
        let _ = writeln!(t, "\nNStgid:{numbers}\nNSpid:{numbers}");
        let kib = f.resident_pages * (PAGE as u64 / 1024);
        let _ = writeln!(t, "VmSize:\t{:8} kB\nVmRSS:\t{kib:8} kB", f.virtual_bytes / 1024);
        let [blocked, ignored, caught, pending] = f.signals;
        let _ = writeln!(t, "Threads:\t{}\nSigQ:\t0/0\nSigPnd:\t0000000000000000", f.threads);
        let _ = writeln!(t, "ShdPnd:\t{pending:016x}\nSigBlk:\t{blocked:016x}");
        let _ = writeln!(t, "SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}");
        let c = who.capabilities;
        let _ = writeln!(t, "CapInh:\t{:016x}\nCapPrm:\t{:016x}", c.inheritable.0, c.permitted.0);
        let _ = writeln!(t, "CapEff:\t{:016x}\nCapBnd:\t{:016x}", c.effective.0, c.bounding.0);
        let _ = writeln!(t, "CapAmb:\t{:016x}\nNoNewPrivs:\t{}", c.ambient.0, u8::from(who.no_new_privs));
        let filters = u8::from(who.filter.is_some());
        let _ = writeln!(t, "Seccomp:\t{}\nSeccomp_filters:\t{filters}", 2 * filters);
        t.push_str("Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
        text.extend_from_slice(t.as_bytes());
        Ok(text)
    }

    /// The numbers of a process from the shown namespace down to its own, each after a tab.
    fn nested_numbers(&self, env: &Env<'_>, fs: SuperId, process: ProcessId) -> String {
        let shown = self.shown_pids(fs).ok();
        let mut at = env.processes.namespaces(process).map(|set| set.pid);
        let mut numbers: Vec<u32> = Vec::new();
        while let Some(pids) = at.and_then(|id| self.namespaces.pid(id)) {
            numbers.extend(pids.number(process));
            if at == shown {
                break;
            }
            at = pids.parent;
        }
        numbers.iter().rev().fold(String::new(), |text, number| format!("{text}\t{number}"))
    }

    fn maps_text(&self, env: &Env<'_>, process: ProcessId) -> Vec<u8> {
        let mut text = Vec::new();
        for map in env.processes.maps(process) {
            let at = map.file.and_then(|file| self.location(file).ok());
            let (inode, device) = match at.map(|at| at.node) {
                Some(super::super::Node::Stored(entry)) => self.inode_of(entry).map_or((0, 0), |inode| {
                    (inode.number, self.super_of(inode.file_system).map_or(0, |fs| fs.device))
                }),
                _ => (0, 0),
            };
            let mode = core::str::from_utf8(&map.mode).unwrap_or("----");
            let head = format!(
                "{:08x}-{:08x} {mode} {:08x} 00:{device:02x} {inode} ",
                map.start, map.end, map.offset
            );
            text.extend_from_slice(format!("{head:<73}").as_bytes());
            match (at, env.processes.context(process)) {
                (Some(at), Some(context)) => text.extend(self.shown_path(at, context.root)),
                _ => text.extend_from_slice(map.name.as_bytes()),
            }
            text.push(b'\n');
        }
        text
    }

    /// "0::/path", seen from the root of the reader's cgroup namespace.
    fn group_line(&self, env: &Env<'_>, caller: &Caller<'_>, facts: &ProcessFacts) -> String {
        let path = |group| env.processes.group(group).map_or_else(|| "/".into(), |group| group.path);
        let own = path(facts.group);
        let root = match self.namespaces.body(caller.namespaces.cgroup) {
            Some(Body::Cgroup { root }) => path(*root),
            _ => "/".into(),
        };
        let below = own.strip_prefix(root.trim_end_matches('/'));
        match below {
            Some("") => "0::/\n".into(),
            Some(rest) if rest.starts_with('/') => format!("0::{rest}\n"),
            _ => "0::/..\n".into(),
        }
    }

    fn id_map(
        &self,
        env: &Env<'_>,
        caller: &Caller<'_>,
        process: ProcessId,
        name: &str,
    ) -> Result<String, Errno> {
        let id: NamespaceId = env.processes.credentials(process).ok_or(Errno::ENOENT)?.user_namespace;
        let user = self.namespaces.user(id).ok_or(Errno::ENOENT)?;
        if name == "setgroups" {
            return Ok(if user.setgroups_denied { "deny\n" } else { "allow\n" }.into());
        }
        let table = |user: &crate::ns::user::UserNamespace| -> IdTable {
            if name == "uid_map" { user.uids.clone() } else { user.gids.clone() }
        };
        // A process inside sees the parent's ids on the outside; everybody else their own.
        let own = caller.credentials.user_namespace;
        let outer = if own == id { user.parent.unwrap_or(id) } else { own };
        let outer = table(self.namespaces.user(outer).ok_or(Errno::ENOENT)?);
        let mut text = String::new();
        for range in table(user).ranges() {
            let outside = outer.from_kernel(range.outside).unwrap_or(OVERFLOW_ID);
            let _ = writeln!(text, "{:>10} {outside:>10} {:>10}", range.inside, range.count);
        }
        Ok(text)
    }

    fn net_devices(&self, env: &Env<'_>, process: ProcessId) -> String {
        let traffic = env
            .processes
            .namespaces(process)
            .and_then(|set| match self.namespaces.body(set.network) {
                Some(Body::Network(lo)) => Some(lo.traffic),
                _ => None,
            })
            .unwrap_or_default();
        let counts =
            format!("{:7} {:7}    0    0    0     0          0         0", traffic.bytes, traffic.packets);
        format!(
            "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo \
             colls carrier compressed\n    lo: {counts} {counts}\n"
        )
    }
}

fn limits(limits: &[(u64, u64); 16]) -> String {
    const ROWS: [(&str, &str); 16] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let shown = |value: u64| if value == u64::MAX { "unlimited".into() } else { format!("{value}") };
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for ((name, unit), (soft, hard)) in ROWS.iter().zip(limits) {
        let _ = writeln!(text, "{name:<25} {:<20} {:<20} {unit:<10}", shown(*soft), shown(*hard));
    }
    text
}

//! The machine, as proc(5) shows it.

use super::{TOP, items};
use crate::hw::PAGE;
use crate::ns::PID_MAX;
use crate::vfs::tree::FsKind;
use crate::vfs::{Caller, Env, SuperId, Vfs};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Release shown by `uname -r`: the Linux interface version that container processes are offered.
pub const RELEASE: &str = "6.12.0-bailiwick";
/// Version text shown by `uname -v`.
pub const VERSION: &str = "#1";

const NANOS: u64 = 1_000_000_000;
/// Clock ticks of proc are hundredths of a second.
pub(super) const TICK: u64 = NANOS / 100;

impl Vfs {
    pub(super) fn top_text(&self, env: &mut Env<'_>, caller: &Caller<'_>, fs: SuperId, at: u8) -> Vec<u8> {
        let m = env.processes.machine();
        let (name, dir, _) = items::item(TOP, at);
        let line = |text: &[u8]| [text, b"\n"].concat();
        let text: String = match name {
            "hostname" => return line(self.namespaces.names(caller.namespaces.uts).0),
            "domainname" => return line(self.namespaces.names(caller.namespaces.uts).1),
            "version" if dir.is_some() => format!("{VERSION}\n"),
            "version" => format!("Linux version {RELEASE} (bailiwick) {VERSION}\n"),
            "ostype" => "Linux\n".into(),
            "osrelease" => format!("{RELEASE}\n"),
            "pid_max" => format!("{PID_MAX}\n"),
            "ngroups_max" => format!("{}\n", crate::cred::GROUPS_MAX),
            "cap_last_cap" => "40\n".into(),
            "overflowuid" | "overflowgid" => format!("{}\n", crate::ns::user::OVERFLOW_ID),
            "overcommit_memory" => "1\n".into(),
            "file-max" => format!("{}\n", i64::MAX),
            "pipe-max-size" => "65536\n".into(),
            "uuid" => uuid(env.frames.random(), env.frames.random()),
            // Fixed from start to end of the machine, as the start time is.
            "boot_id" => uuid(m.boot_time.wrapping_mul(0x9E37_79B9_7F4A_7C15), m.boot_time),
            "cmdline" => "\n".into(),
            "cpuinfo" => cpu_info(),
            "devices" => {
                "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n\nBlock devices:\n".into()
            }
            "filesystems" => FsKind::MOUNTABLE
                .iter()
                .fold(String::new(), |text, kind| format!("{text}nodev\t{}\n", kind.name())),
            "interrupts" => format!("           CPU0\nLOC: {:10}   Local timer interrupts\n", m.interrupts),
            "loadavg" => {
                let [one, five, fifteen] = m.load.map(|load| format!("{}.{:02}", load / 100, load % 100));
                let last = self
                    .shown_pids(fs)
                    .ok()
                    .and_then(|id| self.namespaces.pid(id))
                    .map_or(0, |pids| pids.last());
                format!("{one} {five} {fifteen} {}/{} {last}\n", m.running, m.threads)
            }
            "meminfo" => memory(&m),
            "partitions" => "major minor  #blocks  name\n\n".into(),
            "swaps" => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into(),
            "stat" => statistics(&m),
            "uptime" => format!("{} {}\n", hundredths(m.uptime), hundredths(m.idle)),
            "vmstat" => format!("nr_free_pages {}\nnr_file_pages {}\n", m.free_frames, m.cached_frames),
            _ => String::new(),
        };
        text.into_bytes()
    }
}

fn hundredths(nanos: u64) -> String {
    format!("{}.{:02}", nanos / NANOS, nanos % NANOS / TICK)
}

/// A random version 4 UUID from 128 bits.
fn uuid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}\n",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

fn cpu_info() -> String {
    "processor\t: 0\nvendor_id\t: bailiwick\nmodel name\t: x86_64\ncpu cores\t: 1\nflags\t\t: fpu sse sse2 nx lm\n\n"
        .into()
}

fn memory(m: &crate::vfs::facts::MachineFacts) -> String {
    let kib = |frames: u64| frames * (PAGE as u64 / 1024);
    let mut text = String::new();
    let rows = [
        ("MemTotal:", kib(m.total_frames)),
        ("MemFree:", kib(m.free_frames)),
        ("MemAvailable:", kib(m.free_frames)),
        ("Buffers:", 0),
        ("Cached:", kib(m.cached_frames)),
        ("SwapCached:", 0),
        ("Active:", 0),
        ("Inactive:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Dirty:", 0),
        ("Writeback:", 0),
        ("AnonPages:", 0),
        ("Mapped:", 0),
        ("Shmem:", kib(m.cached_frames)),
        ("Slab:", 0),
        ("SReclaimable:", 0),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<15} {value:8} kB");
    }
    text
}

fn statistics(m: &crate::vfs::facts::MachineFacts) -> String {
    let times = format!("{} 0 {} {} 0 0 0 0 0 0", m.user / TICK, m.system / TICK, m.idle / TICK);
    format!(
        "cpu  {times}\ncpu0 {times}\nintr {}\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\n",
        m.interrupts, m.switches, m.boot_time, m.forks, m.running
    )
}

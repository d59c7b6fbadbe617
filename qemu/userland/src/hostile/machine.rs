//! Instructions and addresses that ring 3 has no business with. Each must end the process that tries it, and no other.
#![allow(unsafe_code, reason = "these are instructions that no safe code makes")]

use core::arch::asm;
use core::hint::black_box;

/// Something that must end the process, by name. It returns if it did not.
pub(super) type Deed = fn();

/// Runs the instruction, which may change the registers that calls do not keep.
macro_rules! instruction {
    ($($text:literal),+) => {
        || {
            // SAFETY: whatever it does, it does to this process, whose end it should be.
            unsafe { asm!($($text),+, clobber_abi("sysv64")) }
        }
    };
}

/// Deeds that end a process.
pub(super) const DEEDS: &[(&str, Deed)] = &[
    ("hlt", instruction!("hlt")),
    ("cli", instruction!("cli")),
    ("in", instruction!("in al, 0x60")),
    ("out", instruction!("mov edx, 0x3f8", "mov al, 65", "out dx, al")),
    ("read cr0", instruction!("mov rax, cr0")),
    ("write cr3", instruction!("xor eax, eax", "mov cr3, rax")),
    ("rdmsr", instruction!("mov ecx, 0xc0000082", "rdmsr")),
    ("wrmsr", instruction!("mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr")),
    ("swapgs", instruction!("swapgs")),
    ("wrgsbase", instruction!("xor eax, eax", "wrgsbase rax")),
    ("lgdt", instruction!("lgdt [rsp]")),
    ("lidt", instruction!("lidt [rsp]")),
    ("ltr", instruction!("xor eax, eax", "ltr ax")),
    ("invlpg", instruction!("invlpg [rsp]")),
    ("wbinvd", instruction!("wbinvd")),
    ("clts", instruction!("clts")),
    ("xsetbv", instruction!("xor ecx, ecx", "xor eax, eax", "xor edx, edx", "xsetbv")),
    ("sysret", instruction!("sysretq")),
    ("iretq to ring 0", || {
        // SAFETY: as the others.
        unsafe {
            asm!(
                "push 0x10",
                "push rsp",
                "push 2",
                "push 0x08",
                "lea rax, [rip]",
                "push rax",
                "iretq",
                clobber_abi("sysv64")
            )
        }
    }),
    ("sysenter", instruction!("sysenter")),
    ("int 0x80", instruction!("int 0x80")),
    ("int of the timer", instruction!("int 0x20")),
    ("int of a page fault", instruction!("int 14")),
    ("int of a double fault", instruction!("int 8")),
    ("breakpoint", instruction!("int3")),
    ("undefined instruction", instruction!("ud2")),
    ("division by zero", instruction!("xor eax, eax", "xor edx, edx", "xor ecx, ecx", "div ecx")),
    ("kernel segment", instruction!("mov eax, 0x10", "mov ss, ax")),
    ("far call into the kernel", instruction!("push 0x08", "lea rax, [rip]", "push rax", "retfq")),
    ("single step", instruction!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop")),
    ("read of the kernel", || read(0xffff_8000_0000_0000)),
    ("read of the kernel's image", || read(0xffff_ffff_8010_0000)),
    ("write to the kernel", || write(0xffff_ffff_8010_0000)),
    ("read of nothing", || read(0x10)),
    ("read beyond canonical addresses", || read(0x0000_8000_0000_0000)),
    ("write to its own program", || write(0x40_0000)),
    ("jump into the kernel", || jump(0xffff_ffff_8010_0000)),
    ("jump beyond canonical addresses", || jump(0x0001_0000_0000_0000)),
    ("jump to its data", || {
        let code = [0xc3u8; 16];
        jump(code.as_ptr() as u64);
    }),
    ("stack overflow", || {
        black_box(deeper(black_box(0)));
    }),
];

fn read(address: u64) {
    // SAFETY: it must not succeed.
    black_box(unsafe { (address as *const u64).read_volatile() });
}
fn write(address: u64) {
    // SAFETY: it must not succeed.
    unsafe { (address as *mut u64).write_volatile(0) };
}
fn jump(address: u64) {
    // SAFETY: it must not arrive; if it did, a `ret` would bring it back.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("sysv64")) };
}
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deeper(depth + 1) + room[(depth % 64) as usize] }
}

/// What some work takes, in ticks of the time-stamp counter: instructions, under QEMU's `-icount shift=0`.
pub(super) fn ticks_of<T>(work: impl FnOnce() -> T) -> u64 {
    let now = || {
        // SAFETY: it reads a counter.
        unsafe { core::arch::x86_64::_rdtsc() }
    };
    let start = now();
    black_box(work());
    now() - start
}

/// System calls with every flag that ring 3 can set, with the stack in the kernel, and with wild segment registers: the
/// kernel must keep its own, and the process goes on. Returns how many calls came back as they should.
pub(super) fn odd_calls() -> u64 {
    let mut good = 0;
    // Alignment check, nested task, direction, identification, resume, overflow and carry.
    for flags in [1u64 << 18, 1 << 14, 1 << 10, 1 << 21, 1 << 16, 1 << 11 | 1, 0x25_4c01] {
        let status: u64;
        // SAFETY: the null call does nothing; the flags are put back at once.
        unsafe {
            asm!(
                "pushfq", "pushfq", "or qword ptr [rsp], {flags}", "popfq",
                "syscall",
                "popfq",
                flags = in(reg) flags, inlateout("rax") 0u64 => status,
                out("rcx") _, out("r11") _, out("rdi") _, out("rsi") _, out("rdx") _,
            );
        }
        good += u64::from(status == 0);
    }
    for stack in [0u64, 0xffff_ffff_8010_0000, 0x8000_0000_0000_0000, u64::MAX] {
        let status: u64;
        // SAFETY: nothing is pushed while the stack is elsewhere.
        unsafe {
            asm!(
                "mov {kept}, rsp", "mov rsp, {stack}", "syscall", "mov rsp, {kept}",
                kept = out(reg) _, stack = in(reg) stack, inlateout("rax") 0u64 => status,
                out("rcx") _, out("r11") _, out("rdi") _, out("rsi") _, out("rdx") _,
            );
        }
        good += u64::from(status == 0);
    }
    for selector in [0u64, 3, 0x2b] {
        let status: u64;
        // SAFETY: nothing here is reached through these segments.
        unsafe {
            asm!(
                "mov ds, {s:e}", "mov es, {s:e}", "mov fs, {s:e}", "mov gs, {s:e}", "syscall",
                s = in(reg) selector, inlateout("rax") 0u64 => status,
                out("rcx") _, out("r11") _, out("rdi") _, out("rsi") _, out("rdx") _,
            );
        }
        good += u64::from(status == 0);
    }
    good
}

//! What the kernel and its programs have in place of a C library: lists of freed blocks in front of a heap
//! ([`FreeLists`]), and the memory functions that `core` expects.
//!
//! The functions are in assembly, so that no compiler turns the loop in `memcpy` into a call of `memcpy`. Targets
//! without an operating system bring their own.
#![no_std]

mod free_lists;

pub use free_lists::FreeLists;

#[cfg(target_os = "linux")]
core::arch::global_asm!(
    ".pushsection .text.memory_functions,\"ax\",@progbits",
    ".weak memcpy",
    ".weak memmove",
    ".weak memset",
    ".weak memcmp",
    ".weak bcmp",
    ".weak strlen",
    "memmove:",
    "mov rax, rdi",
    "sub rax, rsi",
    "cmp rax, rdx",
    "jb 2f", // the destination begins inside the source: from the end
    "mov rax, rdi",
    "mov rcx, rdx",
    "shr rcx, 3",
    "rep movsq",
    "mov ecx, edx",
    "and ecx, 7",
    "rep movsb",
    "ret",
    "memcpy:",
    "mov rax, rdi",
    "cmp rdx, 8",
    "jb 6f",
    "mov r8, [rsi + rdx - 8]", // the last word first: the words from the beginning may then end short of the end
    "mov [rdi + rdx - 8], r8",
    "lea rcx, [rdx - 1]",
    "shr rcx, 3",
    "rep movsq",
    "ret",
    "6:",
    "mov ecx, edx",
    "rep movsb",
    "ret",
    "2:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "memset:",
    "mov r8, rdi",
    "movzx eax, sil",
    "mov r9, 0x0101010101010101",
    "imul rax, r9",
    "mov rcx, rdx",
    "shr rcx, 3",
    "rep stosq",
    "mov ecx, edx",
    "and ecx, 7",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "memcmp:",
    "bcmp:",
    "xor ecx, ecx",
    "3:", // rcx bytes are equal; eight more, if there are as many
    "lea r8, [rcx + 8]",
    "cmp r8, rdx",
    "ja 4f",
    "mov rax, [rdi + rcx]",
    "cmp rax, [rsi + rcx]",
    "jne 4f",
    "mov rcx, r8",
    "jmp 3b",
    "4:", // byte by byte: the rest, or eight that differ
    "cmp rcx, rdx",
    "je 6f",
    "movzx eax, byte ptr [rdi + rcx]",
    "movzx r8d, byte ptr [rsi + rcx]",
    "inc rcx",
    "sub eax, r8d",
    "je 4b",
    "ret",
    "6:",
    "xor eax, eax",
    "ret",
    "strlen:",
    "xor eax, eax",
    "5:",
    "cmp byte ptr [rdi + rax], 0",
    "je 7f",
    "inc rax",
    "jmp 5b",
    "7:",
    "ret",
    ".popsection",
);

/// Called once by every program, so that the linker takes this crate's object in.
#[inline(always)]
pub fn link() {}

# One forbidden thing, named by the first letter of the first argument. It ends with status 0 if the processor let it
# happen: nothing may but those that say so.
.intel_syntax noprefix
.global _start
.equ KERNEL, 0xffffffff80100000

_start:
    mov rax, [rsp + 16]
    movzx eax, byte ptr [rax]
    sub eax, 'a'
    cmp eax, (table_end - table) / 8
    jae unknown
    lea rcx, [rip + table]
    mov ebx, 0x33
    jmp [rcx + rax*8]

done:
    xor edi, edi
    mov eax, 231
    syscall
unknown:
    mov edi, 99
    mov eax, 231
    syscall

masks_interrupts: cli
    jmp done
halts: hlt
    jmp done
writes_a_port: mov al, 1
    out 0xf4, al
    jmp done
reads_a_port: in al, 0x60
    jmp done
changes_tables: mov cr3, rax
    jmp done
loads_descriptors: lgdt [rsp]
    jmp done
writes_a_register_of_the_model: mov ecx, 0xc0000082
    wrmsr
    jmp done
reads_the_kernel: movabs rax, KERNEL
    mov rax, [rax]
    jmp done
jumps_into_the_kernel: movabs rax, KERNEL
    jmp rax
writes_its_text: mov byte ptr [rip + _start], 0x90
    jmp done
executes_its_stack: mov byte ptr [rsp - 64], 0xc3
    lea rax, [rsp - 64]
    call rax
    jmp done
calls_the_old_way: mov eax, 1
    int 0x80
    jmp done
is_undefined: ud2
divides_by_zero: xor ecx, ecx
    xor edx, edx
    div ecx
    jmp done
breaks: int3
    jmp done
leaves_the_canonical_half: movabs rax, 0x1234567800000000
    mov rax, [rax]
    jmp done
reads_descriptor_addresses: sgdt [rsp - 16]
    jmp done
# The flags that would let it do more are left as they were.
pops_flags: push 0x3202
    popfq
    pushfq
    pop rax
    and eax, 0x3200
    cmp eax, 0x200
    je done
    jmp unknown
steps_over_a_call: mov eax, 39
    pushfq
    or dword ptr [rsp], 0x100
    popfq
    syscall
    nop
    jmp done
loads_a_kernel_segment: mov eax, 0x18
    mov ds, ax
    jmp done
returns_to_ring_0: push 0x18
    push rsp
    push 0x202
    push 0x10
    lea rax, [rip + done]
    push rax
    iretq
swaps_bases: swapgs
    jmp done
overflows_its_stack: sub rsp, 4096
    push rax
    jmp overflows_its_stack
# A system call with a stack pointer that leads nowhere harms nobody.
calls_without_a_stack: movabs rsp, 0xffffffff80000008
    mov eax, 39
    syscall
    jmp done
# Nor one with selectors and bases of its own.
loads_null_segments: xor eax, eax
    mov fs, ax
    mov gs, ax
    mov ds, ax
    mov eax, 39
    syscall
    jmp done
returns_to_nowhere: movabs rax, 0x7fffffffffff
    jmp rax

.section .rodata
.align 8
table:
    .quad masks_interrupts, halts, writes_a_port, reads_a_port, changes_tables, loads_descriptors
    .quad writes_a_register_of_the_model, reads_the_kernel, jumps_into_the_kernel, writes_its_text
    .quad executes_its_stack, calls_the_old_way, is_undefined, divides_by_zero, breaks
    .quad leaves_the_canonical_half, reads_descriptor_addresses, pops_flags, steps_over_a_call
    .quad loads_a_kernel_segment, returns_to_ring_0, swaps_bases, overflows_its_stack, calls_without_a_stack
    .quad loads_null_segments, returns_to_nowhere
table_end:

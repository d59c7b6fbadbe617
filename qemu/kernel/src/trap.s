// Every way into the kernel from ring 3, and the ways back.
//
// The kernel's gs is `Door` of traps.rs. User registers are saved where they will be loaded from: in the Context of
// the current thread, whose registers end right after `rsp` for what is written here: TOP is the address of `ss`, and
// it and `cs` are never written, for they are the same in every context.
//
// Nothing of ring 3 is left in the processor but extended registers, which Rust may use: they are saved first where
// the thread may expect them back, and loaded last.
//
// Where only rcx is loaded for it, the instruction pointer is one that `syscall` has left: the last page of ring 3's
// half is never mapped, so it is an address of that half, and sysretq does not fault in ring 0.
//
// A message goes the short way, if it can (ipc/fast.rs of kernel-core). Of at most 64 bytes the words stay in the
// registers they came in, or are fetched from where they were saved because Rust may have used these registers; longer
// ones Rust has copied. Of the one who gets the processor only what a system call keeps is loaded: rbx, rbp, stack and
// instruction pointer, flags.
//
// With isolation ring 3's tables have of the kernel only this file's instructions, `Door`, the processor's own tables and
// the stacks on which traps arrive. Whatever else the kernel has is there between ENTER and LEAVE. What a trap has left of
// a thread's registers on its stack is cleared; on the way back the six that are loaded last stay there until the next
// trap.

.section .text.entry, "ax"
// From ring 3's tables to the kernel's, by way of a register that is saved already.
.macro ENTER register
.if {isolation}
    mov \register, gs:[{kernel_tables}]
    mov cr3, \register
.endif
.endm
// And back, with everything loaded that ring 3 gets.
.macro LEAVE
.if {isolation}
    mov gs:[{scratch}], rsp
    mov rsp, gs:[{user_tables}]
    mov cr3, rsp
    mov rsp, gs:[{scratch}]
.endif
.endm
.macro PUSH_REGISTERS
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
.endm
.macro POP_REGISTERS
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
.endm

.global syscall_entry
syscall_entry:
    swapgs
    mov gs:[{scratch}], rsp
    ENTER rsp
    mov rsp, gs:[{top}]
    push gs:[{scratch}]         // rsp; from here on rsp is at its place
    mov [rsp + {rflags}], r11
    mov [rsp + {rip}], rcx
    mov [rsp + {rdi}], rdi
    mov [rsp + {rsi}], rsi
    mov [rsp + {rdx}], rdx
    mov [rsp + {r8}], r8
    mov [rsp + {r9}], r9
    mov [rsp + {r10}], r10
    cmp rax, gs:[{short_send}]
    je short_send
    cmp rax, gs:[{short_reply}]
    je short_reply
    mov [rsp + {rax}], rax
    mov [rsp + {rbx}], rbx
    mov [rsp + {rbp}], rbp
    mov [rsp + {r12}], r12
    mov [rsp + {r13}], r13
    mov [rsp + {r14}], r14
    mov [rsp + {r15}], r15
    mov qword ptr [rsp + {vector}], -1      // Registers::SYSCALL
    mov rsp, gs:[{kernel_stack}]
    mov rax, gs:[{keep_fpu}]
    test rax, rax
    jz 1f
    fxsave64 [rax]
1:  ldmxcsr [rip + KERNEL_MXCSR]
    call {system_call}
    test rax, rax
    jz same_thread
.global return_to_user
return_to_user:                 // rax: the registers to load, rdx: the floating-point state
    fxrstor64 [rdx]
    mov rsp, rax
    cmp qword ptr [rsp + 15*8], -1
    jne 2f
    POP_REGISTERS
    add rsp, 16
    pop rcx                     // below USER_END, or sysretq would fault in ring 0
    add rsp, 8
    pop r11
    pop rsp
    LEAVE
    swapgs
    sysretq
2:
.if {isolation}
    // What is popped last must be in both tables.
    mov rdi, gs:[{last_registers}]
    mov rax, [rsp + 10*8]
    mov [rdi], rax
    lea rsi, [rsp + 17*8]
    add rdi, 8
    mov ecx, 5
    rep movsq
    POP_REGISTERS
    mov rsp, gs:[{last_registers}]
    mov rax, gs:[{user_tables}]
    mov cr3, rax
    pop rax
.else
    POP_REGISTERS
    add rsp, 16
.endif
    swapgs
    iretq

// A native thread goes on: rbx, rbp and r12 to r15 are as it has left them.
same_thread:
    fxrstor64 [rip + {clean}]
    mov rcx, gs:[{top}]
    mov rax, [rcx - 8 + {rax}]
    mov rdi, [rcx - 8 + {rdi}]
    mov rsi, [rcx - 8 + {rsi}]
    mov rdx, [rcx - 8 + {rdx}]
    mov r8, [rcx - 8 + {r8}]
    mov r9, [rcx - 8 + {r9}]
    mov r10, [rcx - 8 + {r10}]
    mov r11, [rcx - 8 + {rflags}]
    mov rsp, [rcx - 8]
    mov rcx, [rcx - 8 + {rip}]
    LEAVE
    swapgs
    sysretq

// rdi: the handle, rsi: the MessageInfo. MXCSR is still ring 3's: what is called does not calculate. Most messages have
// at most 64 bytes and offer no room for capabilities in what comes back: then all of rsi is their length. What is called
// gives the context to go on with, 0 for the long way, or 1 if the other party is of another group: then there is another
// way to try.
.macro TRY way, across, switch
    call \way
    cmp rax, 1
    ja \switch
    je \across
.endm
.macro TRY_ACROSS way, switch
    mov rdi, gs:[{top}]
    mov rsi, [rdi - 8 + {rsi}]
    mov rdi, [rdi - 8 + {rdi}]
    mov rdx, gs:[{kernel}]
    call \way
    cmp rax, 1
    ja \switch
.endm
// The long way, with all that was not saved yet as ring 3 has left it, but for rax.
.macro GO_LONG number, way
    mov rcx, gs:[{top}]
    mov qword ptr [rcx - 8 + {rax}], \number
    mov [rcx - 8 + {rbx}], rbx
    mov [rcx - 8 + {rbp}], rbp
    mov [rcx - 8 + {r12}], r12
    mov [rcx - 8 + {r13}], r13
    mov [rcx - 8 + {r14}], r14
    mov [rcx - 8 + {r15}], r15
    mov qword ptr [rcx - 8 + {vector}], -1
    ldmxcsr [rip + KERNEL_MXCSR]
    call \way
    test rax, rax
    jz same_thread
    jmp return_to_user
.endm
short_send:
    mov rdx, gs:[{kernel}]
    mov rsp, gs:[{kernel_stack}]
    cmp rsi, {small_max}
    ja other_send
    TRY {fast_send}, send_across, switch
missed_send:
    GO_LONG {send}, {send_long_way}
send_across:
    TRY_ACROSS {send_across}, switch
    jmp missed_send
other_send:
    TRY {fast_send_other}, other_send_across, switch_other
    jmp missed_send
other_send_across:
    TRY_ACROSS {send_across}, switch_other
    jmp missed_send
short_reply:
    mov rdx, gs:[{kernel}]
    mov rsp, gs:[{kernel_stack}]
    cmp rsi, {small_max}
    ja other_reply
    TRY {fast_reply_receive}, reply_across, switch
missed_reply:
    GO_LONG {reply_receive}, {reply_receive_long_way}
reply_across:
    TRY_ACROSS {reply_receive_across}, switch
    jmp missed_reply
other_reply:
    TRY {fast_reply_receive_other}, other_reply_across, switch_other
    jmp missed_reply
other_reply_across:
    TRY_ACROSS {reply_receive_across}, switch_other
    jmp missed_reply

// From rax, the context to go on with, whose rdi is the badge, with rbx, rbp and r12 to r15 as ring 3 has left them, to the
// other thread's registers that a call keeps, its rdi and rsi, and rdx: where the registers of the one that is left are.
.macro SWITCH
    mov rdx, gs:[{top}]
    lea rcx, [rax + {top_of_context}]
    mov gs:[{top}], rcx
    mov rdi, [rcx - 8 + {rdi}]
    mov [rdx - 8 + {rbx}], rbx
    mov [rdx - 8 + {rbp}], rbp
    mov rsi, [rdx - 8 + {rsi}]
    fxrstor64 [rip + {clean}]
    mov rbx, [rcx - 8 + {rbx}]
    mov rbp, [rcx - 8 + {rbp}]
    mov r11, [rcx - 8 + {rflags}]
    mov rsp, [rcx - 8]
    mov rcx, [rcx - 8 + {rip}]
.endm

// The words of a message of this length, which has just been compared with 0.
.macro DELIVER length, length_64
    jz ladder
    mov r8, [rdx - 8 + {r8}]
    mov r9, [rdx - 8 + {r9}]
    mov r10, [rdx - 8 + {r10}]
    mov rdx, [rdx - 8 + {rdx}]
    cmp \length, 7*8
    ja all_words
    // Words beyond the end are 0: into the ladder, 3 bytes for each word that is there.
    lea eax, [\length_64 + 7]
    shr eax, 3
    lea eax, [rax + rax*2]
    add rax, offset ladder
    jmp rax
.endm

switch_other:
    SWITCH
    mov eax, esi
    and esi, {arrives_mask}     // room is for the other direction
    and eax, {length_mask}
    cmp eax, {small_max}
    ja ladder                   // no words: it is in the buffer
    test eax, eax
    DELIVER eax, rax
switch:
    SWITCH
    test esi, esi               // it is a length, and there is nothing else
    DELIVER esi, rsi
ladder:
    xor rdx, rdx
    xor r8, r8
    xor r9, r9
    xor r10, r10
    xor r12, r12
    xor r13, r13
    xor r14, r14
    xor r15, r15
all_words:
    xor eax, eax
    LEAVE
    swapgs
    sysretq

// Interrupts and exceptions arrive on a stack of their own, so the red zone of whoever was interrupted stays.
.global interrupt_common
interrupt_common:
    PUSH_REGISTERS
    push 2                      // no DF, no AC
    popfq
    test qword ptr [rsp + 18*8], 3
    jz 3f
    swapgs
    ENTER rdi
    mov rdi, gs:[{top}]
    fxsave64 [rdi - {top_of_context}]       // it begins there
    mov rsi, rsp
    sub rdi, 21*8
    mov rbx, rdi
    mov ecx, 22
    rep movsq
.if {isolation}
    mov rdi, rsp
    xor eax, eax
    mov ecx, 22
    rep stosq
.endif
    mov rdi, rbx
    mov rsp, gs:[{kernel_stack}]
    ldmxcsr [rip + KERNEL_MXCSR]
    call {interrupted}
    jmp return_to_user
3:
.if {isolation}
    // What is not maskable may have come with ring 3's.
    mov rdi, [rip + {door} + {kernel_tables}]
    mov cr3, rdi
.endif
    cmp qword ptr [rsp + 15*8], 32
    jb 4f
    // The kernel waits for an interrupt at exactly one place, with nothing else to be done about it there.
    cmp qword ptr [rsp + 15*8], {spurious}
    je 5f
    movabs rax, {end_of_interrupt}
    mov dword ptr [rax], 0
5:  POP_REGISTERS
    add rsp, 16
    iretq
4:  mov rdi, rsp
    call {kernel_fault}
    ud2

.altmacro
.macro STUB n
    .align 16
    .if (\n == 8) || (\n == 10) || (\n == 11) || (\n == 12) || (\n == 13) || (\n == 14) || (\n == 17) || (\n == 21) || (\n == 29) || (\n == 30)
    .else
    push 0
    .endif
    push \n
    jmp interrupt_common
.endm
.align 16
.global interrupt_stubs
interrupt_stubs:
    .set i, 0
    .rept {vectors}
    STUB %i
    .set i, i + 1
    .endr

.section .rodata
.align 4
KERNEL_MXCSR:
    .long 0x1f80

// Every way into the kernel from ring 3, and the one way back.
//
// The kernel's gs is `Door` of traps.rs. User registers are saved where they will be loaded from: in the Context of
// the current thread. Nothing of ring 3 is left in the processor but extended registers, which Rust may use: they
// are saved first where the thread may expect them back, and loaded last.

.section .text
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
    mov rsp, gs:[{registers_end}]
    push {user_ss}
    push gs:[{scratch}]
    push r11
    push {user_cs}
    push rcx
    push 0
    push -1                     // Registers::SYSCALL
    PUSH_REGISTERS
    mov rsp, gs:[{kernel_stack}]
    mov rax, gs:[{keep_fpu}]
    test rax, rax
    jz 1f
    fxsave64 [rax]
1:  ldmxcsr [rip + KERNEL_MXCSR]
    call {system_call}
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
    swapgs
    sysretq
2:  POP_REGISTERS
    add rsp, 16
    swapgs
    iretq

// Interrupts and exceptions arrive on a stack of their own, so the red zone of whoever was interrupted stays.
.global interrupt_common
interrupt_common:
    PUSH_REGISTERS
    push 2                      // no DF, no AC
    popfq
    test qword ptr [rsp + 18*8], 3
    jz 3f
    swapgs
    mov rax, gs:[{interrupted_fpu}]
    fxsave64 [rax]
    mov rsi, rsp
    mov rdi, gs:[{registers_end}]
    sub rdi, 22*8
    mov rbx, rdi
    mov ecx, 22
    rep movsq
    mov rdi, rbx
    mov rsp, gs:[{kernel_stack}]
    ldmxcsr [rip + KERNEL_MXCSR]
    call {interrupted}
    jmp return_to_user
3:  cmp qword ptr [rsp + 15*8], 32
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

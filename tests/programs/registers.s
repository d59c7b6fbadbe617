# Fills every register with a pattern made of the first argument's first letter and looks, hundreds of times, with
# pauses that give others the processor, whether it is still there: across interrupts and across system calls. Status
# 0 if it was.
.intel_syntax noprefix
.global _start
.equ ROUNDS, 300
.equ SPIN, 20000

_start:
    mov rax, [rsp + 16]
    movzx eax, byte ptr [rax]
    imul rax, rax, 0x01010101
    mov r12, rax
    movq xmm0, rax
    pshufd xmm0, xmm0, 0
    movdqa xmm3, xmm0
    movdqa xmm15, xmm0
    mov [rip + rounding], ax
    and word ptr [rip + rounding], 0x0c00
    or word ptr [rip + rounding], 0x037f
    fldcw [rip + rounding]
    push rax
    fild qword ptr [rsp]
    mov r13d, ROUNDS
round:
    mov ecx, SPIN
1:  dec ecx
    jnz 1b
    call look
    mov eax, 39                 # getpid
    syscall
    call look
    mov eax, 24                 # sched_yield
    syscall
    call look
    dec r13d
    jnz round
    xor edi, edi
    mov eax, 231
    syscall

look:
    movd eax, xmm3
    cmp eax, r12d
    jne changed
    movq rax, xmm15
    mov edx, r12d
    shl rdx, 32
    or rdx, r12
    cmp rax, rdx
    jne changed
    fnstcw [rip + rounding + 2]
    mov ax, [rip + rounding]
    cmp ax, [rip + rounding + 2]
    jne changed
    fld st(0)
    fistp qword ptr [rip + integer]
    cmp [rip + integer], r12
    jne changed
    ret
changed:
    mov edi, 1
    mov eax, 231
    syscall

.data
.align 8
integer: .quad 0
rounding: .word 0, 0

# Says at which tick of the time-stamp counter its first instruction ran.
.intel_syntax noprefix
.globl _start
_start:
    rdtsc
    shl rdx, 32
    or rax, rdx
    lea rsi, [rip + end]
    mov byte ptr [rsi], 10
    mov ecx, 10
1:  xor edx, edx
    div rcx
    add dl, '0'
    dec rsi
    mov [rsi], dl
    test rax, rax
    jnz 1b
    lea rdx, [rip + end + 1]
    sub rdx, rsi
    mov edi, 1
    mov eax, 1
    syscall
    xor edi, edi
    mov eax, 60
    syscall

.bss
    .skip 24
end:
    .skip 1

// From the boot loader to Rust. Two ways in, both in 32-bit protected mode with flat segments and paging off:
// PVH (QEMU's -kernel, Xen) with ebx at the start info, multiboot2 (GRUB) with ebx at the tags.

.section .multiboot2, "a"
.align 8
multiboot_header:
    .long 0xe85250d6, 0, multiboot_header_end - multiboot_header
    .long -(0xe85250d6 + (multiboot_header_end - multiboot_header))
    .short 0, 0
    .long 8
multiboot_header_end:

// XEN_ELFNOTE_PHYS32_ENTRY. QEMU reads 8 bytes of it.
.section .note.pvh, "a", @note
.align 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad pvh_start

.section .boot.text, "ax"
.code32
.global multiboot_start
.global pvh_start
multiboot_start:
    mov edi, 2                  // BootProtocol::Multiboot2
    jmp 1f
pvh_start:
    mov edi, 1                  // BootProtocol::Pvh
1:  cli
    cld
    mov esi, ebx
    mov eax, cr4
    or eax, 0x620               // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xc0000080         // EFER
    rdmsr
    or eax, 0x901               // SCE, LME, NXE
    wrmsr
    mov eax, cr0
    and eax, 0x9ffffff3         // not CD, NW, EM, TS
    or eax, 0x80010023          // PG, WP, NE, MP, PE
    mov cr0, eax
    lgdt [boot_gdtr]
    push 8
    mov eax, offset boot64
    push eax
    retf
.code64
boot64:
    xor eax, eax
    mov ss, ax
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    movabs rax, offset kernel_entry
    jmp rax

// The first tables: 4 GiB one to one, again at the physical map, and 1 GiB of it where the kernel is linked.
.section .boot.data, "aw"
.align 4096
boot_pml4:
    .quad boot_pdpt + 3
    .zero 255 * 8
    .quad boot_pdpt + 3
    .zero 254 * 8
    .quad boot_pdpt_kernel + 3
boot_pdpt:
    .quad boot_pd + 0x0003, boot_pd + 0x1003, boot_pd + 0x2003, boot_pd + 0x3003
    .zero 508 * 8
boot_pdpt_kernel:
    .zero 510 * 8
    .quad boot_pd + 3
    .zero 8
boot_pd:
    .set i, 0
    .rept 2048
    .quad (i << 21) + 0x83
    .set i, i + 1
    .endr
boot_gdt:
    .quad 0, 0x00af9a000000ffff
boot_gdtr:
    .short 15
    .quad boot_gdt

.section .text
kernel_entry:                   // edi, esi: the arguments of `start`
    lea rsp, [rip + STACKS + {kernel_stack}]
    xor ebp, ebp
    call {start}
    ud2

//! `linux.seccomp`: the system-call filter (config-linux.md "Seccomp").

use super::read::{spec_object, spec_words};
use alloc::string::String;
use alloc::vec::Vec;

spec_object! {
    /// `linux.seccomp`.
    OciSeccomp {
        /// What happens to calls that no rule names.
        default_action: OciSeccompAction = "defaultAction",
        /// The error number of that action.
        default_errno_ret: Option<u32> = "defaultErrnoRet",
        /// Architectures the filter is for; empty means the machine's own.
        architectures: Vec<OciSeccompArch> = "architectures",
        /// Flags of seccomp(2).
        flags: Vec<OciSeccompFlag> = "flags",
        /// Socket of the agent that answers for `SCMP_ACT_NOTIFY`.
        listener_path: Option<String> = "listenerPath",
        /// Opaque text for that agent.
        listener_metadata: Option<String> = "listenerMetadata",
        /// The rules.
        syscalls: Vec<OciSyscall> = "syscalls",
    }
}

spec_object! {
    /// One of `linux.seccomp.syscalls`.
    OciSyscall {
        /// Names of the calls.
        names: Vec<String> = "names",
        /// What happens.
        action: OciSeccompAction = "action",
        /// The error number of that action.
        errno_ret: Option<u32> = "errnoRet",
        /// What the arguments must be for the rule to hold.
        args: Vec<OciSyscallArg> = "args",
    }
}

spec_object! {
    /// A condition on one argument.
    OciSyscallArg {
        /// Which argument, 0 to 5.
        index: u32 = "index",
        /// What it is compared with; for `SCMP_CMP_MASKED_EQ` the mask.
        value: u64 = "value",
        /// For `SCMP_CMP_MASKED_EQ` what the masked argument is compared with.
        value_two: Option<u64> = "valueTwo",
        /// The comparison.
        op: OciSeccompOperator = "op",
    }
}

spec_words! {
    /// What happens to a call.
    OciSeccompAction {
        /// The thread is killed: the older name of `SCMP_ACT_KILL_THREAD`.
        Kill = "SCMP_ACT_KILL",
        /// The process is killed.
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        /// The thread is killed.
        KillThread = "SCMP_ACT_KILL_THREAD",
        /// `SIGSYS`.
        Trap = "SCMP_ACT_TRAP",
        /// It fails with an error number.
        Errno = "SCMP_ACT_ERRNO",
        /// A tracer is told.
        Trace = "SCMP_ACT_TRACE",
        /// It is carried out.
        Allow = "SCMP_ACT_ALLOW",
        /// It is carried out and logged.
        Log = "SCMP_ACT_LOG",
        /// An agent decides.
        Notify = "SCMP_ACT_NOTIFY",
    }
}

spec_words! {
    /// How an argument is compared.
    OciSeccompOperator {
        /// Is not.
        NotEqual = "SCMP_CMP_NE",
        /// Is less than.
        LessThan = "SCMP_CMP_LT",
        /// Is at most.
        LessOrEqual = "SCMP_CMP_LE",
        /// Is.
        Equal = "SCMP_CMP_EQ",
        /// Is at least.
        GreaterOrEqual = "SCMP_CMP_GE",
        /// Is more than.
        GreaterThan = "SCMP_CMP_GT",
        /// Is, under a mask.
        MaskedEqual = "SCMP_CMP_MASKED_EQ",
    }
}

spec_words! {
    /// One of `linux.seccomp.flags`.
    OciSeccompFlag {
        /// All threads get the filter.
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        /// What it does is logged.
        Log = "SECCOMP_FILTER_FLAG_LOG",
        /// Speculative-store mitigation is not forced on.
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        /// A call an agent has received waits in a killable way.
        WaitKillable = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}

spec_words! {
    /// One of `linux.seccomp.architectures`.
    OciSeccompArch {
        /// 32-bit x86.
        X86 = "SCMP_ARCH_X86",
        /// 64-bit x86.
        X86_64 = "SCMP_ARCH_X86_64",
        /// 64-bit x86 with 32-bit pointers.
        X32 = "SCMP_ARCH_X32",
        /// 32-bit ARM.
        Arm = "SCMP_ARCH_ARM",
        /// 64-bit ARM.
        Aarch64 = "SCMP_ARCH_AARCH64",
        /// MIPS.
        Mips = "SCMP_ARCH_MIPS",
        /// 64-bit MIPS.
        Mips64 = "SCMP_ARCH_MIPS64",
        /// 64-bit MIPS with 32-bit pointers.
        Mips64N32 = "SCMP_ARCH_MIPS64N32",
        /// MIPS, little endian.
        Mipsel = "SCMP_ARCH_MIPSEL",
        /// 64-bit MIPS, little endian.
        Mipsel64 = "SCMP_ARCH_MIPSEL64",
        /// 64-bit MIPS with 32-bit pointers, little endian.
        Mipsel64N32 = "SCMP_ARCH_MIPSEL64N32",
        /// PowerPC.
        Ppc = "SCMP_ARCH_PPC",
        /// 64-bit PowerPC.
        Ppc64 = "SCMP_ARCH_PPC64",
        /// 64-bit PowerPC, little endian.
        Ppc64le = "SCMP_ARCH_PPC64LE",
        /// s390.
        S390 = "SCMP_ARCH_S390",
        /// 64-bit s390.
        S390x = "SCMP_ARCH_S390X",
        /// PA-RISC.
        Parisc = "SCMP_ARCH_PARISC",
        /// 64-bit PA-RISC.
        Parisc64 = "SCMP_ARCH_PARISC64",
        /// 64-bit RISC-V.
        Riscv64 = "SCMP_ARCH_RISCV64",
        /// 64-bit LoongArch.
        Loongarch64 = "SCMP_ARCH_LOONGARCH64",
        /// Motorola 68000.
        M68k = "SCMP_ARCH_M68K",
        /// SuperH.
        Sh = "SCMP_ARCH_SH",
        /// SuperH, big endian.
        Sheb = "SCMP_ARCH_SHEB",
    }
}

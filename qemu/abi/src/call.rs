//! The table of system calls. Numbers never move.

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// A system call, by its number. Arguments are in the order of the argument registers; "text" is a pointer
        /// and a length.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum Call {
            $($(#[$doc])* $name = $number,)*
        }
        impl Call {
            /// The call with this number.
            pub const fn from_number(number: u64) -> Option<Call> {
                match number {
                    $($number => Some(Call::$name),)*
                    _ => None,
                }
            }
        }
    };
}

calls! {
    /// Does nothing: what it costs is what a system call costs.
    Null = 0;
    /// Message to an endpoint (`WRITE`), and its reply. `GONE` or `PEER_GONE` if none will come.
    Send = 1;
    /// Waits for a message to an endpoint (`READ`), or for an event of the notification bound to it. Drops an
    /// unanswered reply right first.
    Receive = 2;
    /// Answers: the message received last (handle 0), or the one whose reply right was parked (its handle, which is
    /// used up).
    Reply = 3;
    /// Answers the message received last, if it is unanswered, and waits for the next on the endpoint in `rdi`.
    ReplyReceive = 4;
    /// Puts the right to answer the message received last into a slot. Returns its handle.
    ParkReply = 5;
    /// Names the thread's message buffer: an address, a multiple of 4,096.
    SetBuffer = 6;
    /// Sets bits of a notification (`WRITE`): handle, bits.
    Signal = 7;
    /// Waits until a notification (`READ`) has bits, or for the deadline (0 is now, `u64::MAX` is none), takes them
    /// and returns them: 0 if it was the deadline.
    Wait = 8;
    /// Binds a notification (`READ`) to an endpoint (`READ`): whoever receives there is also woken by its bits. The third
    /// argument, unless it is 0, are bits that the kernel sets when nobody holds some badge of the endpoint any more.
    Bind = 9;

    /// A narrower capability: handle, rights, badge. The badge (0 is none) can be set only on an endpoint without
    /// one, with `CREATE`. Returns its handle.
    Derive = 10;
    /// Deletes one capability. What was derived from it stays, below what it was derived from.
    Delete = 11;
    /// Deletes everything derived from a capability, wherever it is.
    Revoke = 12;
    /// Deletes everything derived from an unbadged endpoint capability (`CREATE`) that has this badge. If the badge ends
    /// with that, `TakeBadge` does not give it.
    RevokeBadge = 13;
    /// Kind and rights of a capability, and its badge if it is an endpoint's.
    Inspect = 14;
    /// The next badge that nobody holds any more, of an endpoint (`READ` and `CREATE`) whose `Bind` asked for it. Each
    /// is given once; `WOULD_BLOCK` if there is none.
    TakeBadge = 15;

    /// A new endpoint. Returns the capability with all rights.
    EndpointCreate = 20;
    /// A new notification.
    NotificationCreate = 21;
    /// Zeroed pages: bytes, rounded up. They can be mapped and handed over.
    MemoryCreate = 22;
    /// Maps a memory object: handle, rights (`READ`, `WRITE`). Returns address and length.
    MemoryMap = 23;
    /// Zeroed memory for the process itself: bytes, rounded up. Returns its address.
    Allocate = 24;
    /// Unmaps: address, bytes.
    Unmap = 25;

    /// A process in a group (`CREATE`), loaded from a program below a directory (`EXECUTE`): group, directory, text of
    /// the path. It does not run yet. Returns its capability.
    ProcessCreate = 30;
    /// Puts a copy of a capability into a slot (below 32, empty) of a process (`WRITE`) that was not started:
    /// process, slot, capability, rights.
    ProcessGrant = 31;
    /// Starts it: process, text that its entry gets.
    ProcessStart = 32;
    /// Waits until a process (`READ`) has ended. Returns how.
    ProcessWait = 33;
    /// Ends a process (`WRITE`) as if by signal 9.
    ProcessKill = 34;
    /// Sets these bits of a notification when a process (`READ`) ends: process, notification, bits.
    ProcessWatch = 35;
    /// Frames and nanoseconds of a process (`READ`).
    ProcessUsage = 36;
    /// Ends the calling process: status.
    Exit = 37;
    /// A further thread: entry address, stack top, argument. A process has 64 at most (`FULL`).
    ThreadCreate = 38;
    /// Ends the calling thread.
    ThreadExit = 39;
    /// Lets others run.
    Yield = 40;

    /// Nanoseconds since boot (clock, `READ`).
    ClockNow = 45;
    /// Seconds and nanoseconds since 1970, UTC (clock, `READ`).
    ClockRealtime = 46;
    /// Waits until this many nanoseconds since boot have passed: clock, time.
    SleepUntil = 47;
    /// Writes to the console (`WRITE`): handle, text of at most 4,096 bytes. Returns how much was written.
    ConsoleWrite = 48;
    /// Waits for input on the console (`READ`) until a deadline: handle, buffer address, length, time. Returns the
    /// number of bytes, 0 if it was the deadline.
    ConsoleRead = 49;
    /// Switches the machine off (`WRITE`): handle, status; 0 is success.
    PowerOff = 50;
    /// Free frames, all frames, bytes free in the kernel's heap (system, `READ`).
    SystemMemory = 51;
    /// How many objects there are (system, `READ`): handle, buffer, length. Returns the bytes of the words of a
    /// [`crate::Census`].
    SystemCensus = 52;
    /// Sets these bits of a notification (`WRITE`) whenever there is more to read on the console (`READ`): console,
    /// notification, bits; now, if there is already. No bits: ends that. It takes the place of the last one.
    ConsoleWatch = 53;

    /// A group in a group (`CREATE`): handle, text of its name, most frames, most processes and threads; 0 is no limit.
    /// Returns its capability.
    GroupCreate = 55;
    /// Removes an empty group (`WRITE`), and with it the capability.
    GroupDestroy = 56;
    /// Frames, processes and nanoseconds of a group (`READ`).
    GroupUsage = 57;

    /// A directory below a directory (`READ`): handle, text of the path, rights. Returns its capability. As with every
    /// path of a directory capability, what leads out of the directory (dots, links) is `OUTSIDE`; a slash in front
    /// changes nothing.
    DirectoryOpen = 60;
    /// Reads a file below a directory (`READ`): handle, text of the path, offset, buffer address, and in `r9` the
    /// buffer's length. Returns bytes read and the file's size.
    FileRead = 61;
    /// Lists a directory below a directory (`READ`): handle, text of the path, position (0 first), buffer, length. Each
    /// entry is a kind byte (`d`, `-`, `l`, …), the name, and a zero byte. Returns bytes and the next position.
    DirectoryList = 62;

    /// A container: address of a [`crate::ContainerRequest`]. Returns its capability.
    ContainerCreate = 70;
    /// Carries out steps of its plan, in their order (`WRITE`): handle, text of one `Step` or more in postcard, one
    /// directly after the other. Returns the number of the first process, 0 before `Load`. The first that is refused
    /// ends it, and so does what is no step: those before it were carried out.
    ContainerSteps = 71;
    /// Opens the gate (`WRITE`): the first process runs its program.
    ContainerRelease = 72;
    /// Starts a further process (`WRITE`): handle, its number, text of the `ProcessPlan` in postcard. Returns its
    /// process number.
    ContainerExecute = 73;
    /// Starts a hook (`WRITE`): handle, its number, text of the `Hook` in postcard, and in `r8` and `r9` the text it
    /// reads from its standard input. It is killed when its timeout has passed.
    ContainerHook = 74;
    /// Sends a signal (`WRITE`): handle, [`crate::Which`], signal, 0 for this process or 1 for every process inside.
    ContainerSignal = 75;
    /// Stops every process inside where it is (`WRITE`).
    ContainerFreeze = 76;
    /// Lets them go on (`WRITE`).
    ContainerThaw = 77;
    /// What it has used and uses (`READ`): handle, buffer, length. Returns the bytes of a `Statistics` in postcard.
    ContainerStatistics = 78;
    /// The processes inside (`READ`): handle, position, buffer, length. Returns the bytes of a `ProcessPage` in
    /// postcard.
    ContainerProcesses = 79;
    /// Takes what a process has written (`READ`): handle, [`crate::Which`], buffer, length. Returns bytes, and how
    /// many before them were dropped because nobody read in time.
    ContainerOutput = 80;
    /// The next event of any container of a notification (`READ`). Returns the container's key and the two words of a
    /// [`crate::ContainerEvent`]; `WOULD_BLOCK` if there is none.
    ContainerEvent = 81;
    /// Forgets a process started by `ContainerExecute` or `ContainerHook` (`WRITE`): handle, [`crate::Which`]. One
    /// that still runs is killed first.
    ContainerForget = 82;
    /// Kills what runs inside and removes everything that was made (`WRITE`). What remains is a record that can only
    /// run `poststop` hooks.
    ContainerDestroy = 83;
    /// Removes the record as well (`WRITE`), and with it every capability of it.
    ContainerRemove = 84;
    /// Why the last `ContainerSteps`, `ContainerExecute` or `ContainerHook` was refused (`READ`): handle, buffer,
    /// length. Returns the bytes of the text, and the position of the step among those of the call or `u64::MAX`.
    ContainerFault = 85;
    /// Finds a container of a notification (`READ`, `WRITE` and `CREATE`): handle, key. Returns its capability.
    ContainerOpen = 86;
    /// Other limits (`WRITE`): handle, text of the `Resources` in postcard. All of them are taken or none; `BUSY` if one
    /// is below what is in use.
    ContainerUpdate = 87;
    /// Writes to the standard input of a process where that is a pipe (`WRITE`): handle, [`crate::Which`], text, and in
    /// `r8` 0 if more may follow or 1 for the end. Returns how many bytes there was room for; the end comes only after
    /// all of them.
    ContainerInput = 88;
}

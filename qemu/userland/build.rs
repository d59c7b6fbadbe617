//! How native programs are linked: at a fixed address, without a libc, by the linker that the compiler calls anyway.
use std::env;

/// Where each program begins: an address then says whose instruction it is, to a debugger and to a profile.
const PLACES: [(&str, u32); 7] = [
    ("init", 0x0700_0000),
    ("manager", 0x0100_0000),
    ("shell", 0x0200_0000),
    ("measure", 0x0300_0000),
    ("requests", 0x0400_0000),
    ("contract", 0x0500_0000),
    ("hostile", 0x0040_0000),
];

fn main() {
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // A hosted target links through cc, x86_64-unknown-none calls the linker itself.
    let hosted = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let own: &[&str] =
        if hosted { &["-nostartfiles", "-nostdlib", "-static", "-no-pie"] } else { &["--no-pie"] };
    for argument in own {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    let script = format!("-T{folder}/user.ld");
    for argument in
        [script.as_str(), "-znorelro", "-zmax-page-size=4096", "--build-id=none", "--no-eh-frame-hdr"]
    {
        println!("cargo::rustc-link-arg-bins={}{argument}", if hosted { "-Wl," } else { "" });
    }
    for (program, place) in PLACES {
        let option = if hosted { "-Wl," } else { "" };
        println!("cargo::rustc-link-arg-bin={program}={option}--defsym=BASE={place:#x}");
    }
    for file in ["build.rs", "user.ld"] {
        println!("cargo::rerun-if-changed={file}");
    }
}

//! Bundles that cannot be, one table for every kernel: how each is spoiled, and what its one-line refusal must name.
//!
//! What is named is what every kernel can name: each adds words of its own, such as what is wrong with an ELF file.

use crate::bundle::Bundle;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

/// How a good bundle is spoiled.
#[derive(Clone, Copy, Debug)]
pub enum Spoil {
    /// The configuration, which stays JSON.
    Config(fn(&mut Value)),
    /// The bytes of `config.json`.
    Text(fn(String) -> Vec<u8>),
    /// The files, the configuration included.
    Files(fn(&Bundle) -> io::Result<()>),
    /// The program, of which the configuration then is `/program`: its bytes, made from those of busybox.
    Program(fn(Vec<u8>) -> Vec<u8>),
}

/// One bundle that cannot be.
#[derive(Clone, Copy, Debug)]
pub struct Bad {
    /// A name, which can be an id.
    pub name: &'static str,
    /// What is wrong with it.
    pub spoil: Spoil,
    /// What the refusal names, all of it.
    pub names: &'static [&'static str],
}

const fn bad(name: &'static str, spoil: Spoil, names: &'static [&'static str]) -> Bad {
    Bad { name, spoil, names }
}

use Spoil::{Config, Files, Program, Text};

const FILE: &[&str] = &["config.json"];

/// The table.
pub const BAD: &[Bad] = &[
    // What is no JSON.
    bad("no-json", Text(|_| b"hello".to_vec()), FILE),
    bad("empty", Text(|_| Vec::new()), FILE),
    bad("truncated", Text(|text| text.as_bytes().iter().take(text.len() / 2).copied().collect()), FILE),
    bad("followed-by-more", Text(|text| (text + "{}").into_bytes()), FILE),
    bad("no-utf8", Text(|text| [text.as_bytes(), b"\xff"].concat()), &["config.json", "UTF-8"]),
    bad("zeros", Text(|_| vec![0; 100]), FILE),
    bad("ten-megabytes", Text(|text| (text + &" ".repeat(10 << 20)).into_bytes()), &["config.json", "1 MiB"]),
    bad("deep-lists", Text(|_| deep("[", "]").into_bytes()), FILE),
    bad("deep-objects", Text(|_| deep("{\"a\":", "1}").into_bytes()), FILE),
    bad(
        "deep-inside",
        Text(|text| text.replacen('{', &format!("{{\"x\": {},", deep("[", "]")), 1).into_bytes()),
        FILE,
    ),
    bad(
        "key-twice",
        Text(|text| text.replacen('{', "{\"hostname\": \"x\",", 1).into_bytes()),
        &["config.json", "hostname"],
    ),
    bad("no-file", Files(|bundle| fs::remove_file(bundle.path().join("config.json"))), FILE),
    bad("directory-as-file", Files(config_as_directory), FILE),
    bad("file-outside", Files(config_outside), FILE),
    // What breaks the specification.
    bad("no-version", Config(|c| c["ociVersion"] = json!(1)), &["config.json: ociVersion"]),
    bad("wrong-type", Config(|c| c["process"]["args"] = json!("true")), &["config.json: process.args"]),
    bad(
        "wrong-type-inside",
        Config(|c| c["process"]["args"] = json!([1])),
        &["config.json: process.args[0]"],
    ),
    bad("no-arguments", Config(|c| c["process"]["args"] = json!([])), &["config.json: process.args"]),
    bad(
        "nul-in-argument",
        Config(|c| c["process"]["args"] = json!(["/bin/tr\0ue"])),
        &["config.json: process.args[0]"],
    ),
    bad("nul-in-path", Config(|c| c["process"]["cwd"] = json!("/\0")), &["config.json: process.cwd"]),
    bad(
        "nul-in-mount",
        Config(|c| c["mounts"][0]["destination"] = json!("/a\0b")),
        &["config.json: mounts[0].destination"],
    ),
    bad("relative-cwd", Config(|c| c["process"]["cwd"] = json!("tmp")), &["config.json: process.cwd"]),
    bad("root-above", Config(|c| c["root"]["path"] = json!("../..")), &["config.json: root.path"]),
    bad(
        "mount-above",
        Config(|c| c["mounts"][0]["destination"] = json!("/a/../../b")),
        &["config.json: mounts[0].destination"],
    ),
    bad(
        "group-above",
        Config(|c| c["linux"]["cgroupsPath"] = json!("/../../x")),
        &["config.json: linux.cgroupsPath"],
    ),
    bad(
        "unknown-namespace",
        Config(|c| c["linux"]["namespaces"][0]["type"] = json!("moon")),
        &["config.json: linux.namespaces[0].type"],
    ),
    bad("namespace-twice", Config(namespace_twice), &["config.json: linux.namespaces"]),
    bad(
        "namespace-nowhere",
        Config(|c| c["linux"]["namespaces"][0]["path"] = json!("/no/where")),
        &["/no/where", "ENOENT"],
    ),
    // What only the kernel finds.
    bad("no-rootfs", Files(|bundle| fs::remove_dir_all(bundle.rootfs())), &["root rootfs", "ENOENT"]),
    bad("rootfs-a-file", Files(rootfs_as_file), &["root rootfs", "ENOTDIR"]),
    bad("rootfs-outside", Files(rootfs_outside), &["root rootfs", "EXDEV"]),
    bad(
        "no-program",
        Config(|c| c["process"]["args"] = json!(["/bin/nothing"])),
        &["/bin/nothing", "ENOENT"],
    ),
    bad("not-on-the-path", Config(|c| c["process"]["args"] = json!(["nothing"])), &["nothing", "ENOENT"]),
    bad("program-a-directory", Config(|c| c["process"]["args"] = json!(["/etc"])), &["/etc", "EACCES"]),
    bad(
        "program-not-executable",
        Config(|c| c["process"]["args"] = json!(["/etc/passwd"])),
        &["/etc/passwd", "EACCES"],
    ),
    bad("program-a-text", Program(|_| b"hello".to_vec()), &["/program", "ENOEXEC"]),
    bad("program-cut", Program(|busybox| busybox.into_iter().take(40).collect()), &["/program", "ENOEXEC"]),
    bad("program-for-another-machine", Program(for_another_machine), &["/program", "ENOEXEC"]),
    bad("program-without-interpreter", Files(dynamic_program), &["/program", "ENOENT"]),
    bad("script-without-shell", Program(|_| b"#!/no/shell\n".to_vec()), &["/program", "ENOENT"]),
    bad(
        "no-cwd",
        Config(|c| c["process"]["cwd"] = json!("/nowhere")),
        &["working directory /nowhere", "ENOENT"],
    ),
    bad(
        "cwd-a-file",
        Config(|c| c["process"]["cwd"] = json!("/etc/passwd")),
        &["working directory /etc/passwd", "ENOTDIR"],
    ),
    bad("no-file-system", Config(|c| mount(c, "/mnt", "nonsense", "x")), &["mounts[7].type", "nonsense"]),
    bad("no-source", Config(|c| mount(c, "/mnt", "bind", "/no/where")), &["/no/where", "ENOENT"]),
    bad("mount-on-a-file", Config(|c| mount(c, "/etc/passwd", "tmpfs", "tmpfs")), &["/etc/passwd"]),
    bad(
        "mount-below-a-file",
        Config(|c| mount(c, "/etc/passwd/x", "tmpfs", "tmpfs")),
        &["/etc/passwd/x", "ENOTDIR"],
    ),
    bad("mount-through-a-loop", Files(|b| mount_through(b, "link")), &["/link", "ELOOP"]),
    bad(
        "mount-through-a-link-out",
        Files(|b| mount_through(b, "../elsewhere")),
        &["/link/x", "leads out of the root file system", "EXDEV"],
    ),
    bad(
        "mount-through-a-long-way-out",
        Files(|b| mount_through(b, "etc/../../../../elsewhere")),
        &["/link/x", "leads out of the root file system", "EXDEV"],
    ),
    bad(
        "mount-through-an-absolute-way-out",
        Files(|b| mount_through(b, "/../../elsewhere")),
        &["/link/x", "leads out of the root file system", "EXDEV"],
    ),
    bad("proc-a-link", Files(|b| in_place_of(b, "proc")), &["/proc", "ordinary directory", "ENOTDIR"]),
    bad("sys-a-link", Files(|b| in_place_of(b, "sys")), &["/sys", "ordinary directory", "ENOTDIR"]),
];

/// Ids that cannot be: empty, too long, with a slash, one that means another directory, with a blank.
pub const BAD_IDS: [&str; 5] = ["", TOO_LONG, "a/b", "..", "a b"];
/// One character more than an id may have.
const TOO_LONG: &str = match str::from_utf8(&[b'x'; 65]) {
    Ok(text) => text,
    Err(_) => "",
};

/// A bundle of the table, made from one that would run `/bin/true`.
///
/// # Errors
/// What the file system said.
pub fn spoiled(bad: &Bad) -> io::Result<Bundle> {
    let mut bundle = Bundle::new(&["/bin/true"])?;
    // Nothing here needs it, and it is large.
    fs::remove_file(bundle.rootfs().join("bin/bash"))?;
    match bad.spoil {
        Config(change) => {
            change(&mut bundle.config);
            bundle.write()?;
        }
        Text(change) => {
            let file = bundle.path().join("config.json");
            let text = fs::read_to_string(&file)?;
            fs::write(file, change(text))?;
        }
        Files(change) => change(&bundle)?,
        Program(change) => program(&bundle, &change(fs::read(bundle.rootfs().join("bin/busybox"))?))?,
    }
    Ok(bundle)
}

fn deep(open: &str, close: &str) -> String {
    open.repeat(10_000) + &close.repeat(10_000)
}

fn mount(config: &mut Value, destination: &str, kind: &str, source: &str) {
    let options = if kind == "bind" { json!(["bind"]) } else { json!([]) };
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts
            .push(json!({ "destination": destination, "type": kind, "source": source, "options": options }));
    }
}

fn namespace_twice(config: &mut Value) {
    let first = config["linux"]["namespaces"][0].clone();
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.push(first);
    }
}

fn config_as_directory(bundle: &Bundle) -> io::Result<()> {
    fs::remove_file(bundle.path().join("config.json"))?;
    fs::create_dir(bundle.path().join("config.json"))
}

/// A link to a file that is there, above the bundle, on every kernel: the bundle's own directory.
fn config_outside(bundle: &Bundle) -> io::Result<()> {
    let name = bundle.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fs::rename(bundle.path().join("config.json"), bundle.path().join("real.json"))?;
    symlink(format!("../{name}/real.json"), bundle.path().join("config.json"))
}

fn rootfs_as_file(bundle: &Bundle) -> io::Result<()> {
    fs::remove_dir_all(bundle.rootfs())?;
    fs::write(bundle.rootfs(), "file")
}

fn rootfs_outside(bundle: &Bundle) -> io::Result<()> {
    fs::remove_dir_all(bundle.rootfs())?;
    symlink("/", bundle.rootfs())
}

/// A mount below `/link`, which is a link with this target.
fn mount_through(bundle: &Bundle, target: &str) -> io::Result<()> {
    symlink(target, bundle.rootfs().join("link"))?;
    let mut config = bundle.config.clone();
    mount(&mut config, "/link/x", "tmpfs", "tmpfs");
    fs::write(bundle.path().join("config.json"), config.to_string())
}

/// A link in place of a directory that the runtime mounts on, to one that is there.
fn in_place_of(bundle: &Bundle, name: &str) -> io::Result<()> {
    fs::remove_dir_all(bundle.rootfs().join(name))?;
    symlink("/tmp", bundle.rootfs().join(name))
}

fn for_another_machine(mut elf: Vec<u8>) -> Vec<u8> {
    // `e_machine` (elf(5)): 243 is RISC-V.
    if let Some(machine) = elf.get_mut(18) {
        *machine = 243;
    }
    elf
}

/// A program of Debian that needs `/lib64/ld-linux-x86-64.so.2`, which is in no root file system here.
fn dynamic_program(bundle: &Bundle) -> io::Result<()> {
    program(bundle, &fs::read("/bin/ls")?)
}

fn program(bundle: &Bundle, bytes: &[u8]) -> io::Result<()> {
    let file = bundle.rootfs().join("program");
    fs::write(&file, bytes)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    let mut config = bundle.config.clone();
    config["process"]["args"] = json!(["/program"]);
    fs::write(bundle.path().join("config.json"), config.to_string())
}

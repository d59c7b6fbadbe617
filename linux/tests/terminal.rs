//! Terminals: of the container's own devpts, over a console socket or relayed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

mod common;

use bailiwick_tests::bundle::Bundle;
use common::{BAILIWICK, Home, path, text};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::IoSliceMut;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize};
use rustix::time::Timespec;
use serde_json::json;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

/// How long anything may take to appear, in seconds.
const LIMIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// The master side of a terminal, and what came out of it so far.
struct Screen {
    master: OwnedFd,
    shown: String,
}

impl Screen {
    fn new(master: OwnedFd) -> Self {
        Screen { master, shown: String::new() }
    }
    /// Reads on; false at the end.
    fn more(&mut self) -> bool {
        let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&LIMIT)).unwrap();
        assert_ne!(ready, 0, "nothing more after {:?}", self.shown);
        let mut bytes = [0; 4096];
        let read = rustix::io::read(&self.master, &mut bytes).unwrap_or(0);
        self.shown += &text(&bytes[..read]);
        read > 0
    }
    /// Waits until this is to be seen.
    fn shows(&mut self, wanted: &str) {
        while !self.shown.contains(wanted) {
            assert!(self.more(), "the end without {wanted:?}: {:?}", self.shown);
        }
    }
    /// Everything to the end.
    fn rest(mut self) -> String {
        while self.more() {}
        self.shown
    }
    fn types(&self, keys: &str) {
        assert_eq!(rustix::io::write(&self.master, keys.as_bytes()).unwrap(), keys.len());
    }
}

/// A bundle whose process has a terminal.
fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::script(script).unwrap();
    bundle.config["process"]["terminal"] = true.into();
    bundle.config["process"]["consoleSize"] = json!({ "height": 40, "width": 120 });
    bundle.write().unwrap();
    bundle
}

/// Where terminals are sent to.
struct Desk {
    directory: tempfile::TempDir,
    listener: UnixListener,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("console")).unwrap();
        Desk { directory, listener }
    }
    fn path(&self) -> String {
        path(&self.directory.path().join("console")).to_owned()
    }
    /// The one that was sent, with its name, as conmon and containerd take it.
    fn terminal(&self) -> (String, Screen) {
        let (socket, _) = self.listener.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = rustix::net::recvmsg(&socket, &mut slices, &mut control, flags).unwrap();
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = message {
                descriptors.extend(came);
            }
        }
        assert_eq!(descriptors.len(), 1);
        (text(&bytes[..got.bytes]), Screen::new(descriptors.pop().unwrap()))
    }
}

#[test]
fn a_created_container_s_terminal_is_sent_to_the_console_socket() {
    let (home, desk) = (Home::new(), Desk::new());
    let script = "tty; stty size; echo to the console > /dev/console; echo to the terminal > /dev/tty\n\
                  read word; echo got $word; ls -l /proc/self/fd; exit 3";
    let bundle = with_terminal(script);
    let id = home.id("socket");
    home.ok(&["create", "--bundle", path(bundle.path()), "--console-socket", &desk.path(), &id]);
    let (name, mut screen) = desk.terminal();
    assert_eq!(name, "/dev/pts/0");
    home.ok(&["start", &id]);
    screen.shows("to the terminal\r\n");
    assert_eq!(screen.shown, "/dev/pts/0\r\n40 120\r\nto the console\r\nto the terminal\r\n");
    screen.types("word\n");
    home.ends_with(&id, 3);
    let shown = screen.rest();
    assert!(shown.contains("got word\r\n"), "{shown}");
    // The master side stays outside.
    assert!(!shown.contains("ptmx"), "{shown}");
    home.ok(&["delete", &id]);
}

#[test]
fn a_terminal_belongs_to_the_program_s_user_and_the_interrupt_key_reaches_the_program() {
    let (home, desk) = (Home::new(), Desk::new());
    let mut bundle = with_terminal("trap 'exit 9' INT; stat -c %u $(tty); while :; do sleep 0.05; done");
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    bundle.write().unwrap();
    let id = home.id("user");
    let (bundle_path, socket) = (path(bundle.path()), desk.path());
    home.ok(&["run", "--detach", "--bundle", bundle_path, "--console-socket", &socket, &id]);
    let (_, mut screen) = desk.terminal();
    screen.shows("1000\r\n");
    screen.types("\x03");
    home.ends_with(&id, 9);
}

/// Runs the command on a terminal of its own: that, and the terminal's other side to look at its modes.
fn on_a_terminal(home: &Home, arguments: &[&str]) -> (Child, Screen, OwnedFd) {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let own = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
    set_size(&master, 30, 100);
    let copy = || own.try_clone().unwrap();
    let mut command = Command::new(BAILIWICK);
    command.arg("--root").arg(home.root()).args(arguments);
    let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
    (child, Screen::new(master), own)
}

fn set_size(terminal: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal.as_fd(), size).unwrap();
}

fn modes(terminal: &OwnedFd) -> LocalModes {
    rustix::termios::tcgetattr(terminal).unwrap().local_modes
}

const SIZES: &str = "tty; stty size; while [ \"$(stty size)\" != '50 90' ]; do sleep 0.05; done\n\
                     echo resized; read word; echo got $word; exit 5";

/// Goes through [`SIZES`] on the terminal that the command was started on.
fn goes_through_sizes(mut child: Child, mut screen: Screen, own: &OwnedFd) {
    screen.shows("/dev/pts/0\r\n30 100\r\n");
    assert!(!modes(own).intersects(LocalModes::ICANON | LocalModes::ECHO), "it is not raw");
    set_size(&screen.master, 50, 90);
    let status = Command::new("kill").args(["-WINCH", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    screen.shows("resized\r\n");
    screen.types("word\r");
    screen.shows("got word\r\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert!(modes(own).contains(LocalModes::ICANON | LocalModes::ECHO), "it was not given back");
}

#[test]
fn in_the_foreground_the_command_s_terminal_is_the_program_s() {
    let home = Home::new();
    let bundle = with_terminal(SIZES);
    let (child, screen, own) =
        on_a_terminal(&home, &["run", "--bundle", path(bundle.path()), &home.id("relay")]);
    goes_through_sizes(child, screen, &own);
    assert_eq!(home.names(), Vec::<String>::new());
}

#[test]
fn a_further_process_gets_a_terminal_of_its_own() {
    let (home, desk) = (Home::new(), Desk::new());
    let bundle = Bundle::script("echo ready; exec sleep 1000").unwrap();
    let id = home.id("exec");
    home.start(&bundle, &id).next();
    let (child, screen, own) = on_a_terminal(&home, &["exec", "--tty", &id, "sh", "-c", SIZES]);
    goes_through_sizes(child, screen, &own);
    let socket = desk.path();
    home.ok(&[
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        &socket,
        &id,
        "sh",
        "-c",
        "read x; echo $x $(tty)",
    ]);
    let (name, screen) = desk.terminal();
    screen.types("one\n");
    let shown = screen.rest();
    assert!(shown.ends_with(&format!("one {name}\r\n")), "{shown:?}");
}

#[test]
fn without_a_terminal_of_its_own_the_command_passes_input_and_its_end_on() {
    let home = Home::new();
    let bundle = with_terminal("stty -echo; echo ready; cat; exit 4");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = home.command(&["run", "--bundle", path(bundle.path()), &home.id("pipe")]);
    std::io::Write::write_all(&mut writer, b"line\n").unwrap();
    drop(writer);
    let output = bailiwick_tests::limit::output(command.stdin(reader)).unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("line\r\n"), "{}", text(&output.stdout));
}

#[test]
fn terminals_that_cannot_be_are_refused_by_name() {
    let (home, desk) = (Home::new(), Desk::new());
    let (terminal, none) = (with_terminal("true"), Bundle::script("true").unwrap());
    let (socket, id) = (desk.path(), home.id("refused"));
    let line = home.refused(&["create", "--bundle", path(terminal.path()), &id]);
    assert!(line.contains("--console-socket"), "{line}");
    let line = home.refused(&["create", "--bundle", path(none.path()), "--console-socket", &socket, &id]);
    assert!(line.contains("--console-socket") && line.contains("process.terminal"), "{line}");
    let line =
        home.refused(&["create", "--bundle", path(terminal.path()), "--console-socket", "/no/where", &id]);
    assert!(line.contains("/no/where"), "{line}");
    let mut bare = with_terminal("true");
    bare.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/pts");
    bare.write().unwrap();
    let line = home.refused(&["create", "--bundle", path(bare.path()), "--console-socket", &socket, &id]);
    assert!(line.contains("/dev/pts"), "{line}");
    assert_eq!(home.names(), Vec::<String>::new());
}

//! ioctl(2): the terminal (ioctl_tty(2)), and the few that files and pipes know.

use super::call::{Call, Outcome, linux_of};
use super::descriptor::{Device, Object, OnExec};
use super::signal::{SIGTTOU, SIGWINCH, SignalInfo};
use super::tty::{Flush, TERMIOS_BYTES, Termios};
use super::{console_input, deliver};
use crate::hw::Hw;
use crate::vfs::OpenFlags;
use bailiwick_protocol::error::Errno;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540A;
const TCFLSH: u32 = 0x540B;
const TIOCSCTTY: u32 = 0x540E;
const TIOCGPGRP: u32 = 0x540F;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541B;
const FIONBIO: u32 = 0x5421;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGSID: u32 = 0x5429;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;

impl<H: Hw> Call<'_, H> {
    /// ioctl(2)
    pub(crate) fn ioctl(&mut self) -> Outcome {
        let (object, flags) = self.object(self.int(0))?;
        let (request, at) = (self.word(1), self.arg(2));
        match request {
            FIOCLEX | FIONCLEX => {
                let number = self.word(0);
                let descriptor = self.me_mut()?.descriptors.get_mut(number).ok_or(Errno::EBADF)?;
                descriptor.on_exec = if request == FIOCLEX { OnExec::Close } else { OnExec::Keep };
                Ok(0)
            }
            FIONBIO => {
                let mut flags = flags;
                flags.set(OpenFlags::NONBLOCK, self.read_u32(at)? != 0);
                let description = self.description(self.int(0))?;
                self.set_status(description, flags);
                Ok(0)
            }
            FIONREAD => {
                let count = match object {
                    Object::Pipe(pipe, ..) | Object::Pair(pipe, _) => {
                        self.k.linux.pipes.get(pipe).map_or(0, |pipe| pipe.len())
                    }
                    Object::Device(Device::Terminal, _) => self.k.linux.terminal.available(),
                    Object::File(file) => {
                        let (size, offset) = (self.k.vfs.size(file)?, self.k.vfs.offset(file)?);
                        size.saturating_sub(offset).min(i32::MAX as u64) as usize
                    }
                    _ => return Err(Errno::ENOTTY.into()),
                };
                self.write_u32(at, count as u32)?;
                Ok(0)
            }
            _ if matches!(object, Object::Device(Device::Terminal, _)) => self.terminal_control(request, at),
            _ => Err(Errno::ENOTTY.into()),
        }
    }

    fn terminal_control(&mut self, request: u32, at: u64) -> Outcome {
        let session = self.me()?.session;
        if request != TIOCSCTTY && self.k.linux.terminal.session != Some(session) {
            return Err(
                if self.k.linux.terminal.session.is_none() { Errno::EIO } else { Errno::ENOTTY }.into()
            );
        }
        match request {
            TCGETS => {
                let bytes = self.k.linux.terminal.settings().to_bytes();
                self.write_bytes(at, &bytes)?;
            }
            TCSETS | TCSETSW | TCSETSF => {
                let settings = Termios::from_bytes(&self.read_array::<TERMIOS_BYTES>(at)?);
                self.in_foreground(SIGTTOU)?;
                console_input(self.k);
                let flush = if request == TCSETSF { Flush::Input } else { Flush::Nothing };
                self.k.linux.terminal.set(settings, flush);
            }
            TCFLSH => {
                self.in_foreground(SIGTTOU)?;
                console_input(self.k);
                if self.arg(2) != 1 {
                    self.k.linux.terminal.flush();
                }
            }
            TCSBRK | TCXONC => {}
            TIOCGWINSZ => {
                let (rows, columns) = self.k.linux.terminal.size;
                let mut bytes = [0; 8];
                bytes[..2].copy_from_slice(&rows.to_le_bytes());
                bytes[2..4].copy_from_slice(&columns.to_le_bytes());
                self.write_bytes(at, &bytes)?;
            }
            TIOCSWINSZ => {
                let bytes: [u8; 8] = self.read_array(at)?;
                let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                let size = (half(0), half(2));
                let terminal = &mut self.k.linux.terminal;
                let changed = core::mem::replace(&mut terminal.size, size) != size;
                if let (true, Some(group)) = (changed, terminal.foreground) {
                    deliver::send_to_group(self.k, group, SIGWINCH, SignalInfo::KERNEL);
                }
            }
            TIOCGPGRP => {
                let group = self.k.linux.terminal.foreground.ok_or(Errno::ENOTTY)?;
                let number = linux_of(self.k, group)
                    .map(|leader| self.pid_namespace().map(|namespace| leader.number_in(namespace)))
                    .unwrap_or(Ok(0))?;
                self.write_u32(at, number)?;
            }
            TIOCSPGRP => {
                let number = self.read_u32(at)?;
                self.in_foreground(SIGTTOU)?;
                let group = self.find_any(number).ok_or(Errno::ESRCH)?;
                let inside = deliver::members(self.k, group)
                    .into_iter()
                    .any(|member| linux_of(self.k, member).is_ok_and(|linux| linux.session == session));
                if !inside {
                    return Err(Errno::EPERM.into());
                }
                self.k.linux.terminal.foreground = Some(group);
            }
            TIOCGSID => {
                let namespace = self.pid_namespace()?;
                let number = linux_of(self.k, session).map_or(0, |leader| leader.number_in(namespace));
                self.write_u32(at, number)?;
            }
            TIOCOUTQ => self.write_u32(at, 0)?,
            TIOCSCTTY => {
                let leads = session == self.process;
                match self.k.linux.terminal.session {
                    Some(controlled) if controlled == session => {}
                    None if leads => {
                        let group = self.me()?.process_group;
                        self.k.linux.terminal.session = Some(session);
                        self.k.linux.terminal.foreground = Some(group);
                    }
                    _ => return Err(Errno::EPERM.into()),
                }
            }
            TIOCNOTTY => {
                if session == self.process {
                    self.k.linux.terminal.session = None;
                    self.k.linux.terminal.foreground = None;
                }
            }
            _ => return Err(Errno::ENOTTY.into()),
        }
        Ok(0)
    }
}

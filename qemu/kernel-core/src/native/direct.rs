//! The calls by which a thread sees to its own capabilities, made directly.
//!
//! They wait for nothing and take no buffer, so they need neither the call's arguments put together nor an outcome taken
//! apart: what is looked up is the thread, once. [`syscall`](super::syscall) carries them out as well, by the same functions.

#[cfg(test)]
mod tests;

use super::call::{Call, Outcome};
use crate::cap::{Capabilities, SpaceId};
use crate::hw::Hw;
use crate::kernel::{After, Kernel};
use crate::thread::ThreadBody;
use bailiwick_abi::{Error, Handle, Rights};

/// Carries one out, by its first three arguments: the first word of its result.
type Carry = fn(&mut Capabilities, SpaceId, [u64; 3]) -> Result<u64, Error>;

#[inline(always)]
fn derive(caps: &mut Capabilities, space: SpaceId, [handle, rights, badge]: [u64; 3]) -> Result<u64, Error> {
    caps.derive(space, Handle(handle), Rights(rights as u8), badge).map(|handle| handle.0)
}
#[inline(always)]
fn delete(caps: &mut Capabilities, space: SpaceId, [handle, ..]: [u64; 3]) -> Result<u64, Error> {
    caps.delete(space, Handle(handle)).map(|()| 0)
}
#[inline(always)]
fn revoke(caps: &mut Capabilities, space: SpaceId, [handle, ..]: [u64; 3]) -> Result<u64, Error> {
    caps.revoke(space, Handle(handle)).map(|()| 0)
}

impl<H: Hw> Call<'_, H> {
    fn about_capabilities(&mut self, carry: Carry) -> Outcome {
        let [first, second, third, ..] = self.args;
        let word = carry(&mut self.k.caps, self.space, [first, second, third])?;
        Ok([word, 0, 0])
    }
    pub(super) fn derive(&mut self) -> Outcome {
        self.k.room()?;
        self.about_capabilities(derive)
    }
    pub(super) fn delete(&mut self) -> Outcome {
        self.about_capabilities(delete)
    }
    pub(super) fn revoke(&mut self) -> Outcome {
        self.about_capabilities(revoke)
    }
}

impl<H: Hw> Kernel<H> {
    /// The number of the call that the current thread has made, if it is a native one.
    #[inline(always)]
    pub fn native_call(&self) -> Option<u64> {
        let thread = self.threads.get(self.sched.current()?)?;
        matches!(thread.body, ThreadBody::Native(_)).then_some(thread.context.registers.rax)
    }
    /// The current thread, a native one, has made the call `Null`, which does nothing: it goes on.
    #[inline(always)]
    pub fn null_call(&mut self) {
        if let Some(thread) = self.sched.current().and_then(|id| self.threads.get_mut(id)) {
            let r = &mut thread.context.registers;
            [r.rdi, r.rsi, r.rdx] = [0; 3];
        }
    }
    /// The current thread, a native one, has made the call `Derive`.
    #[inline(always)]
    pub fn derive_call(&mut self) -> After {
        let room = self.room();
        self.see_to_capabilities(|caps, space, args| {
            room.map_err(super::refused)?;
            derive(caps, space, args)
        })
    }
    /// The same with `Delete`.
    #[inline(always)]
    pub fn delete_call(&mut self) -> After {
        self.see_to_capabilities(delete)
    }
    /// The same with `Revoke`.
    #[inline(always)]
    pub fn revoke_call(&mut self) -> After {
        self.see_to_capabilities(revoke)
    }

    #[inline(always)]
    fn see_to_capabilities(
        &mut self,
        carry: impl FnOnce(&mut Capabilities, SpaceId, [u64; 3]) -> Result<u64, Error>,
    ) -> After {
        let Some(id) = self.sched.current() else { return After::Choose };
        let Some(thread) = self.threads.get_mut(id) else { return After::Choose };
        let ThreadBody::Native(native) = &thread.body else { return After::Choose };
        let r = &mut thread.context.registers;
        match carry(&mut self.caps, native.space, [r.rdi, r.rsi, r.rdx]) {
            Ok(word) => (r.rax, [r.rdi, r.rsi, r.rdx]) = (0, [word, 0, 0]),
            Err(error) => r.rax = u64::from(error.0),
        }
        if self.caps.has_gone() {
            self.sweep();
        }
        self.after_call_of(id)
    }
}

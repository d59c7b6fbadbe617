//! A client and a manager in one process: calls are function calls.
//!
//! A [`LoopbackChannel`] is a capability in this world. A call on it is delivered to the manager with the channel's
//! badge; then the kernel's events are pumped until the call's reply is there, so a call that waits for the kernel
//! waits here. Dropping a channel gives its capability up.

use crate::manager::{Leftover, Limits, Manager};
use crate::policy::Policy;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bailiwick_kernel_glue::{Delivery, KernelGlue, Port, ReplyToken};
use bailiwick_protocol::channel::{Channel, ReplyBuffer};
use bailiwick_protocol::frame::FrameBuffer;
use bailiwick_protocol::id::Badge;
use bailiwick_protocol::message::Waiting;
use core::cell::{RefCell, RefMut};
use core::fmt;

/// One manager with its kernel, shared by every channel onto it.
#[derive(Debug)]
pub struct Loopback<G> {
    shared: Rc<RefCell<Shared<G>>>,
}

#[derive(Debug)]
struct Shared<G> {
    manager: Manager,
    glue: G,
    inbox: Inbox,
    next_token: u64,
}

/// Where replies go. One to a call that was given up is dropped.
#[derive(Debug)]
struct Inbox {
    /// The call that is being made; it has no reply yet.
    open: Option<ReplyToken>,
    /// The reply that came last.
    frame: FrameBuffer,
    mint: Option<Badge>,
    /// Badges of capabilities that came with replies which were dropped.
    unheld: Vec<Badge>,
}

impl Inbox {
    fn new() -> Self {
        Inbox { open: None, frame: FrameBuffer::new(), mint: None, unheld: Vec::new() }
    }
}

impl Port for Inbox {
    fn reply(&mut self, token: ReplyToken, mint: Option<Badge>, write: impl FnOnce(&mut FrameBuffer)) {
        if self.open == Some(token) {
            self.open = None;
            self.mint = mint;
            write(&mut self.frame);
        } else {
            self.unheld.extend(mint);
        }
    }
    fn lend(&mut self, token: ReplyToken) -> Option<&mut FrameBuffer> {
        if self.open != Some(token) {
            return None;
        }
        (self.open, self.mint) = (None, None);
        Some(&mut self.frame)
    }
    // The manager knows a dead badge when it sees one; there is no queue here to be emptied.
    fn revoke(&mut self, _: Badge) {}
}

/// Why a call had no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoopbackError {
    /// It waits for something that can never come: no event is left in the kernel.
    NeverComes,
    /// It was made from within a call on the same manager.
    Nested,
}
impl fmt::Display for LoopbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LoopbackError::NeverComes => "the call waits for what can never come",
            LoopbackError::Nested => "the call was made from within another one",
        })
    }
}
impl core::error::Error for LoopbackError {}

impl<G: KernelGlue> Shared<G> {
    fn event(&mut self, waiting: Waiting) -> Option<()> {
        let event = self.glue.next_event(waiting)?;
        self.manager.event(&mut self.glue, &mut self.inbox, event);
        self.finish();
        Some(())
    }

    /// Nobody else is kept waiting here, so no work is left over.
    fn finish(&mut self) {
        while let Some(badge) = self.inbox.unheld.pop() {
            self.manager.closed(&mut self.glue, &mut self.inbox, badge);
        }
        while self.manager.sweep(&mut self.glue, &mut self.inbox) == Leftover::Some {}
    }

    /// Makes a call; its reply is in the inbox then.
    fn call(
        &mut self,
        badge: Badge,
        frame: &[u8],
        directory: Option<G::Directory>,
    ) -> Result<(), LoopbackError> {
        let token = ReplyToken(self.next_token);
        self.next_token += 1;
        let capabilities = usize::from(directory.is_some());
        let delivery = Delivery { badge, frame, directory, capabilities, token };
        self.inbox.open = Some(token);
        self.manager.deliver(&mut self.glue, &mut self.inbox, delivery);
        self.finish();
        while self.inbox.open.is_some() {
            self.event(Waiting::Yes).ok_or(LoopbackError::NeverComes)?;
        }
        Ok(())
    }
}

impl<G: KernelGlue> Loopback<G> {
    /// A manager over this kernel, and the channel of its root factory.
    pub fn new(glue: G, limits: Limits, policy: Policy) -> (Self, LoopbackChannel<G>) {
        let (manager, badge) = Manager::new(limits, policy);
        let shared = Shared { manager, glue, inbox: Inbox::new(), next_token: 0 };
        let shared = Rc::new(RefCell::new(shared));
        (Loopback { shared: shared.clone() }, LoopbackChannel { shared, badge })
    }

    /// Takes note of the next kernel event, waiting for it or not. None if there was none.
    pub fn pump(&self, waiting: Waiting) -> Option<()> {
        self.shared.try_borrow_mut().ok()?.event(waiting)
    }

    /// The kernel, to look into it or to prepare a failure. Calls on a channel fail while this is borrowed.
    ///
    /// # Errors
    /// [`LoopbackError::Nested`] if it is borrowed already.
    pub fn glue(&self) -> Result<RefMut<'_, G>, LoopbackError> {
        let shared = self.shared.try_borrow_mut().map_err(|_| LoopbackError::Nested)?;
        Ok(RefMut::map(shared, |shared| &mut shared.glue))
    }

    /// The manager, to look into it.
    ///
    /// # Errors
    /// [`LoopbackError::Nested`] if it is borrowed already.
    pub fn manager(&self) -> Result<RefMut<'_, Manager>, LoopbackError> {
        let shared = self.shared.try_borrow_mut().map_err(|_| LoopbackError::Nested)?;
        Ok(RefMut::map(shared, |shared| &mut shared.manager))
    }
}

/// A capability on an object of an embedded manager.
pub struct LoopbackChannel<G: KernelGlue> {
    shared: Rc<RefCell<Shared<G>>>,
    badge: Badge,
}

impl<G: KernelGlue> LoopbackChannel<G> {
    /// The badge that its calls arrive with.
    pub const fn badge(&self) -> Badge {
        self.badge
    }
}

impl<G: KernelGlue> fmt::Debug for LoopbackChannel<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopbackChannel").field(&self.badge).finish()
    }
}

impl<G: KernelGlue> Channel for LoopbackChannel<G>
where
    G::Directory: Clone,
{
    type Directory = G::Directory;
    type Error = LoopbackError;

    fn call(
        &self,
        frame: &FrameBuffer,
        directory: Option<&G::Directory>,
        reply: &mut ReplyBuffer<Self>,
    ) -> Result<(), LoopbackError> {
        let mut shared = self.shared.try_borrow_mut().map_err(|_| LoopbackError::Nested)?;
        shared.call(self.badge, frame, directory.cloned())?;
        reply.set_frame(&shared.inbox.frame);
        if let Some(badge) = shared.inbox.mint {
            // One that finds no room is dropped here, and given up with that.
            let _ = reply.push(LoopbackChannel { shared: self.shared.clone(), badge });
        }
        Ok(())
    }
}

impl<G: KernelGlue> Drop for LoopbackChannel<G> {
    fn drop(&mut self) {
        // Borrowed only while a call runs, and a call borrows the channel it is made on and owns no other.
        if let Ok(mut shared) = self.shared.try_borrow_mut() {
            let Shared { manager, glue, inbox, .. } = &mut *shared;
            manager.closed(glue, inbox, self.badge);
            shared.finish();
        }
    }
}

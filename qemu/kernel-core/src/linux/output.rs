//! What a container's processes write to their standard streams when those are no terminal: a bounded ring.
//!
//! Both streams go into one ring, in the order of the writes. Nobody is made to wait: when the ring is full, or its group
//! cannot pay for more of it, the oldest bytes are dropped, and counted.

use crate::account::{Charged, price_of};
use crate::hw::PAGE;
use alloc::collections::VecDeque;

/// Bytes that are kept, if they can be paid for.
pub const RING: usize = 64 << 10;

/// A ring of output.
#[derive(Debug)]
pub struct Output {
    bytes: VecDeque<u8>,
    lost: u64,
    /// Bytes that are paid for: at least a page, so that last words are kept.
    paid: usize,
    charged: Charged,
    /// Open descriptors and others that hold it.
    pub(crate) holders: u32,
}

impl Output {
    /// What an empty ring takes of the kernel's heap.
    pub(super) const PRICE: usize = Output::price(PAGE);

    const fn price(bytes: usize) -> usize {
        price_of::<Output>() + bytes
    }

    /// An empty ring that is held once. `charged` is [`Output::PRICE`].
    pub(super) fn held(charged: Charged) -> Output {
        Output { bytes: VecDeque::new(), lost: 0, paid: PAGE, charged, holders: 1 }
    }

    /// Sees to room for so many bytes in all, as far as whoever has the ring can pay.
    fn pay_for(&mut self, bytes: usize) {
        let wanted = bytes.min(RING).next_multiple_of(PAGE);
        if wanted > self.paid && self.charged.resize(Output::price(wanted)).is_ok() {
            self.paid = wanted;
        }
        self.bytes.reserve_exact(self.paid.saturating_sub(self.bytes.len()));
    }
    /// Gives back what an empty ring does not need.
    fn shrink(&mut self) {
        if self.bytes.is_empty() && self.paid > PAGE {
            self.bytes = VecDeque::new();
            self.paid = PAGE;
            // Less is never refused.
            let _ = self.charged.resize(Output::PRICE);
        }
    }

    /// Adds bytes, dropping the oldest if they do not fit.
    pub fn write(&mut self, bytes: &[u8]) {
        self.pay_for(self.bytes.len() + bytes.len());
        let kept = bytes.get(bytes.len().saturating_sub(self.paid)..).unwrap_or(bytes);
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.paid);
        self.bytes.drain(..over);
        self.lost += (over + bytes.len() - kept.len()) as u64;
        self.bytes.extend(kept);
    }

    /// Takes the oldest bytes out; returns how many, and how many were lost before them since the last read.
    pub fn read(&mut self, buffer: &mut [u8]) -> (usize, u64) {
        let count = buffer.len().min(self.bytes.len());
        for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        self.shrink();
        (count, core::mem::take(&mut self.lost))
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;
    use crate::memory::GroupId;
    use alloc::rc::Rc;

    fn ring(pages: Option<u64>) -> (Output, Rc<Account>) {
        let account = Account::new(GroupId::ROOT, None, pages);
        (Output::held(Charged::new(&account, Output::PRICE).unwrap()), account)
    }

    #[test]
    fn the_newest_bytes_are_kept_and_the_others_counted() {
        let (mut output, account) = ring(None);
        output.write(&[1; RING - 1]);
        output.write(&[2; 3]);
        assert_eq!(account.total(), Output::price(RING) as u64);
        let mut buffer = [0; RING];
        assert_eq!(output.read(&mut buffer), (RING, 2));
        assert_eq!((buffer[RING - 4], buffer[RING - 3]), (1, 2));
        output.write(&alloc::vec![3; 2 * RING]);
        assert_eq!(output.read(&mut buffer[..10]), (10, RING as u64));
        assert_eq!(output.read(&mut buffer), (RING - 10, 0));
        assert!(output.is_empty());
        assert_eq!(account.total(), Output::PRICE as u64);
    }

    #[test]
    fn who_cannot_pay_for_more_keeps_the_last_page() {
        let (mut output, account) = ring(Some(2));
        output.write(&[1; 3 * PAGE]);
        output.write(&[2; PAGE - 1]);
        let mut buffer = [0; RING];
        assert_eq!(output.read(&mut buffer), (PAGE, 3 * PAGE as u64 - 1));
        assert_eq!(buffer[..2], [1, 2]);
        drop(output);
        assert_eq!(account.in_use(), 0);
    }
}

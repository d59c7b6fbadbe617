//! What copies of a model have in common until one of them changes it: whoever explores makes millions of copies.

use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};

/// A value that is copied when it is changed, and not before.
#[derive(Clone, Default, Debug)]
pub(super) struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Shared(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

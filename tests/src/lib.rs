//! Helpers shared by the tests that join the parts.

pub mod bad;
pub mod bundle;
pub mod desk;
pub mod guest;
pub mod limit;
pub mod system;
pub mod terminal;

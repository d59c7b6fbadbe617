//! Helpers shared by the tests that join the parts.

pub mod bundle;
pub mod desk;
pub mod guest;
pub mod limit;
pub mod system;

//! Containers on a machine of ordinary memory.

//! Builds and boots the system image.

//! To the wire and back.
//!
//! From the wire, a refusal becomes the variant that carries it whole; the rest stays what it was. So the way back
//! gives the same bytes, and a code that this build does not know survives.

use super::{KernelError, Text};
use alloc::borrow::Cow;
use alloc::string::String;
use bailiwick_protocol::error::{Detail, Errno, ErrorReply, FrameError, KernelFault, Refusal, RefusalCode};
use core::fmt::Display;

/// What a thing is called whose kind the wire does not tell.
const OBJECT: Text = Cow::Borrowed("object");
/// What a value is for if the wire does not tell.
const VALUE: Text = Cow::Borrowed("value");

impl From<Refusal> for KernelError {
    fn from(refusal: Refusal) -> Self {
        let text = || Text::Owned(String::from(refusal.detail.as_str()));
        match refusal.code {
            RefusalCode::NotFound => KernelError::NotFound { resource: OBJECT, id: text() },
            RefusalCode::Exists => KernelError::AlreadyExists { resource: OBJECT, id: text() },
            RefusalCode::Rights => KernelError::PermissionDenied { operation: text() },
            RefusalCode::Unsupported => KernelError::OperationNotSupported { operation: text() },
            RefusalCode::Quota => KernelError::ResourceExhausted { resource: text() },
            RefusalCode::BadValue => KernelError::InvalidArgument { name: VALUE, value: text() },
            _ => KernelError::Refused(refusal),
        }
    }
}
impl From<KernelFault> for KernelError {
    fn from(fault: KernelFault) -> Self {
        KernelError::Fault(fault)
    }
}
impl From<FrameError> for KernelError {
    fn from(error: FrameError) -> Self {
        KernelError::Frame(error)
    }
}
impl From<ErrorReply> for KernelError {
    fn from(error: ErrorReply) -> Self {
        match error {
            ErrorReply::Frame(error) => error.into(),
            ErrorReply::Refusal(refusal) => refusal.into(),
            ErrorReply::Kernel(fault) => fault.into(),
        }
    }
}

fn refuse(code: RefusalCode, thing: impl Display) -> ErrorReply {
    Refusal::new(code, thing).into()
}

/// A thing and its kind, unless the kind says nothing.
fn named(code: RefusalCode, kind: &Text, nothing: &Text, separator: &str, name: &Text) -> ErrorReply {
    if kind == nothing { refuse(code, name) } else { refuse(code, format_args!("{kind}{separator}{name}")) }
}

fn fault(errno: Errno, thing: impl Display) -> ErrorReply {
    KernelFault { step: None, errno, detail: Detail::new(thing) }.into()
}

impl From<KernelError> for ErrorReply {
    fn from(error: KernelError) -> Self {
        use KernelError as E;
        match &error {
            E::OutOfMemory { .. } => fault(Errno::ENOMEM, &error),
            E::InvalidAddress { .. } | E::UnmappedMemory { .. } => fault(Errno::EFAULT, &error),
            E::InvalidCapability { reason, .. } => refuse(reason.refusal(), &error),
            E::InsufficientRights { .. } => refuse(RefusalCode::Rights, &error),
            E::CapabilityRevoked { .. } => refuse(RefusalCode::Revoked, &error),
            E::ProcessNotFound { .. } | E::ThreadNotFound { .. } => fault(Errno::ESRCH, &error),
            E::InvalidState { .. } => refuse(RefusalCode::State, &error),
            E::IpcError(inner) => fault(inner.errno(), inner),
            E::SchedulerError(inner) => fault(inner.errno(), inner),
            E::SyscallError(inner) => fault(inner.errno(), inner),
            E::FsError(inner) => fault(inner.errno(), inner),
            E::HardwareError { .. } => fault(Errno::EIO, &error),
            E::InvalidArgument { name, value } => named(RefusalCode::BadValue, name, &VALUE, ": ", value),
            E::OperationNotSupported { operation } => refuse(RefusalCode::Unsupported, operation),
            E::ResourceExhausted { resource } => refuse(RefusalCode::Quota, resource),
            E::PermissionDenied { operation } => refuse(RefusalCode::Rights, operation),
            E::AlreadyExists { resource, id } => named(RefusalCode::Exists, resource, &OBJECT, " ", id),
            E::NotFound { resource, id } => named(RefusalCode::NotFound, resource, &OBJECT, " ", id),
            E::Timeout { .. } => fault(Errno::ETIMEDOUT, &error),
            E::NotImplemented { feature } => refuse(RefusalCode::Unsupported, feature),
            E::WouldBlock => fault(Errno::EAGAIN, &error),
            E::BrokenPipe => fault(Errno::EPIPE, &error),
            E::NotInitialized { .. } | E::LegacyError { .. } => refuse(RefusalCode::Internal, &error),
            E::Refused(refusal) => refusal.clone().into(),
            E::Fault(fault) => fault.clone().into(),
            E::Frame(error) => (*error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CapError, FsError, IpcError, SchedError, SyscallError};
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn what_came_from_the_wire_goes_back_as_it_came() {
        let unknown = RefusalCode(60_000);
        for code in RefusalCode::ALL.iter().copied().chain([unknown]) {
            for detail in ["", "config.json: mounts[2].type: \"x\"", "object web", "ü".repeat(120).as_str()]
            {
                let reply = ErrorReply::from(Refusal::new(code, detail));
                assert_eq!(ErrorReply::from(KernelError::from(reply.clone())), reply);
            }
        }
        for error in FrameError::ALL.iter().copied().chain([FrameError(60_000)]) {
            let reply = ErrorReply::from(error);
            assert_eq!(ErrorReply::from(KernelError::from(reply.clone())), reply);
        }
        for step in [None, Some(0), Some(u16::MAX)] {
            let detail = Detail::new("mount proc on /proc");
            let reply = ErrorReply::from(KernelFault { step, errno: Errno(4000), detail });
            assert_eq!(ErrorReply::from(KernelError::from(reply.clone())), reply);
        }
    }

    fn one_of_each() -> Vec<KernelError> {
        use KernelError as E;
        let text = || Text::Borrowed("thing");
        let mut all = vec![
            E::OutOfMemory { requested: 2, available: 1 },
            E::InvalidAddress { addr: 7 },
            E::UnmappedMemory { addr: 7 },
            E::InvalidCapability { cap_id: 7, reason: CapError::InvalidObject },
            E::InsufficientRights { required: 3, actual: 1 },
            E::CapabilityRevoked { cap_id: 7 },
            E::ProcessNotFound { pid: 7 },
            E::ThreadNotFound { tid: 7 },
            E::InvalidState { expected: "created", actual: "running" },
            E::IpcError(IpcError::QueueEmpty),
            E::SchedulerError(SchedError::InvalidAffinity),
            E::SyscallError(SyscallError::AccessDenied),
            E::HardwareError { device: text(), code: 7 },
            E::InvalidArgument { name: text(), value: text() },
            E::OperationNotSupported { operation: text() },
            E::ResourceExhausted { resource: text() },
            E::PermissionDenied { operation: text() },
            E::AlreadyExists { resource: text(), id: text() },
            E::NotFound { resource: text(), id: text() },
            E::Timeout { operation: text(), duration_ms: 7 },
            E::NotImplemented { feature: text() },
            E::WouldBlock,
            E::BrokenPipe,
            E::NotInitialized { subsystem: text() },
            E::LegacyError { message: text() },
        ];
        all.extend(FsError::ALL.iter().copied().map(E::FsError));
        all
    }

    #[test]
    fn every_error_travels_under_a_code_the_protocol_has_a_name_for() {
        for error in one_of_each() {
            match ErrorReply::from(error.clone()) {
                ErrorReply::Refusal(refusal) => assert!(refusal.code.name().is_some(), "{error:?}"),
                ErrorReply::Kernel(fault) => assert!(fault.errno.name().is_some(), "{error:?}"),
                ErrorReply::Frame(_) => panic!("{error:?} is no fault of a frame"),
            }
        }
    }

    #[test]
    fn every_error_says_what_it_is_about_in_one_line_without_a_full_stop() {
        for error in one_of_each() {
            let sentence = error.to_string();
            assert_eq!(sentence.lines().count(), 1, "{error:?}");
            assert!(sentence.len() > 8 || sentence == "thing", "{error:?}: {sentence}");
            assert!(!sentence.ends_with('.') && !sentence.contains('{'), "{error:?}: {sentence}");
        }
    }

    #[test]
    fn a_wrong_state_travels_as_a_refusal_that_names_both_states() {
        let error = KernelError::InvalidState { expected: "created", actual: "running" };
        let ErrorReply::Refusal(refusal) = ErrorReply::from(error) else { panic!("not a refusal") };
        assert_eq!(refusal.code, RefusalCode::State);
        assert!(refusal.detail.as_str().contains("running") && refusal.detail.as_str().contains("created"));
    }

    #[test]
    fn a_thing_that_is_not_there_and_one_that_is_not_the_callers_look_the_same() {
        let not_there = KernelError::from(Refusal::new(RefusalCode::NotFound, "web"));
        assert_eq!(not_there, KernelError::NotFound { resource: OBJECT, id: "web".into() });
        assert_eq!(ErrorReply::from(not_there), ErrorReply::from(Refusal::new(RefusalCode::NotFound, "web")));
    }
}

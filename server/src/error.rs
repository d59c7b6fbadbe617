//! The error a caller of the record sees: why the kernel side of a container could not do what was asked.

use bailiwick_protocol::error::{ErrorReply, KernelFault, Refusal, RefusalCode};
use core::fmt;

/// Why an operation on a container failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KernelError {
    /// It is not possible in this state.
    InvalidState {
        /// The state it needs.
        expected: &'static str,
        /// The state there is.
        actual: &'static str,
    },
    /// A value is out of its range.
    InvalidArgument {
        /// What the value is for.
        name: &'static str,
        /// What was given, in words.
        value: &'static str,
    },
    /// The rules said no.
    Refused(Refusal),
    /// The kernel said no.
    Fault(KernelFault),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KernelError::InvalidState { expected, actual } => {
                write!(f, "the container is {actual}, and this needs it to be {expected}")
            }
            KernelError::InvalidArgument { name, value } => write!(f, "{name}: {value}"),
            KernelError::Refused(refusal) => refusal.fmt(f),
            KernelError::Fault(fault) => fault.fmt(f),
        }
    }
}
impl core::error::Error for KernelError {}

impl From<Refusal> for KernelError {
    fn from(refusal: Refusal) -> Self {
        KernelError::Refused(refusal)
    }
}
impl From<KernelFault> for KernelError {
    fn from(fault: KernelFault) -> Self {
        KernelError::Fault(fault)
    }
}
impl From<KernelError> for ErrorReply {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::InvalidState { .. } => Refusal::new(RefusalCode::State, error).into(),
            KernelError::InvalidArgument { .. } => Refusal::new(RefusalCode::BadValue, error).into(),
            KernelError::Refused(refusal) => refusal.into(),
            KernelError::Fault(fault) => fault.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_state_travels_as_a_refusal_that_names_both_states() {
        let error = KernelError::InvalidState { expected: "created", actual: "running" };
        let ErrorReply::Refusal(refusal) = ErrorReply::from(error) else { panic!("not a refusal") };
        assert_eq!(refusal.code, RefusalCode::State);
        assert!(refusal.detail.as_str().contains("running") && refusal.detail.as_str().contains("created"));
    }
}

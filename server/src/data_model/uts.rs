//! Host and domain name of a container (uts_namespaces(7)).

use crate::error::KernelError;
use alloc::string::String;

/// Longest host or domain name, in bytes (sethostname(2), `__NEW_UTS_LEN`).
pub const UTS_NAME_MAX: usize = 64;

/// The two names of one UTS namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UtsNamespace {
    hostname: String,
    domainname: String,
}

impl UtsNamespace {
    /// A namespace with this host name and an empty domain name.
    ///
    /// # Errors
    /// As [`UtsNamespace::set_hostname`].
    pub fn new(hostname: &str) -> Result<Self, KernelError> {
        Ok(UtsNamespace { hostname: checked("hostname", hostname)?, domainname: String::new() })
    }

    /// The host name.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Changes the host name.
    ///
    /// # Errors
    /// [`KernelError::InvalidArgument`] if it has more than [`UTS_NAME_MAX`] bytes or a NUL among them.
    pub fn set_hostname(&mut self, hostname: &str) -> Result<(), KernelError> {
        self.hostname = checked("hostname", hostname)?;
        Ok(())
    }

    /// The NIS domain name.
    pub fn domainname(&self) -> &str {
        &self.domainname
    }

    /// Changes the NIS domain name.
    ///
    /// # Errors
    /// [`KernelError::InvalidArgument`] if it has more than [`UTS_NAME_MAX`] bytes or a NUL among them.
    pub fn set_domainname(&mut self, domainname: &str) -> Result<(), KernelError> {
        self.domainname = checked("domainname", domainname)?;
        Ok(())
    }
}

fn checked(name: &'static str, text: &str) -> Result<String, KernelError> {
    if text.len() > UTS_NAME_MAX || text.contains('\0') {
        let value = "must have at most 64 bytes and no NUL".into();
        return Err(KernelError::InvalidArgument { name: name.into(), value });
    }
    Ok(String::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_up_to_64_bytes_are_kept_and_longer_ones_change_nothing() {
        let mut uts = UtsNamespace::new("web").unwrap();
        let (longest, too_long) = ("é".repeat(32), "a".repeat(UTS_NAME_MAX + 1));
        uts.set_hostname(&longest).unwrap();
        uts.set_domainname("example").unwrap();
        for bad in [too_long.as_str(), "a\0b"] {
            assert!(uts.set_hostname(bad).is_err() && uts.set_domainname(bad).is_err());
            assert!(UtsNamespace::new(bad).is_err());
        }
        assert_eq!((uts.hostname(), uts.domainname()), (longest.as_str(), "example"));
    }
}

//! Configurations that were read lately, so that containers of one bundle share one, and it is checked once.

use super::ValidConfig;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// Most texts that are kept. Together with [`TEXT_MAX`] it bounds what they take, whoever made the server read them.
const KEPT_MAX: usize = 8;
/// Longest text that is kept, in bytes.
const TEXT_MAX: usize = 16 << 10;

/// A few configurations by their whole text: equal bytes mean the same, and nothing else does.
#[derive(Clone, Default)]
pub(crate) struct Configs {
    /// The one used last stands last. Copies of a server share the texts.
    kept: Vec<(Arc<[u8]>, Arc<ValidConfig>)>,
}

impl fmt::Debug for Configs {
    /// Says nothing: whether a text is parsed once more or not makes no difference to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configs")
    }
}

impl Configs {
    /// The configuration of `text`, which `parse` makes of it unless it is known.
    ///
    /// # Errors
    /// That of `parse`.
    pub(crate) fn get<E>(
        &mut self,
        text: Vec<u8>,
        parse: impl FnOnce(&[u8]) -> Result<ValidConfig, E>,
    ) -> Result<Arc<ValidConfig>, E> {
        if let Some(at) = self.kept.iter().rposition(|(kept, _)| **kept == *text) {
            // It moves by at most seven places, and by none if it was used last.
            self.kept.get_mut(at..).unwrap_or_default().rotate_left(1);
            return self
                .kept
                .last()
                .map_or_else(|| parse(&text).map(Arc::new), |(_, config)| Ok(config.clone()));
        }
        let config = Arc::new(parse(&text)?);
        if text.len() <= TEXT_MAX {
            if self.kept.len() == KEPT_MAX {
                self.kept.remove(0);
            }
            self.kept.push((text.into(), config.clone()));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn text(hostname: &str) -> Vec<u8> {
        format!(
            r#"{{"ociVersion":"1.0.2","root":{{"path":"rootfs"}},"hostname":"{hostname}",
            "process":{{"cwd":"/","args":["/bin/true"],"user":{{"uid":0,"gid":0}}}},
            "linux":{{"namespaces":[{{"type":"uts"}},{{"type":"mount"}}]}}}}"#
        )
        .into_bytes()
    }

    fn parse(text: &[u8]) -> Result<ValidConfig, String> {
        ValidConfig::parse(core::str::from_utf8(text).unwrap()).map_err(|error| format!("{error}"))
    }

    fn known(configs: &mut Configs, text: &[u8]) -> bool {
        configs.get(text.to_vec(), |_| Err(())).is_ok()
    }

    #[test]
    fn equal_texts_share_a_configuration_and_others_do_not() {
        let mut configs = Configs::default();
        let first = configs.get(text("a"), parse).unwrap();
        let other = configs.get(text("b"), parse).unwrap();
        let again = configs.get(text("a"), |_| Err(String::from("it is known"))).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(other.hostname.as_deref(), Some("b"));
    }

    #[test]
    fn a_text_that_is_refused_is_refused_again() {
        let mut configs = Configs::default();
        assert!(configs.get(b"{}".to_vec(), parse).is_err());
        assert!(!known(&mut configs, b"{}"));
    }

    #[test]
    fn few_are_kept_the_last_used_ones_and_no_long_one() {
        let mut configs = Configs::default();
        for number in 0..KEPT_MAX {
            configs.get(text(&format!("h{number}")), parse).unwrap();
        }
        assert!(known(&mut configs, &text("h0")));
        configs.get(text("new"), parse).unwrap();
        assert!(known(&mut configs, &text("h0")) && !known(&mut configs, &text("h1")));
        let mut long = text("long");
        long.resize(TEXT_MAX + 1, b' ');
        configs.get(long.clone(), parse).unwrap();
        assert!(!known(&mut configs, &long));
        assert_eq!(configs.kept.len(), KEPT_MAX);
    }
}

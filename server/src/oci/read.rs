//! From the JSON tree to typed fields: each type says how it is read, and what its absence means.
//!
//! The rules for absence are the specification's as its Go types have them: `null` is the same as not there; a list
//! or map that is not there is empty, a flag is false, an optional text that is empty is not there. Everything
//! else is required unless it is an `Option`.

use super::error::{ConfigError, Place};
use super::json::Value;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A value and where it stands.
pub(crate) struct Field<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) value: &'a Value<'a>,
}

/// What can be read from a field.
pub(crate) trait Read: Sized {
    /// Whether an empty text means that an optional field is not there.
    const EMPTY_IS_ABSENT: bool = false;

    /// Reads it.
    fn read(field: &Field<'_>) -> Result<Self, ConfigError>;

    /// What it is when the field is not there.
    fn absent(place: &Place<'_>) -> Result<Self, ConfigError> {
        Err(place.fault("is missing"))
    }
}

impl<'a> Field<'a> {
    /// A fault of the value here.
    pub(crate) fn fault(&self, reason: impl Into<Cow<'static, str>>) -> ConfigError {
        self.place.value_fault(self.value, reason)
    }
    /// The value as text.
    pub(crate) fn text(&self) -> Result<&'a str, ConfigError> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.fault("is not a string")),
        }
    }
    /// The value as an integer.
    fn integer(&self) -> Result<i128, ConfigError> {
        match *self.value {
            Value::Natural(value) => Ok(i128::from(value)),
            Value::Negative(value) => Ok(i128::from(value)),
            _ => Err(self.fault("is not an integer")),
        }
    }
    /// The value as an object, of which members can be read.
    pub(crate) fn object(&self) -> Result<Object<'_>, ConfigError> {
        match self.value {
            Value::Object(members) => Ok(Object { place: &self.place, members }),
            _ => Err(self.fault("is not an object")),
        }
    }
    /// The value as a list, each element read by `read`.
    pub(crate) fn list<T>(
        &self,
        read: impl Fn(&Field<'_>) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let Value::List(items) = self.value else { return Err(self.fault("is not a list")) };
        let mut list = Vec::with_capacity(items.len());
        for (index, value) in items.iter().enumerate() {
            list.push(read(&Field { place: self.place.index(index), value })?);
        }
        Ok(list)
    }
}

/// An object whose members are read by name. Members nobody asks for are ignored, as the specification demands
/// (config.md "Extensibility").
pub(crate) struct Object<'a> {
    place: &'a Place<'a>,
    members: &'a [(Cow<'a, str>, Value<'a>)],
}

impl Object<'_> {
    /// Reads the member `key`.
    pub(crate) fn member<T: Read>(&self, key: &str) -> Result<T, ConfigError> {
        let place = self.place.key(key);
        match self.members.iter().find(|(name, _)| name == key) {
            None | Some((_, Value::Null)) => T::absent(&place),
            Some((_, value)) => T::read(&Field { place, value }),
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        match field.value {
            Value::Text(text) if text.is_empty() && T::EMPTY_IS_ABSENT => Ok(None),
            _ => T::read(field).map(Some),
        }
    }
    fn absent(_: &Place<'_>) -> Result<Self, ConfigError> {
        Ok(None)
    }
}

impl<T: Read> Read for Box<T> {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        T::read(field).map(Box::new)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        field.list(T::read)
    }
    fn absent(_: &Place<'_>) -> Result<Self, ConfigError> {
        Ok(Vec::new())
    }
}

impl<T: Read> Read for BTreeMap<String, T> {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        let object = field.object()?;
        let read = |(key, value): &(Cow<'_, str>, Value<'_>)| {
            let value = T::read(&Field { place: object.place.key(key), value })?;
            Ok((String::from(key.as_ref()), value))
        };
        object.members.iter().map(read).collect()
    }
    fn absent(_: &Place<'_>) -> Result<Self, ConfigError> {
        Ok(BTreeMap::new())
    }
}

impl Read for String {
    const EMPTY_IS_ABSENT: bool = true;
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        field.text().map(String::from)
    }
}

impl Read for bool {
    fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
        match field.value {
            Value::Bool(value) => Ok(*value),
            _ => Err(field.fault("is neither true nor false")),
        }
    }
    fn absent(_: &Place<'_>) -> Result<Self, ConfigError> {
        Ok(false)
    }
}

macro_rules! read_integer {
    ($($type:ident)*) => {$(
        impl Read for $type {
            fn read(field: &Field<'_>) -> Result<Self, ConfigError> {
                let value = field.integer()?;
                $type::try_from(value).map_err(|_| match value {
                    ..0 if $type::MIN == 0 => field.fault("is negative"),
                    ..0 => field.fault(format!("is less than {}", $type::MIN)),
                    _ => field.fault(format!("is more than {}", $type::MAX)),
                })
            }
        }
    )*};
}
read_integer! { u16 u32 u64 i32 i64 }

/// Declares an object of the specification: its struct, and how it is read. Each field stands beside its JSON key.
/// With `or default`, an object that is not there is one with nothing in it.
macro_rules! spec_object {
    (
        $(#[$outer:meta])*
        $name:ident $(or $default:ident)? {
            $($(#[$doc:meta])* $field:ident: $type:ty = $key:literal,)*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        $(#[derive($default)])?
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }
        impl $crate::oci::read::Read for $name {
            fn read(field: &$crate::oci::read::Field<'_>) -> Result<Self, $crate::oci::ConfigError> {
                let object = field.object()?;
                Ok($name { $($field: object.member($key)?,)* })
            }
            $(fn absent(_: &$crate::oci::error::Place<'_>) -> Result<Self, $crate::oci::ConfigError> {
                Ok(<Self as $default>::default())
            })?
        }
    };
}
pub(crate) use spec_object;

/// Declares one of the specification's closed lists of words as an enum.
macro_rules! spec_words {
    (
        $(#[$outer:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$doc])* $variant,)* }
        impl $name {
            /// Every value, in the order of the specification.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            /// The specification's word.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
            /// The value for a word of the specification, if it is one.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl $crate::oci::read::Read for $name {
            fn read(field: &$crate::oci::read::Field<'_>) -> Result<Self, $crate::oci::ConfigError> {
                let known: &[&str] = &[$($word),*];
                $name::from_word(field.text()?)
                    .ok_or_else(|| field.fault(alloc::format!("is none of {}", known.join(", "))))
            }
        }
    };
}
pub(crate) use spec_words;

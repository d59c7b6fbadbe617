//! How much a factory may have and has: one list of kinds, counted the same way everywhere.
//!
//! Everything that clients can make grow is of one of these kinds and is charged to the factory it belongs to and to
//! each of its ancestors, before anything is allocated for it.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $field:ident = $name:literal;)*) => {
        /// A number for each kind: what a factory uses, or what something costs.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct Amounts { $($(#[$doc])* pub $field: u64,)* }

        /// Most of each kind at one time; none is unbounded.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct Quota { $($(#[$doc])* pub $field: Option<u64>,)* }

        /// The kinds' names, in the order of the fields.
        pub const KINDS: &[&str] = &[$($name),*];

        impl Amounts {
            /// Nothing of any kind.
            pub const NONE: Amounts = Amounts { $($field: 0,)* };

            fn map(self, other: Amounts, change: impl Fn(u64, u64) -> u64) -> Amounts {
                Amounts { $($field: change(self.$field, other.$field),)* }
            }
            /// Each kind's name with its number.
            pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$(($name, self.$field)),*].into_iter()
            }
            /// The first kind of which this with `more` would exceed `quota`. Kinds of which nothing more is asked never do.
            #[inline(always)]
            pub fn exceeds(&self, more: &Amounts, quota: &Quota) -> Option<Excess> {
                $(if more.$field > 0
                    && let Some(max) = quota.$field
                    && self.$field.saturating_add(more.$field) > max
                {
                    return Some(Excess { kind: $name, used: self.$field, asked: more.$field, max });
                })*
                None
            }
        }

        impl Quota {
            /// No bound on anything.
            pub const UNBOUNDED: Quota = Quota { $($field: None,)* };

            fn map(self, other: Quota, change: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Quota {
                Quota { $($field: change(self.$field, other.$field),)* }
            }
            /// Each kind's name with its bound.
            pub fn rows(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> + use<> {
                [$(($name, self.$field)),*].into_iter()
            }
            /// What is left when so much is used.
            #[must_use]
            pub fn left(&self, used: &Amounts) -> Quota {
                Quota { $($field: self.$field.map(|max| max.saturating_sub(used.$field)),)* }
            }
        }
    };
}

kinds! {
    /// Containers.
    containers = "containers";
    /// Sub-factories, those below them included.
    factories = "factories";
    /// Processes started by `Exec` that are not forgotten.
    execs = "exec processes";
    /// Capabilities on anything of the factory's.
    capabilities = "capabilities";
    /// Calls that wait for something to happen.
    waiting = "waiting calls";
    /// Bytes of events kept for readers.
    event_bytes = "bytes of events";
    /// Bytes of output kept for readers.
    log_bytes = "bytes of logs";
    /// Processes that containers may have at one time: the sum of their limits.
    processes = "processes";
    /// Bytes of memory that containers may use: the sum of their limits.
    memory = "bytes of memory";
    /// Thousandths of a CPU's time that containers may use: the sum of their limits.
    cpu = "thousandths of a CPU";
}

/// Something does not fit a quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Excess {
    /// The name of the kind.
    pub kind: &'static str,
    /// What is used of it.
    pub used: u64,
    /// What was asked for.
    pub asked: u64,
    /// The bound.
    pub max: u64,
}

impl core::fmt::Display for Excess {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Excess { kind, used, asked, max } = self;
        let left = max.saturating_sub(*used);
        write!(f, "{kind}: {used} of {max} used, {left} left, {asked} asked for")
    }
}

impl Amounts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Amounts) -> Amounts {
        self.map(other, u64::saturating_add)
    }
    /// This without the other; no kind goes below 0.
    #[must_use]
    pub fn minus(self, other: Amounts) -> Amounts {
        self.map(other, u64::saturating_sub)
    }
    /// Whether nothing exceeds `quota`.
    pub fn within(&self, quota: &Quota) -> bool {
        Amounts::NONE.exceeds(self, quota).is_none()
    }
}

impl Quota {
    /// The bounds that hold if both do: the only way to get one quota from another.
    #[must_use]
    pub fn narrow(self, other: Quota) -> Quota {
        self.map(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, none) => one.or(none),
        })
    }
    /// Whether this bounds everything at least as tightly as `other`.
    pub fn is_within(self, other: Quota) -> bool {
        self.narrow(other) == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowing_takes_the_tighter_bound_of_each_kind() {
        let a = Quota { containers: Some(4), memory: Some(10), ..Quota::UNBOUNDED };
        let b = Quota { containers: Some(2), cpu: Some(5), ..Quota::UNBOUNDED };
        let both = a.narrow(b);
        assert_eq!(both, b.narrow(a));
        assert_eq!(both, Quota { containers: Some(2), memory: Some(10), cpu: Some(5), ..Quota::UNBOUNDED });
        assert!(both.is_within(a) && both.is_within(b) && both.is_within(Quota::UNBOUNDED));
        assert!(!a.is_within(both) && !Quota::UNBOUNDED.is_within(a));
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_is_used_and_left() {
        let quota = Quota { containers: Some(4), memory: Some(10), ..Quota::UNBOUNDED };
        let used = Amounts { containers: 3, memory: 9, processes: u64::MAX, ..Amounts::NONE };
        let fits = Amounts { containers: 1, memory: 1, processes: u64::MAX, ..Amounts::NONE };
        assert_eq!(used.exceeds(&fits, &quota), None);
        let more = Amounts { memory: 2, ..Amounts::NONE };
        let text = std::string::ToString::to_string(&used.exceeds(&more, &quota).unwrap());
        assert_eq!(text, "bytes of memory: 9 of 10 used, 1 left, 2 asked for");
        assert_eq!(quota.left(&used).memory, Some(1));
    }

    #[test]
    fn a_kind_that_is_over_its_bound_refuses_only_more_of_the_same() {
        let quota = Quota { memory: Some(10), ..Quota::UNBOUNDED };
        let used = Amounts { memory: 20, ..Amounts::NONE };
        assert_eq!(used.exceeds(&Amounts { containers: 1, ..Amounts::NONE }, &quota), None);
        assert!(used.exceeds(&Amounts { memory: 1, ..Amounts::NONE }, &quota).is_some());
    }
}

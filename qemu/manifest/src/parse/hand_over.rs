//! Capabilities on containers: what a process is handed, and what is stored with a container.

use super::{Fault, bundle_name, fault};
use crate::{Access, HELD_MAX, Handed, Held, Start, Stored};
use bailiwick_protocol::message::STORED_MAX;
use bailiwick_protocol::{ContainerId, Rights};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStored {
    name: Spanned<String>,
    on: Spanned<String>,
    rights: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeld {
    id: Spanned<String>,
    rights: Vec<Spanned<String>>,
}

/// What is stored with the container called `id`.
pub(super) fn stored(
    id: &Spanned<String>,
    raw: Vec<RawStored>,
    starts: &BTreeMap<String, Start>,
) -> Result<Vec<Stored>, Fault> {
    if let Some(extra) = raw.get(STORED_MAX) {
        let text = format!("more than {STORED_MAX} capabilities stored with one container");
        return fault(extra.name.span(), text);
    }
    if !raw.is_empty() {
        at_boot(id, "something is stored with", starts)?;
    }
    let mut names = BTreeSet::new();
    for stored in &raw {
        let name = stored.name.as_ref();
        if let Err(error) = ContainerId::new(name) {
            return fault(stored.name.span(), format!("name {name:?}: {error}"));
        }
        if !names.insert(name.clone()) {
            return fault(stored.name.span(), format!("{name:?} is stored twice with {:?}", id.as_ref()));
        }
    }
    raw.into_iter()
        .map(|RawStored { name, on, rights }| {
            let rights = on_container(&on, &rights, starts)?;
            Ok(Stored { name: name.into_inner(), on: on.into_inner(), rights })
        })
        .collect()
}

/// What a process is handed.
pub(super) fn held(raw: Vec<RawHeld>, starts: &BTreeMap<String, Start>) -> Result<Vec<Held>, Fault> {
    if let Some(extra) = raw.get(HELD_MAX) {
        return fault(extra.id.span(), format!("more than {HELD_MAX} containers handed to one process"));
    }
    let mut ids = BTreeSet::new();
    raw.into_iter()
        .map(|RawHeld { id, rights }| {
            let rights = on_container(&id, &rights, starts)?;
            if !ids.insert(id.as_ref().clone()) {
                return fault(id.span(), format!("container {:?} is handed over twice", id.as_ref()));
            }
            Ok(Held { id: id.into_inner(), rights })
        })
        .collect()
}

/// The bundles that a process is handed by themselves.
pub(super) fn bundles(
    raw: Vec<Spanned<String>>,
    exists: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Fault> {
    let mut names = BTreeSet::new();
    for bundle in &raw {
        let name = bundle.as_ref();
        if !names.insert(name.clone()) {
            return fault(bundle.span(), format!("bundle {name:?} is handed over twice"));
        }
        if name.contains(char::is_whitespace) {
            return fault(
                bundle.span(),
                format!("bundle {name:?}: a name with a blank cannot be told a process"),
            );
        }
    }
    raw.into_iter().map(|bundle| bundle_name(bundle, exists)).collect()
}

/// What a process may write to of what it is handed.
pub(super) struct Written(BTreeSet<String>);

impl Written {
    pub(super) fn new<'r>(
        names: &[Spanned<String>],
        handed: impl Iterator<Item = &'r Spanned<String>>,
    ) -> Result<Self, Fault> {
        let handed: BTreeSet<&str> = handed.map(|of| of.as_ref().as_str()).collect();
        let mut written = BTreeSet::new();
        for name in names {
            if !handed.contains(name.as_ref().as_str()) {
                let text = format!("write: {:?} is neither in `directories` nor in `bundles`", name.as_ref());
                return fault(name.span(), text);
            }
            if !written.insert(name.as_ref().clone()) {
                return fault(name.span(), format!("write: {:?} is there twice", name.as_ref()));
            }
        }
        Ok(Written(written))
    }
    pub(super) fn handed(&self, names: impl Iterator<Item = String>) -> Vec<Handed> {
        let access = |name: &String| if self.0.contains(name) { Access::Write } else { Access::Read };
        names.map(|name| Handed { access: access(&name), name }).collect()
    }
}

/// Rights on a container that is there once init has brought everything up.
fn on_container(
    id: &Spanned<String>,
    names: &[Spanned<String>],
    starts: &BTreeMap<String, Start>,
) -> Result<Rights, Fault> {
    at_boot(id, "somebody is to hold a capability on", starts)?;
    let rights = rights(names)?;
    let meaningless =
        |name: &&Spanned<String>| !Rights::CONTAINER.contains(named(name).unwrap_or(Rights::empty()));
    if let Some(name) = names.iter().find(meaningless) {
        return fault(name.span(), format!("{:?} means nothing on a container", name.as_ref()));
    }
    if rights.is_empty() {
        return fault(id.span(), format!("a capability on {:?} without a right: name one", id.as_ref()));
    }
    Ok(rights)
}

fn at_boot(id: &Spanned<String>, why: &str, starts: &BTreeMap<String, Start>) -> Result<(), Fault> {
    let name = id.as_ref();
    match starts.get(name) {
        Some(Start::Boot) => Ok(()),
        Some(Start::Manual) => fault(
            id.span(),
            format!("{why} {name:?}, which is not started at boot: give it start = \"boot\""),
        ),
        None => fault(id.span(), format!("{why} {name:?}, which this manifest does not declare")),
    }
}

/// The rights with these names, none of them if there are no names.
pub(super) fn rights(names: &[Spanned<String>]) -> Result<Rights, Fault> {
    let mut rights = Rights::empty();
    for name in names {
        rights |= named(name).ok_or_else(|| Fault(name.span(), unknown_right(name.as_ref())))?;
    }
    Ok(rights)
}

fn named(name: &Spanned<String>) -> Option<Rights> {
    Rights::from_name(&name.as_ref().to_ascii_uppercase())
}

fn unknown_right(name: &str) -> String {
    let known: Vec<String> = Rights::all().iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    format!("no right is called {name:?}; there are {}", known.join(", "))
}

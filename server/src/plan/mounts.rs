//! Mounts: option words become attributes, propagation and data.

use super::{bad_config, unsupported};
use crate::oci::{MountOption, OciMount};
use crate::policy::Policy;
use alloc::string::String;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{Feature, Features, Mount, MountFlags, MountSource, Reach, Step};
use bailiwick_protocol::error::Refusal;

/// One step a mount, in the order of the configuration.
pub(super) fn steps(
    mounts: &[OciMount],
    features: &Features,
    policy: &Policy,
    steps: &mut Vec<Step>,
) -> Result<(), Refusal> {
    for (index, mount) in mounts.iter().enumerate() {
        steps.push(Step::Mount(plan_mount(index, mount, features, policy)?));
    }
    Ok(())
}

fn plan_mount(
    index: usize,
    mount: &OciMount,
    features: &Features,
    policy: &Policy,
) -> Result<Mount, Refusal> {
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(unsupported(format_args!("mounts[{index}].uidMappings")));
    }
    let mut planned = Mount {
        destination: mount.destination.clone(),
        source: source(index, mount, features, policy)?,
        flags: MountFlags::empty(),
        clear: MountFlags::empty(),
        tree_flags: MountFlags::empty(),
        tree_clear: MountFlags::empty(),
        propagation: Vec::new(),
        data: String::new(),
    };
    let bind = mount.is_bind();
    for (position, option) in mount.parsed_options().enumerate() {
        let word = mount.options.get(position).map_or("", String::as_str);
        // There is no new file system that could understand it.
        if bind && matches!(option, MountOption::Data(_)) {
            return Err(unsupported(format_args!(
                "mounts[{index}].options[{position}]: {word}: no option of a bind mount"
            )));
        }
        apply(&mut planned, option)
            .map_err(|NoWord| unsupported(format_args!("mounts[{index}].options[{position}]: {word}")))?;
    }
    let tree = !(planned.tree_flags | planned.tree_clear).is_empty();
    if tree && !features.features.contains(Feature::RECURSIVE_ATTRIBUTES) {
        return Err(unsupported(format_args!("mounts[{index}].options: attributes of a whole tree")));
    }
    Ok(planned)
}

fn source(
    index: usize,
    mount: &OciMount,
    features: &Features,
    policy: &Policy,
) -> Result<MountSource, Refusal> {
    if mount.is_bind() {
        if mount.source.is_none() {
            let place = format_args!("mounts[{index}].source: is missing, and it is a bind mount");
            return Err(bad_config(place));
        }
        let (within, path) = policy.bind_source(mount);
        let tree = mount.parsed_options().any(|option| option == MountOption::Bind(Reach::Tree));
        let reach = if tree { Reach::Tree } else { Reach::One };
        return Ok(MountSource::Bind { path, reach, within });
    }
    let kind = mount.mount_type.clone().ok_or_else(|| {
        bad_config(format_args!("mounts[{index}].type: is missing, and no option says bind"))
    })?;
    if !features.file_systems.contains(&kind.as_str()) {
        return Err(unsupported(format_args!("mounts[{index}].type: {kind}")));
    }
    let device = mount.source.clone().unwrap_or_else(|| kind.clone());
    Ok(MountSource::FileSystem { kind, device })
}

/// Plans have no word for this option.
struct NoWord;

/// Later words win over earlier ones.
fn apply(mount: &mut Mount, option: MountOption<'_>) -> Result<(), NoWord> {
    match option {
        MountOption::Defaults | MountOption::Bind(_) => {}
        MountOption::Set(flag) => set(&mut mount.flags, &mut mount.clear, flag),
        MountOption::Clear(flag) => set(&mut mount.clear, &mut mount.flags, flag),
        MountOption::TreeSet(flag) => set(&mut mount.tree_flags, &mut mount.tree_clear, flag),
        MountOption::TreeClear(flag) => set(&mut mount.tree_clear, &mut mount.tree_flags, flag),
        MountOption::Propagation(propagation, reach) => mount.propagation.push((propagation, reach)),
        MountOption::Data(word) => {
            if !mount.data.is_empty() {
                mount.data.push(',');
            }
            mount.data.push_str(word);
        }
        MountOption::Remount | MountOption::TmpCopyUp | MountOption::IdMap(_) => return Err(NoWord),
    }
    Ok(())
}

fn set(on: &mut MountFlags, off: &mut MountFlags, flag: MountFlags) {
    on.insert(flag);
    off.remove(flag);
}

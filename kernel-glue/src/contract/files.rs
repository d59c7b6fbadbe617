//! Promises of `read_bundle`, `features` and `now`.

use super::bundle::NOTE;
use super::context::Context;
use super::{Case, Fixture, Row};
use crate::glue::{BundleError, KernelGlue};
use alloc::vec::Vec;
use bailiwick_protocol::error::Errno;

pub(super) fn cases<F: Fixture>() -> Vec<Row<F>> {
    Vec::from([
        ("features are the same at every call", features as fn(&mut Context<'_, F>) -> Case),
        ("the clock never goes back", clock),
        ("a bundle's file is read whole, up to its exact length as limit", whole),
        ("a bundle's file above the limit is too large", limit),
        ("a directory is no file to read", directory),
        ("a missing file is ENOENT", missing),
        ("a link inside the bundle is followed", inside),
        ("no link, no dots and no absolute path lead out of a bundle", outside),
    ])
}

fn features<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (first, second) = (c.glue().features(), c.glue().features());
    ensure_eq!(first, second, "the second call");
    ensure!(!first.kernel.is_empty(), "the kernel has no name");
    Ok(())
}

fn clock<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let mut last = c.glue().now();
    for _ in 0..100 {
        let now = c.glue().now();
        ensure!(now >= last, "{last:?}, then {now:?}");
        last = now;
    }
    Ok(())
}

fn read<F: Fixture>(
    c: &mut Context<'_, F>,
    path: &str,
    limit: usize,
) -> Result<Result<Vec<u8>, BundleError>, super::Verdict> {
    let directory = c.directory()?;
    Ok(c.glue().read_bundle(&directory, path, limit))
}

fn whole<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (path, text) = NOTE;
    for limit in [text.len(), text.len() + 1, 1 << 20] {
        ensure_eq!(read(c, path, limit)?, Ok(text.as_bytes().to_vec()), "the file");
    }
    ensure_eq!(read(c, "directory/inner", 100)?, Ok(b"inner\n".to_vec()), "the file below");
    Ok(())
}

fn limit<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    let (path, text) = NOTE;
    for limit in [0, 1, text.len() - 1] {
        ensure_eq!(read(c, path, limit)?, Err(BundleError::TooLarge), "above the limit");
    }
    Ok(())
}

fn directory<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    ensure_eq!(read(c, "directory", 100)?, Err(BundleError::NotAFile), "a directory");
    Ok(())
}

fn missing<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    ensure_eq!(read(c, "nothing", 100)?, Err(BundleError::Errno(Errno::ENOENT)), "a missing file");
    Ok(())
}

fn inside<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    ensure_eq!(read(c, "inside", 100)?, Ok(NOTE.1.as_bytes().to_vec()), "the link's target");
    Ok(())
}

fn outside<F: Fixture>(c: &mut Context<'_, F>) -> Case {
    for path in [
        "above",
        "absolute",
        "..",
        "../note",
        "directory/../../note",
        "rootfs/../../../etc/passwd",
        "note\0x",
    ] {
        let found = read(c, path, 1 << 20)?;
        ensure!(found.is_err(), "{path:?} was read: {found:?}");
    }
    Ok(())
}

//! Rules between and within fields.

use super::error::{ConfigError, Place};
use super::{OciConfig, OciProcess, OciResources};

pub(super) fn config(_: &Place<'_>, _: &OciConfig) -> Result<(), ConfigError> {
    Ok(())
}
pub(super) fn process(_: &Place<'_>, _: &OciProcess) -> Result<(), ConfigError> {
    Ok(())
}
pub(super) fn resources(_: &Place<'_>, _: &OciResources) -> Result<(), ConfigError> {
    Ok(())
}

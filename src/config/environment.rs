//! Where `GREENSHIFT_…` variables come from.

use std::collections::BTreeMap;

/// The variables that may override settings.
pub trait Environment {
    /// Names and values of all variables whose name begins with `GREENSHIFT_`.
    fn variables(&self) -> BTreeMap<String, String>;
}

/// What all of our variables begin with.
pub(crate) const PREFIX: &str = "GREENSHIFT_";

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variables(&self) -> BTreeMap<String, String> {
        // Not `vars`: it panics when any variable, even somebody else's, is not Unicode.
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        ours.collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn variables(&self) -> BTreeMap<String, String> {
        self.iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

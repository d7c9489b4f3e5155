//! Reading the configuration again while the server runs.
//!
//! *Owns* the order: everything is read and checked, then every part builds what it needs, then all of it is put in
//! force. *Promises* that nothing changes if there is any error, and that the result is logged. *Does not* know the
//! parts: each is a [`Part`] that its owner hands in.
//!
//! Settings that no part takes over (ports, cores, limits) need a restart; if they differ, that is logged.

use crate::config::{self, Config, StartArguments};
use crate::log::{Level, note};

/// A function that puts in force what was prepared.
pub type Swap = Box<dyn FnOnce() + Send>;

/// Something that can change while the server runs.
pub trait Part {
    /// Its name for the log.
    fn name(&self) -> &'static str;

    /// Builds what this configuration asks for, without using it yet. The returned function puts it in force, which
    /// cannot fail.
    fn prepare(&self, config: &Config) -> Result<Swap, String>;

    /// Copies its section from one configuration to the other. Whatever still differs after all parts did so needs a
    /// restart.
    fn adopt(&self, from: &Config, to: &mut Config);
}

/// Lets all parts prepare. Gives the functions that put everything in force, or all errors.
pub fn prepare(parts: &[Box<dyn Part>], config: &Config) -> Result<Vec<Swap>, Vec<String>> {
    let (mut swaps, mut errors) = (Vec::new(), Vec::new());
    for part in parts {
        match part.prepare(config) {
            Ok(swap) => swaps.push(swap),
            Err(error) => errors.push(format!("{}: {error}", part.name())),
        }
    }
    if errors.is_empty() { Ok(swaps) } else { Err(errors) }
}

/// Reads the configuration again, for as long as the server runs.
pub struct Reloader<'a> {
    arguments: &'a StartArguments,
    /// What is in force.
    config: Config,
    parts: Vec<Box<dyn Part>>,
}

impl<'a> Reloader<'a> {
    /// A reloader for a server that runs with `config`, which was read with these `arguments`.
    pub fn new(arguments: &'a StartArguments, config: &Config, parts: Vec<Box<dyn Part>>) -> Self {
        Self { arguments, config: config.clone(), parts }
    }

    /// Reads, checks and swaps, or changes nothing. Returns whether the new configuration is in force.
    pub fn reload(&mut self) -> bool {
        let names: Vec<_> = self.parts.iter().map(|part| part.name()).collect();
        match self.prepare() {
            Ok((config, swaps)) => {
                for swap in swaps {
                    swap();
                }
                let names = names.join(" and ");
                note(Level::Info, "CONFIG_RELOAD", &format!("the configuration was read again: {names} are in force"));
                for warning in config.permission.warnings() {
                    note(Level::Warn, "PERMISSION", warning);
                }
                self.keep(config);
                true
            }
            Err(errors) => {
                for error in errors {
                    note(Level::Error, "CONFIG_RELOAD", &error);
                }
                let text =
                    format!("the configuration was refused, nothing changes: the old {} stay", names.join(" and "));
                note(Level::Error, "CONFIG_RELOAD", &text);
                false
            }
        }
    }

    fn prepare(&self) -> Result<(Config, Vec<Swap>), Vec<String>> {
        let loaded = config::load(self.arguments)
            .map_err(|errors| errors.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let swaps = prepare(&self.parts, &loaded.config)?;
        Ok((loaded.config, swaps))
    }

    /// Remembers what is in force now, and logs which changes need a restart.
    fn keep(&mut self, config: Config) {
        for part in &self.parts {
            part.adopt(&config, &mut self.config);
        }
        // A generated name differs each time, so it is not compared.
        let rest = Config { server_name: self.config.server_name.clone(), ..config };
        if rest != self.config {
            let text = "other sections of the configuration have changed too: they take effect with the next start";
            note(Level::Warn, "CONFIG_RELOAD", text);
        }
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;

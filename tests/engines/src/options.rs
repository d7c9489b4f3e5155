//! What a test may choose about an engine.

use std::net::{IpAddr, Ipv4Addr};

/// How an engine is to be started.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) address: IpAddr,
    pub(crate) tls: bool,
    pub(crate) settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), tls: false, settings: Vec::new() }
    }
}

impl Options {
    /// Whether it also speaks TLS, with a certificate from an authority of its own.
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// The address it binds to, in place of 127.0.0.1.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// A setting in the engine's own words: a line of its configuration file, or an option of its command line where it has no
    /// file. It replaces what this library would have set.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The settings, after those of ours that the test does not set itself.
    pub(crate) fn over<'a>(&'a self, ours: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
        let theirs = self.settings.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let kept = ours.iter().filter(|(key, _)| self.setting(key).is_none()).cloned();
        kept.chain(theirs).collect()
    }

    /// What the test set for this key.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        let mut found = self.settings.iter().rev().filter(|(name, _)| name == key);
        found.next().map(|(_, value)| value.as_str())
    }
}

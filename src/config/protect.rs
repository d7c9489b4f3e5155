//! Protected mode: as long as everybody could do everything, other machines are refused, unless the operator explicitly
//! allows them.
//!
//! *Owns* the decision which configurations are open, and the words for it. *Promises* that the shipped configuration,
//! and no configuration at all, serve this machine only. *Does not* refuse connections: cores do.
//!
//! What counts is the address at the other end of the connection, not the one that a proxy reports in a header. A proxy
//! on this machine was put there by the operator, while a header can be sent by anybody.

use super::types::Config;
use deepstream_valve::Right;

/// The environment variable that switches it off.
pub(super) const VARIABLE: &str = "DEEPSTREAM_PROTECTED_MODE";

/// A kind of listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// HTTP and WebSocket.
    Web,
    /// MQTT.
    Mqtt,
}

/// What a refused client is told.
pub const REFUSAL: &str = "This server is in protected mode: nobody has to log in, or everybody may do everything, so that \
                           it serves its own machine only. Its log says how to let others in.";

impl Config {
    /// Whether the operator has explicitly allowed other machines.
    pub fn allows_remote(&self, kind: ListenerKind) -> bool {
        let written = match kind {
            ListenerKind::Web => self.http.host_is_written,
            ListenerKind::Mqtt => self.mqtt.as_ref().is_some_and(|mqtt| mqtt.host_is_written),
        };
        written || !self.http.protected_mode
    }

    /// Why a server with this configuration is open to everybody; `None`: it is not.
    pub fn is_open(&self) -> Option<&'static str> {
        // One method that accepts everybody is enough, whatever others are configured.
        let nobody_logs_in = self.auth.is_empty() || self.auth.iter().any(|method| method.is_open());
        let may_all = match &self.permission.rules {
            None => true,
            Some(rules) => Right::ALL.iter().all(|right| rules.ruleset.is_open(*right)),
        };
        match (nobody_logs_in, may_all) {
            (true, true) => Some("nobody has to log in, and everybody may do everything"),
            (true, false) => Some("nobody has to log in"),
            (false, true) => Some("everybody who is logged in may do everything"),
            (false, false) => None,
        }
    }
}

/// Reads the environment variable.
pub(super) fn from_environment(said: Option<&str>) -> Result<Option<bool>, String> {
    match said {
        None | Some("") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(format!("the environment variable {VARIABLE} is {other:?}, where it is true or false")),
    }
}

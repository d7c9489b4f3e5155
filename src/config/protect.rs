//! Protected mode: other machines are not served while everybody could do everything, unless somebody has said that they
//! are to be.
//!
//! *Owns* what counts as open, and the words for it. *Promises* that what is shipped, and no configuration at all, serve
//! this machine alone. *Does not* refuse connections: cores do.
//!
//! It is the other end of the connection that counts, not whom a proxy says it speaks for: a proxy on this machine stands
//! there because its operator put it there, and what is said in a header anybody can say.

use super::methods::AuthMethod;
use super::types::Config;
use deepstream_valve::Right;

/// What switches it off, as the environment says it.
pub(super) const VARIABLE: &str = "DEEPSTREAM_PROTECTED_MODE";

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// HTTP and WebSocket.
    Web,
    /// MQTT.
    Mqtt,
}

/// To whoever is not let in.
pub const REFUSAL: &str = "This server is in protected mode: nobody has to log in, or everybody may do everything, so that \
                           it serves its own machine only. Its log says how to let others in.";

impl Config {
    /// Whether somebody has said that other machines are to be served, whoever they are.
    pub fn is_meant(&self, door: Door) -> bool {
        let written = match door {
            Door::Web => self.http.host_is_written,
            Door::Mqtt => self.mqtt.as_ref().is_some_and(|mqtt| mqtt.host_is_written),
        };
        written || !self.http.protected_mode
    }

    /// Why a server of this configuration is nobody's in particular; `None`: it knows who may do what.
    pub fn is_open(&self) -> Option<&'static str> {
        // Whoever does not have to is let in without, however many others do.
        let nobody_logs_in = self.auth.is_empty() || self.auth.iter().any(|method| matches!(method, AuthMethod::Open));
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

/// What the environment says of it.
pub(super) fn from_environment(said: Option<&str>) -> Result<Option<bool>, String> {
    match said {
        None | Some("") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(format!("the environment variable {VARIABLE} is {other:?}, where it is true or false")),
    }
}

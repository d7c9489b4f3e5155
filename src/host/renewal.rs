//! The parts of a server that are replaced when its configuration is read again.

use super::bell::Waker;
use super::control::Control;
use crate::auth::Auth;
use crate::config::Config;
use crate::log::{Level, note};
use crate::reload::{Part, Swap};
use std::sync::Arc;

/// The authentication methods.
pub(super) struct Logins(pub(super) Arc<Auth>);

impl Part for Logins {
    fn name(&self) -> &'static str {
        "users and keys"
    }

    fn prepare(&self, config: &Config) -> Result<Swap, String> {
        Ok(Box::new(self.0.prepare(&config.auth)?))
    }

    fn adopt(&self, from: &Config, to: &mut Config) {
        to.auth.clone_from(&from.auth);
    }
}

/// The permission rules.
pub(super) struct Rights {
    pub(super) control: Arc<Control>,
    pub(super) wakers: Vec<Waker>,
}

impl Part for Rights {
    fn name(&self) -> &'static str {
        "permissions"
    }

    fn prepare(&self, config: &Config) -> Result<Swap, String> {
        let (control, wakers) = (Arc::clone(&self.control), self.wakers.clone());
        let permissions = config.permissions(control.generation().wrapping_add(1));
        let (title, open) = (config.permission.title(), config.is_open().is_some());
        Ok(Box::new(move || {
            note(Level::Info, "INFO", &format!("permission ready: {title}"));
            control.permit(permissions);
            // Applies to new connections; existing ones stay.
            control.set_open(open);
            wakers.iter().for_each(Waker::wake);
        }))
    }

    fn adopt(&self, from: &Config, to: &mut Config) {
        to.permission.clone_from(&from.permission);
    }
}

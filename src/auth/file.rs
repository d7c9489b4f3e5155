//! *Owns* `type: file`: users with their passwords from the configuration. *Promises* that an unknown user takes as long
//! as a wrong password. *Does not* read the file: the configuration did, and checked it.

use super::logins::Tools;
use super::method::{Judging, Method};
use super::verdict::{Accepted, Barred, Request, Verdict};
use crate::config::{FileAuth, User};
use crate::credentials::{PasswordHash, same};
use serde_json::Value;
use std::collections::HashMap;

const MISSING: &str = "missing authentication parameter: username or/and password";

/// See the module.
pub(super) struct File {
    users: HashMap<String, User>,
    hash: Option<PasswordHash>,
    report: bool,
}

impl Method for File {
    fn judge<'j>(&'j self, request: &'j Request, tools: &'j Tools) -> Judging<'j> {
        Box::pin(self.judge(request, tools))
    }
}

impl File {
    pub(super) fn new(settings: &FileAuth) -> Self {
        let users = settings.users.iter().map(|user| (user.name.clone(), user.clone())).collect();
        Self { users, hash: settings.hash, report: settings.report }
    }

    async fn judge(&self, request: &Request, tools: &Tools) -> Option<Verdict> {
        let (Some(name), Some(password)) = (request.text("username"), request.text("password")) else {
            return Verdict::no(self.report, Some(MISSING));
        };
        let user = self.users.get(name);
        let stored = user.map(|user| user.password.as_str());
        match tools.verify(request, self.hash, password, stored).await {
            Err(barred) => return Some(Verdict::Barred(barred)),
            Ok(false) => return user.and_then(|_| Verdict::no(self.report, None)),
            Ok(true) => {}
        }
        let user = user?;
        let data = |text: &Option<String>| text.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        Some(Verdict::Accepted(Accepted {
            id: Some(user.name.clone()),
            client_data: data(&user.client_data),
            server_data: data(&user.server_data),
            ..Accepted::default()
        }))
    }
}

impl Tools {
    /// Whether this password is the stored one. Takes as long for a user that does not exist. `Err`: while this login
    /// waited for its turn, too many of its address were refused, and it is not told whether the password was right.
    pub async fn verify(
        &self,
        request: &Request,
        hash: Option<PasswordHash>,
        password: &str,
        stored: Option<&str>,
    ) -> Result<bool, Barred> {
        let is_known = stored.is_some();
        let fits = if let Some(hash) = hash {
            let (password, stored) = (password.to_owned(), stored.map(str::to_owned));
            let verify = move || {
                if let Some(stored) = stored {
                    hash.verify(&password, &stored)
                } else {
                    hash.waste(&password);
                    false
                }
            };
            let turn = self.compute.turn(request.origin).await;
            self.admit(request)?;
            self.compute.run(turn, verify).await.unwrap_or(false)
        } else {
            stored.is_some_and(|stored| same(password, stored))
        };
        if is_known && !fits {
            request.miss();
        }
        Ok(fits)
    }
}

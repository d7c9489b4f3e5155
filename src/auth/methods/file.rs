//! *Owns* `type: file`: users with their passwords from the configuration. *Promises* that an unknown user takes as long
//! as a wrong password. *Does not* read the file: the configuration did, and checked it.

use crate::auth::logins::Tools;
use crate::auth::method::{Judging, Method};
use crate::auth::settings::Settings;
use crate::auth::verdict::{Accepted, Request, Verdict};
use crate::config::{FileAuth, User};
use crate::credentials::PasswordHash;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

const MISSING: &str = "missing authentication parameter: username or/and password";

/// See the module.
pub(super) struct File {
    users: HashMap<String, User>,
    hash: Option<PasswordHash>,
    report: bool,
}

impl Settings for FileAuth {
    fn description(&self) -> String {
        "File Authentication".to_owned()
    }

    fn build(&self, _: &Tools) -> Result<Arc<dyn Method>, String> {
        Ok(Arc::new(File::new(self)))
    }
}

impl Method for File {
    fn judge<'j>(&'j self, request: &'j Request, tools: &'j Tools) -> Judging<'j> {
        Box::pin(self.judge(request, tools))
    }
}

impl File {
    fn new(settings: &FileAuth) -> Self {
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

//! *Owns* `type: storage`: users are records `table/username` of the store. *Promises* upstream's record of a new user
//! and its words for what went wrong; two who register the same name at once do not overwrite each other; and that the name
//! of a user reaches the record of that user and no other. *Does not* look at what the shards hold in memory: a users table
//! belongs to authentication.
//!
//! A user is a record directly below the table. Deeper names are not users: where rules let users keep a
//! `users/ann/notes` of their own, that must not create a user `ann/notes` with data of their choice.

use crate::auth::logins::Tools;
use crate::auth::method::{Judging, Method};
use crate::auth::settings::Settings;
use crate::auth::turns::Turns;
use crate::auth::verdict::{Accepted, Request, Verdict, id_of, is_truthy};
use crate::config::StorageAuth;
use crate::credentials::PasswordHash;
use crate::log::{Level, note};
use deepstream_engine::{Fault, Stored};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Version of a new user's record.
const FIRST_VERSION: i32 = 1;

/// Why it is not known whether there is such a user.
enum Unfound {
    /// Storage could not be asked; this was logged.
    Failed,
    /// There is no such user, and there can be none of this name.
    NoName(String),
}

/// See the module.
pub(super) struct Table {
    name: String,
    create_user: bool,
    hash: Option<PasswordHash>,
    report: bool,
    /// Held from checking that a user does not exist until it is written.
    registering: Turns,
}

impl Settings for StorageAuth {
    fn description(&self) -> String {
        format!("Storage using table: {}", self.table)
    }

    fn build(&self, _: &Tools) -> Result<Arc<dyn Method>, String> {
        Ok(Arc::new(Table::new(self)))
    }

    fn user_table(&self) -> Option<&str> {
        Some(&self.table)
    }
}

impl Method for Table {
    fn judge<'j>(&'j self, request: &'j Request, tools: &'j Tools) -> Judging<'j> {
        Box::pin(self.judge(request, tools))
    }
}

impl Table {
    fn new(settings: &StorageAuth) -> Self {
        Self {
            name: settings.table.clone(),
            create_user: settings.create_user,
            hash: settings.hash,
            report: settings.report,
            registering: Turns::new(1),
        }
    }

    async fn judge(&self, request: &Request, tools: &Tools) -> Option<Verdict> {
        let (username, password) = (request.text("username"), request.text("password"));
        let (Some(username), Some(password)) = (username, password) else {
            // As upstream words it: the field that is missing, and `false` for one that is there.
            let part = |field: &str, given: Option<&str>| match (given, request.data.get(field)) {
                (Some(_), _) => "false".to_owned(),
                (None, None) => "undefined".to_owned(),
                (None, Some(value)) => value.to_string(),
            };
            let (username, password) = (part("username", username), part("password", password));
            let error = format!("missing authentication parameters: {username} {password}");
            return Verdict::no(self.report, Some(&error));
        };
        match self.find(username, request, tools).await {
            Err(Unfound::Failed) => Some(Verdict::unable(self.report, "Error retrieving user from storage")),
            Ok(Some(user)) => self.check(&user, password, request, tools).await,
            Ok(None) if self.create_user => self.register(username, password, request, tools).await,
            Err(Unfound::NoName(why)) if self.create_user => {
                Verdict::no(self.report, Some(&format!("This username cannot be registered: {why}")))
            }
            Ok(None) | Err(Unfound::NoName(_)) => {
                tools.verify(request, self.hash, password, None).await.err().map(Verdict::Barred)
            }
        }
    }

    async fn find(&self, username: &str, request: &Request, tools: &Tools) -> Result<Option<Value>, Unfound> {
        self.check_name(username, tools).map_err(Unfound::NoName)?;
        let found = match &tools.records {
            Some(records) => records.load(request.origin, &self.key(username), tools.storage_timeout).await,
            None => Err(Fault::Failed("there is none".into())),
        };
        let parsed = found.and_then(|record| match record {
            Some(Stored { value, .. }) => serde_json::from_slice(&value)
                .map(Some)
                .map_err(|error| Fault::Failed(self.unreadable(username, &error))),
            None => Ok(None),
        });
        parsed.map_err(|fault| match fault {
            Fault::Unstorable(why) => Unfound::NoName(why),
            fault => {
                failed("looked up", &fault);
                Unfound::Failed
            }
        })
    }

    /// Parsing is bounded in depth, because the stack is.
    fn unreadable(&self, username: &str, error: &serde_json::Error) -> String {
        let why = error.to_string();
        let deep = why.starts_with("recursion limit exceeded");
        let why = if deep { "it is nested deeper than 127, to which users are read" } else { &why };
        format!("record {}: {why}", self.key(username))
    }

    /// Whether this can be the name of a user, whatever storage says of it.
    fn check_name(&self, username: &str, tools: &Tools) -> Result<(), String> {
        let longest = tools.name_bytes_max.saturating_sub(self.name.len() + 1);
        if username.is_empty() {
            Err("it is empty".to_owned())
        } else if username.contains('/') {
            Err("it contains a slash".to_owned())
        } else if username.len() > longest {
            Err(format!("it has more than {longest} bytes"))
        } else {
            Ok(())
        }
    }

    async fn check(&self, user: &Value, password: &str, request: &Request, tools: &Tools) -> Option<Verdict> {
        let stored = user.get("password").and_then(Value::as_str);
        match tools.verify(request, self.hash, password, stored).await {
            Err(barred) => return Some(Verdict::Barred(barred)),
            Ok(false) => return Verdict::no(self.report, None),
            Ok(true) => {}
        }
        let data = |key: &str| user.get(key).filter(|data| is_truthy(data)).cloned();
        let id = user.pointer("/clientData/id").and_then(id_of);
        let (client_data, server_data) = (data("clientData"), data("serverData"));
        Some(Verdict::Accepted(Accepted { id, client_data, server_data, ..Accepted::default() }))
    }

    async fn register(&self, username: &str, password: &str, request: &Request, tools: &Tools) -> Option<Verdict> {
        let error = || Some(Verdict::unable(self.report, "Error creating user"));
        let password_kept = match self.hash {
            Some(hash) => {
                let password = password.to_owned();
                let turn = tools.compute.turn(request.origin).await;
                let Some(Ok(hashed)) = tools.compute.run(turn, move || hash.make(&password)).await else {
                    failed("given a password", &Fault::Failed("no random salt".into()));
                    return error();
                };
                hashed
            }
            None => password.to_owned(),
        };
        let _turn = self.registering.take(request.origin).await;
        match self.find(username, request, tools).await {
            Ok(None) => {}
            // Another login has registered the name meanwhile.
            Ok(Some(user)) => return self.check(&user, password, request, tools).await,
            Err(_) => return error(),
        }
        note(Level::Info, "STORAGE_AUTH", &format!("REGISTERING_USER | Adding new user {username}"));
        let id = uuid::Uuid::new_v4().to_string();
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let (client_data, server_data) = (json!({ "id": id }), json!({ "created": created }));
        let user = json!({
            "username": username,
            "password": password_kept,
            "clientData": client_data,
            "serverData": server_data,
        });
        let record = Stored { version: FIRST_VERSION, value: user.to_string().into_bytes() };
        let Some(records) = &tools.records else { return error() };
        match records.store(request.origin, &self.key(username), &record, tools.storage_timeout).await {
            Ok(()) => Some(Verdict::Accepted(Accepted {
                id: Some(id),
                client_data: Some(client_data),
                server_data: Some(server_data),
                ..Accepted::default()
            })),
            Err(fault) => {
                failed("created", &fault);
                error()
            }
        }
    }

    fn key(&self, username: &str) -> String {
        format!("{}/{username}", self.name)
    }
}

fn failed(what: &str, fault: &Fault) {
    let why = fault.words();
    note(Level::Error, "STORAGE_AUTH", &format!("a user could not be {what}: storage: {why}"));
}

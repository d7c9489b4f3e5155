//! *Owns* the ways of logging in that are configured, in their order. *Promises* that the first that knows the user
//! decides, that nobody known to none gets in, and that a no is only said where all who could have said yes were there.
//! *Does not* know what any of them does.

use super::file::File;
use super::http::Webhook;
use super::jwt::Tokens;
use super::open;
use super::storage::Table;
use super::verdict::{Accepted, Request, Verdict};
use crate::auth::desk::Tools;
use crate::config::AuthMethod;
use std::sync::Arc;

/// See the module.
pub(super) struct Chain(Vec<Method>);

enum Method {
    Open,
    File(File),
    Http(Webhook),
    Storage(Table),
    Jwt(Arc<Tokens>),
}

impl Chain {
    /// Fails on what only shows when it is built: certificates of this machine that cannot be read.
    pub(super) fn new(methods: &[AuthMethod], tools: &Tools) -> Result<Self, String> {
        let build = |method: &AuthMethod| {
            Ok(match method {
                AuthMethod::Open => Method::Open,
                AuthMethod::File(settings) => Method::File(File::new(settings)),
                AuthMethod::Http(settings) => Method::Http(Webhook::new(settings, tools)?),
                AuthMethod::Storage(settings) => Method::Storage(Table::new(settings)),
                AuthMethod::Jwt(settings) => Method::Jwt(Arc::new(Tokens::new(settings)?)),
            })
        };
        methods.iter().map(build).collect::<Result<_, String>>().map(Self)
    }

    /// Takes over what an earlier chain fetched and this one would fetch too.
    pub(super) fn inherit(&self, earlier: &Self) {
        for method in &self.0 {
            for old in &earlier.0 {
                if let (Method::Jwt(tokens), Method::Jwt(old)) = (method, old) {
                    tokens.inherit(old);
                }
            }
        }
    }

    /// Starts what is needed before the first login: fetching keys.
    pub(super) fn warm_up(&self) {
        for method in &self.0 {
            if let Method::Jwt(tokens) = method {
                tokens.warm_up();
            }
        }
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The verdict on a login; `None`: nobody knows the user.
    pub(super) async fn judge(&self, request: &Request, tools: &Tools) -> Option<Verdict> {
        let mut away = None;
        for method in &self.0 {
            let verdict = match method {
                Method::Open => {
                    let id = Some(open::user_id(&request.data));
                    Some(Verdict::Accepted(Accepted { id, ..Accepted::default() }))
                }
                Method::File(file) => file.judge(request, tools).await,
                Method::Http(webhook) => webhook.judge(request, tools).await,
                Method::Storage(table) => table.judge(request, tools).await,
                Method::Jwt(tokens) => tokens.judge(request).await,
            };
            match verdict {
                None => {}
                Some(Verdict::Unable { last: false, .. }) => away = away.or(verdict),
                // One that was asked before could have known better.
                Some(Verdict::Refused(_)) if away.is_some() => {
                    request.miss();
                    break;
                }
                Some(_) => return verdict,
            }
        }
        away
    }
}

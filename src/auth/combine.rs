//! *Owns* the ways of logging in that are configured, in their order. *Promises* that the first that knows the user
//! decides, that nobody known to none gets in, and that a no is only said where all who could have said yes were there.
//! *Does not* know what any of them does.

use super::logins::Tools;
use super::method::{Method, build};
use super::verdict::{Request, Verdict};
use crate::config::AuthMethod;
use std::sync::Arc;

/// See the module.
pub(super) struct Chain(Vec<Arc<dyn Method>>);

impl Chain {
    /// Fails if one of them cannot be built.
    pub(super) fn new(methods: &[AuthMethod], tools: &Tools) -> Result<Self, String> {
        methods.iter().map(|method| build(method, tools)).collect::<Result<_, _>>().map(Self)
    }

    /// Takes over what an earlier chain fetched and this one would fetch too.
    pub(super) fn inherit(&self, earlier: &Self) {
        for method in &self.0 {
            earlier.0.iter().for_each(|old| method.inherit(&**old));
        }
    }

    /// Starts what is needed before the first login.
    pub(super) fn warm_up(&self) {
        self.0.iter().for_each(|method| method.warm_up());
    }

    /// Whether nobody has to be asked: everybody is let in by the first, or there is none.
    pub(super) fn is_open(&self) -> bool {
        self.0.first().is_none_or(|method| method.is_open())
    }

    /// Whether somebody wants to see request headers.
    pub(super) fn wants_headers(&self) -> bool {
        self.0.iter().any(|method| method.wants_headers())
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The verdict on a login; `None`: nobody knows the user.
    pub(super) async fn judge(&self, request: &Request, tools: &Tools) -> Option<Verdict> {
        let mut away = None;
        for method in &self.0 {
            let verdict = method.judge(request, tools).await;
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

//! *Owns* the ways of logging in that are configured, in their order. *Promises* that the first one that knows the user
//! decides, that a user whom none of them knows is refused, and that a login is only refused if every way that might
//! have accepted it could be asked. While one is unreachable the answer is "cannot be judged now" instead. *Does not*
//! know how any of them judges.

use super::logins::Tools;
use super::method::Method;
use super::settings::AuthMethod;
use super::verdict::{Request, Verdict};
use std::sync::Arc;

/// See the module.
pub(super) struct Chain(Vec<Arc<dyn Method>>);

impl Chain {
    /// Fails if one of them cannot be built.
    pub(super) fn new(methods: &[AuthMethod], tools: &Tools) -> Result<Self, String> {
        methods.iter().map(|method| method.build(tools)).collect::<Result<_, _>>().map(Self)
    }

    /// Takes over from an earlier chain what this one would otherwise fetch again, such as key sets.
    pub(super) fn inherit(&self, earlier: &Self) {
        for method in &self.0 {
            earlier.0.iter().for_each(|old| method.inherit(&**old));
        }
    }

    /// Starts what is needed before the first login.
    pub(super) fn warm_up(&self) {
        self.0.iter().for_each(|method| method.warm_up());
    }

    /// Whether every login is accepted without asking anybody: the first method accepts all, or there is no method.
    pub(super) fn is_open(&self) -> bool {
        self.0.first().is_none_or(|method| method.is_open())
    }

    /// Whether some method looks at request headers.
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
                // An earlier method could not be asked. It might have accepted this user, so its answer is given
                // instead of this refusal.
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

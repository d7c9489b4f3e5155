//! *Owns* `type: toy`, which exists only in tests: whoever gives the one password is accepted under any name. It shows the
//! least that a method needs.

use crate::auth::logins::Tools;
use crate::auth::method::{Judging, Method};
use crate::auth::settings::Settings;
use crate::auth::verdict::{Accepted, Request, Verdict};
use crate::config::ToyAuth;
use std::future::ready;
use std::sync::Arc;

struct Toy(ToyAuth);

impl Settings for ToyAuth {
    fn description(&self) -> String {
        "Toy".to_owned()
    }

    fn build(&self, _: &Tools) -> Result<Arc<dyn Method>, String> {
        Ok(Arc::new(Toy(self.clone())))
    }
}

impl Method for Toy {
    fn judge<'j>(&'j self, request: &'j Request, _: &'j Tools) -> Judging<'j> {
        let verdict = match (request.text("password"), request.user()) {
            (Some(word), Some(id)) if word == self.0.word => {
                Some(Verdict::Accepted(Accepted { id: Some(id), ..Accepted::default() }))
            }
            _ => Verdict::no(self.0.report, Some("say the word")),
        };
        Box::pin(ready(verdict))
    }
}

//! Authentication of `type: toy`, which exists only in tests. It shows the least that a method needs in the configuration.

use super::{Known, Settling, last};
use crate::auth::AuthMethod;
use crate::config::table::{Row, Rule, row};
use crate::config::types::Config;

/// `type: toy`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ToyAuth {
    /// The password of everybody.
    pub(crate) word: String,
    pub(crate) report: bool,
    pub(crate) raw_report: Option<bool>,
}

pub(super) static KNOWN: Known = Known { rows: ROWS, settle };

static ROWS: &[Row] = &[
    row("auth[toy]", Rule::Kind(|c| c.auth.push(AuthMethod::of(ToyAuth::default())))),
    row("auth[toy].options.word", Rule::Text(word)),
    row("auth[toy].options.reportInvalidParameters", Rule::Flag(|c, on| toy(c).raw_report = Some(on))),
];

fn toy(config: &mut Config) -> &mut ToyAuth {
    last(config)
}

fn word(config: &mut Config, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a word".to_owned());
    }
    text.clone_into(&mut toy(config).word);
    Ok(())
}

fn settle(at: &mut Settling<'_>, method: &mut AuthMethod) {
    if let Some(toy) = method.get_mut::<ToyAuth>() {
        toy.report = at.reports(toy.raw_report);
        at.demand("word");
    }
}

//! Records that are nobody's by default: what authentication keeps in storage.
//!
//! *Owns* the denial that comes before all rules. *Promises* that a rule lifts it only where its path names the table in so
//! many letters, plain or escaped, so that no rule which was written for other records does; and that it holds without any rules, too.
//! *Does not* keep rules from referring to such records: `_('users/' + $id)` is the operator's own word, and what it looks up
//! is shown to the rule and to nobody else.

use super::Permissions;
use deepstream_valve::{Choice, Right, Ruleset};

impl Permissions {
    /// The table of a record that is guarded, with its slash. A pattern that begins with it is about records of it, too.
    pub(super) fn guard_of(&self, right: Right, name: Option<&[u8]>) -> Option<&[u8]> {
        if self.guarded.is_empty() || !right.is_about_records() {
            return None;
        }
        let name = name?;
        self.guarded.iter().map(|table| &**table).find(|table| name.starts_with(table))
    }

    /// Whether anything is judged.
    pub(super) fn judges(&self) -> bool {
        self.ruleset.is_some() || !self.guarded.is_empty()
    }
}

/// The rule for a record of a guarded table.
pub(super) fn choose_within(ruleset: Option<&Ruleset>, right: Right, name: Option<&[u8]>, table: &[u8]) -> Choice {
    ruleset.map_or(Choice::None, |ruleset| ruleset.choose_within(right, name, table))
}

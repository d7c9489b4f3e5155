//! Records that are nobody's by default: what authentication keeps in storage.
//!
//! *Owns* the denial that comes before all rules. *Promises* that a rule lifts it only where its path names the table in so
//! many letters, plain or escaped, so that no rule which was written for other records does; and that it holds without any rules, too.
//! *Does not* keep rules from referring to such records: `_('users/' + $id)` is the operator's own word, and what it looks up
//! is shown to the rule and to nobody else.

use deepstream_valve::{Choice, Right, Ruleset};

/// The rule for a record of a guarded table.
pub(super) fn choose_within(ruleset: Option<&Ruleset>, right: Right, name: Option<&[u8]>, table: &[u8]) -> Choice {
    ruleset.map_or(Choice::None, |ruleset| ruleset.choose_within(right, name, table))
}

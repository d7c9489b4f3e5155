//! Evaluates a rule with all records available.
//!
//! *Owns* the rounds: a rule that refers to records is evaluated, given the records it referred to, and evaluated
//! again, a bounded number of times. *Promises* to count rounds as upstream does: fetching the record itself counts as
//! the first. *Does not* wait: the server fetches records between rounds, this is for callers that have them all.

use crate::compile::Program;
use crate::eval::{Context, Document, Reference, Thrown, Verdict, judge};

/// Records that a rule referred to, with their values.
pub type Fetched = Vec<(Box<[u8]>, Option<Box<[u8]>>)>;

/// The error of a rule that refers to records more often in a row than allowed.
pub fn too_many_rounds() -> Thrown {
    Thrown::outside("Exceeded max iteration count")
}

/// Judges, at most `rounds_max` times; `find` gives a record's value.
pub fn settle(
    program: &Program,
    context: &Context<'_>,
    rounds_max: u32,
    mut find: impl FnMut(&[u8]) -> Option<Box<[u8]>>,
) -> (Verdict, Fetched) {
    let mut fetched = Fetched::new();
    let mut round = 1;
    let loads = program.uses().old_data && !matches!(context.old_data, Document::Absent);
    if loads {
        // While the record itself is being fetched, the rule already shows which others it needs.
        let early = Context { old_data: Document::Absent, ..*context };
        if let Verdict::Need(names) = judge(program, &early).verdict {
            fetched.extend(names.into_iter().map(|name| (name.clone(), find(&name))));
        }
        round += 1;
    }
    loop {
        if round > rounds_max {
            return (Verdict::Error(too_many_rounds()), fetched);
        }
        let references: Vec<_> =
            fetched.iter().map(|(name, value)| Reference { name, value: value.as_deref() }).collect();
        let verdict = judge(program, &Context { references: &references, ..*context }).verdict;
        let Verdict::Need(names) = verdict else { return (verdict, fetched) };
        fetched.extend(names.into_iter().map(|name| (name.clone(), find(&name))));
        round += 1;
    }
}

//! A candidate beside the rules in force: what it would have said.
//!
//! *Owns* the comparison. *Promises* that no answer depends on it: a message is compared once it is judged, with what was
//! found for it and what this core has in memory. *Does not* load a record, wait, or ask another core: what the candidate would
//! have to look for is undecided, and counted.
//!
//! A message that takes several rules is compared rule by rule, as far as the rules in force came. Messages that go by older
//! rules than those in force are not compared.

use super::guard::choose_within;
use super::judge::{Case, Source, choose, source_of};
use super::state::{FindResident, Found, RecordState};
use super::{Denial, Judgement, Question, Steps};
use crate::output::{Difference, Note};
use crate::permissions::{Sampled, Shadow, ShadowTally};
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_valve::{Choice, Right, Ruleset, Thrown, Verdict, judge, too_many_rounds};
use deepstream_wire::Action;

/// What a candidate says.
enum Opinion {
    Allows,
    Denies,
    Fails(Thrown),
    /// It would have to look for something.
    Undecided,
}

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Whether there is a candidate.
    #[inline]
    pub(crate) fn has_shadow(&self) -> bool {
        self.permit.rules.shadow.is_some()
    }

    /// Asks the candidate what was just judged.
    pub(crate) fn compare(&mut self, question: &Question<'_>, steps: &Steps, found: &Found, said: Judgement) {
        if self.permit.of(question.reply_to.rules).generation != self.permit.rules.generation {
            return;
        }
        let Some(shadow) = self.permit.rules.shadow.clone() else { return };
        let passed = found.passed as usize;
        for (index, &(right, action)) in steps.0.iter().enumerate().take(passed + 1) {
            let denial = match said {
                _ if index < passed => None,
                Judgement::No(denial) => Some(denial),
                Judgement::Yes | Judgement::Load | Judgement::LookUp => return,
            };
            self.compare_step(&shadow, question, (right, action), found, denial);
        }
    }

    /// The same of one step more.
    pub(super) fn compare_further(
        &mut self,
        question: &Question<'_>,
        step: (Right, Action),
        found: &Found,
        said: Judgement,
    ) {
        if self.permit.of(question.reply_to.rules).generation != self.permit.rules.generation {
            return;
        }
        let Some(shadow) = self.permit.rules.shadow.clone() else { return };
        match said {
            Judgement::Yes => self.compare_step(&shadow, question, step, found, None),
            Judgement::No(denial) => self.compare_step(&shadow, question, step, found, Some(denial)),
            Judgement::Load | Judgement::LookUp => {}
        }
    }

    fn compare_step(
        &mut self,
        shadow: &Shadow,
        question: &Question<'_>,
        (right, action): (Right, Action),
        found: &Found,
        denial: Option<Denial>,
    ) {
        let opinion = self.opinion(shadow, question, (right, action), found);
        let counters = &mut self.cx.outputs.counters;
        counters.shadow_judged += 1;
        match (&opinion, denial) {
            (Opinion::Undecided, _) => {
                counters.shadow_undecided += 1;
                return;
            }
            (Opinion::Allows, None) | (Opinion::Denies, Some(_)) => return,
            (Opinion::Allows, Some(_)) => counters.shadow_would_allow += 1,
            (Opinion::Denies, None) => counters.shadow_would_deny += 1,
            (Opinion::Fails(_), denial) => {
                counters.shadow_would_fail += 1;
                counters.shadow_would_deny += u64::from(denial.is_none());
                // Both fail: nothing anybody could notice.
                if denial == Some(Denial::Failed) {
                    return;
                }
            }
        }
        if self.is_told(Sampled::ShadowDifferences) {
            self.note_difference(shadow, question, (right, action), denial, &opinion);
        }
    }

    fn opinion(
        &mut self,
        shadow: &Shadow,
        question: &Question<'_>,
        (right, action): (Right, Action),
        found: &Found,
    ) -> Opinion {
        let (generation, rounds_max) = (self.permit.rules.generation, self.permit.rules.rounds_max);
        let choice = if let Some(table) = self.permit.rules.guard_of(right, question.name) {
            choose_within(Some(&shadow.ruleset), right, question.name, table)
        } else {
            let choices = &mut self.permit.shadow_choices;
            let choice = choices.choose(&shadow.ruleset, u64::from(generation), right, question.named(), question.hash);
            self.watch_choices();
            choice
        };
        let (rule, captures) = match choice {
            Choice::Always(true) => return Opinion::Allows,
            Choice::Always(false) | Choice::None => return Opinion::Denies,
            Choice::Rule(rule, captures) => (rule, captures),
        };
        let program = &shadow.ruleset.rule(rule).program;
        let uses = program.uses();
        match program.answer() {
            Some(true) => return Opinion::Allows,
            Some(false) => return Opinion::Denies,
            None => {}
        }
        let data = if uses.data { source_of(question.message.head.action) } else { Source::Nowhere };
        let case = Case { question, right, action, rules: generation, rule, captures, data };
        let loads = uses.old_data || data == Source::Merged;
        let mut seen = Found::default();
        match question.slot {
            Some(slot) if loads && !self.owner.is_known(slot) => return Opinion::Undecided,
            Some(slot) if data == Source::Merged => {
                if let Err(why) = O::merge(self, slot, question.message) {
                    return Opinion::Fails(Thrown::outside(why));
                }
            }
            // Away from the record's owner, its value is the first of the records that were found.
            None if uses.old_data && !self.see(question.name, found, &mut seen) => return Opinion::Undecided,
            _ => {}
        }
        let mut round = 1;
        if loads {
            round = 2;
            let early = uses.references.then(|| self.ask_shadow(shadow, &case, &seen, true)).flatten();
            if let Some(Verdict::Need(names)) = early
                && !self.see(names.iter().map(|name| &**name), found, &mut seen)
            {
                return Opinion::Undecided;
            }
        }
        while round <= rounds_max {
            match self.ask_shadow(shadow, &case, &seen, false) {
                Some(Verdict::Allow) => return Opinion::Allows,
                Some(Verdict::Deny) => return Opinion::Denies,
                Some(Verdict::Error(thrown)) => return Opinion::Fails(thrown),
                Some(Verdict::Need(names)) if self.see(names.iter().map(|name| &**name), found, &mut seen) => {
                    round += 1;
                }
                // There is more to look for, or nobody any more who asked.
                Some(Verdict::Need(_)) | None => return Opinion::Undecided,
            }
        }
        Opinion::Fails(too_many_rounds())
    }

    fn ask_shadow(&self, shadow: &Shadow, case: &Case<'_>, seen: &Found, early: bool) -> Option<Verdict> {
        self.consult_by(&shadow.ruleset, case, seen, early, None, |_, rule, context| {
            judge(&rule.program, context).verdict
        })
    }

    /// Shows a candidate records that are at hand. Whether all of them are.
    fn see<'n>(&self, names: impl IntoIterator<Item = &'n [u8]>, found: &Found, seen: &mut Found) -> bool {
        names.into_iter().all(|name| {
            let record_state = self.record_state(name, found);
            let at_hand = record_state.is_some();
            seen.records.extend(record_state.map(|record_state| (name.into(), record_state)));
            at_hand
        })
    }

    fn record_state(&self, name: &[u8], found: &Found) -> Option<RecordState> {
        if let Some((_, record_state)) = found.records.iter().find(|(known, _)| **known == *name) {
            return match record_state {
                RecordState::Coming => None,
                RecordState::Missing => Some(RecordState::Missing),
                RecordState::Here(slot) => Some(RecordState::Here(*slot)),
                RecordState::Copy(value) => Some(RecordState::Copy(value.clone())),
            };
        }
        let hash = self.cx.hash(name);
        if self.cx.owner_of(hash) != self.cx.core {
            return None;
        }
        match self.owner.find_resident(&self.cx, name, hash) {
            FindResident::Here(slot) => Some(RecordState::Here(slot)),
            FindResident::Missing => Some(RecordState::Missing),
            FindResident::Unknown => None,
        }
    }

    fn note_difference(
        &mut self,
        shadow: &Shadow,
        question: &Question<'_>,
        (right, action): (Right, Action),
        denial: Option<Denial>,
        opinion: &Opinion,
    ) {
        let place = |ruleset: &Ruleset, file: &str| place(ruleset, file, right, question);
        let live = match denial {
            None => "allows",
            Some(Denial::Denied) => "denies",
            Some(Denial::Failed) => "fails",
        };
        let live_ruleset = self.permit.rules.ruleset.clone().unwrap_or_default();
        let live = format!("{live} by {}", place(&live_ruleset, &shadow.live_file));
        let candidate = place(&shadow.ruleset, &shadow.file);
        let candidate = match opinion {
            Opinion::Allows => format!("allows by {candidate}"),
            Opinion::Denies | Opinion::Undecided => format!("denies by {candidate}"),
            Opinion::Fails(thrown) => format!("fails by {candidate}: {thrown}"),
        };
        let user = question.who.as_deref().or_else(|| self.edges.identity_of(question.conn));
        let name = question.name.map_or("everybody".into(), String::from_utf8_lossy);
        let difference = Difference {
            user: user.map_or("", |identity| &identity.user).into(),
            action: action.name(),
            name: (&*name).into(),
            live: live.into(),
            candidate: candidate.into(),
        };
        self.cx.outputs.note(Note::ShadowDiffers(Box::new(difference)));
    }

    /// Tells the log what came of the candidate, which is over.
    pub(crate) fn tell_shadow(&mut self) {
        self.tell_left_out(Sampled::ShadowDifferences);
        let counters = &self.cx.outputs.counters;
        let now = ShadowTally {
            judged: counters.shadow_judged,
            would_allow: counters.shadow_would_allow,
            would_deny: counters.shadow_would_deny,
            would_fail: counters.shadow_would_fail,
            undecided: counters.shadow_undecided,
        };
        let before = std::mem::replace(&mut self.permit.shadow_before, now);
        let tally = ShadowTally {
            judged: now.judged - before.judged,
            would_allow: now.would_allow - before.would_allow,
            would_deny: now.would_deny - before.would_deny,
            would_fail: now.would_fail - before.would_fail,
            undecided: now.undecided - before.undecided,
        };
        if let Some(shadow) = &self.permit.rules.shadow
            && tally.judged > 0
        {
            let note = Note::ShadowOver { file: shadow.file.clone(), tally };
            self.cx.outputs.note(note);
        }
    }
}

/// The rule that a name meets, by file and line.
fn place(ruleset: &Ruleset, file: &str, right: Right, question: &Question<'_>) -> String {
    let (section, kind) = (right.section(), right.rule());
    match choose(ruleset, right, question) {
        Choice::Rule(rule, _) => {
            let rule = ruleset.rule(rule);
            let at = rule.at.map(|at| format!(":{}:{}", at.line, at.column)).unwrap_or_default();
            format!("{file}{at} ({section} \"{}\" {kind})", ruleset.path_of(rule))
        }
        Choice::Always(_) | Choice::None => format!("{file} (which has no {section} {kind} for this name)"),
    }
}

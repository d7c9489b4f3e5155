//! One message, its steps, the rule of each, and what the rule is told.

use super::guard::choose_within;
use super::local::{AllSeen, LocalRecords};
use super::state::{Found, RecordState};
use super::{Denial, Document, Judgement, Question, Steps};
use crate::output::Note;
use crate::packet::Identity;
use crate::permissions::Sampled;
use crate::sides::{Sides, ToEdge, ToOwner};
use deepstream_valve::{
    AtHand, Captures, Choice, Context, Judged, Reference, Right, Rule, Ruleset, Thrown, User, Verdict, explain, judge,
    too_many_rounds,
};
use deepstream_wire::{Action, EventRequest, RecordRequest, Request, RpcRequest};
use smallvec::SmallVec;

/// A step on its way through the rules.
pub(super) struct Case<'q> {
    pub(super) question: &'q Question<'q>,
    pub(super) right: Right,
    /// What `action` is.
    pub(super) action: Action,
    pub(super) rules: u32,
    pub(super) rule: u32,
    pub(super) captures: Captures,
    /// Where the rule's `data` comes from.
    pub(super) data: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Nowhere,
    Message,
    /// The record as it would be.
    Merged,
}

impl<E: ToEdge, O: ToOwner> Sides<E, O> {
    /// Judges what was not judged yet. Has no effect but that records are asked for.
    pub(crate) fn judge(&mut self, question: &Question<'_>, steps: &Steps, found: &mut Found) -> Judgement {
        let stamp = question.reply_to.rules;
        let rules = self.permit.of(stamp).generation;
        found.begin(rules);
        for (index, &(right, action)) in steps.0.iter().enumerate() {
            if index < found.passed as usize {
                continue;
            }
            let said = self.judge_step(question, right, action, rules, found);
            if said != Judgement::Yes {
                return said;
            }
            found.next();
        }
        Judgement::Yes
    }

    /// Judges one step more of a message whose steps so far were allowed.
    pub(crate) fn judge_further(
        &mut self,
        question: &Question<'_>,
        (right, action): (Right, Action),
        found: &mut Found,
    ) -> Judgement {
        let rules = self.permit.of(question.reply_to.rules).generation;
        found.begin(rules);
        let said = self.judge_step(question, right, action, rules, found);
        if self.has_shadow() {
            self.compare_further(question, (right, action), found, said);
        }
        said
    }

    fn judge_step(
        &mut self,
        question: &Question<'_>,
        right: Right,
        action: Action,
        rules: u32,
        found: &mut Found,
    ) -> Judgement {
        let (rule, captures) = match self.choose_rule(question, right, rules) {
            Choice::Always(true) => return Judgement::Yes,
            Choice::Rule(rule, captures) => (rule, captures),
            Choice::Always(false) | Choice::None => {
                self.note_denial(question, right, action, None);
                return Judgement::No(Denial::Denied);
            }
        };
        let Some(ruleset) = &self.permit.of(rules).ruleset else { return Judgement::Yes };
        let program = &ruleset.rule(rule).program;
        let (answer, uses) = (program.answer(), program.uses());
        let data = if uses.data { source_of(question.message.head.action) } else { Source::Nowhere };
        let case = Case { question, right, action, rules, rule, captures, data };
        match answer {
            Some(true) => return Judgement::Yes,
            Some(false) => return self.denied(&case, found),
            None => {}
        }
        let loads = uses.old_data || data == Source::Merged;
        // What is judged away from the record's owner sees a copy of it.
        if uses.old_data
            && question.slot.is_none()
            && found.records.is_empty()
            && self.fetch(question.name.iter().map(|&name| name.into()).collect(), found)
        {
            return self.wait_or_fail(&case, found);
        }
        if let Some(slot) = question.slot.filter(|_| loads)
            && !self.owner.is_known(slot)
        {
            return if question.failed { self.failed(&case, &unavailable()) } else { Judgement::Load };
        }
        self.settle_step(&case, loads, found)
    }

    /// Asks the rule until it knows. `loads`: it is about the record itself.
    ///
    /// How often upstream would have asked is bounded and not known: it knows nothing that it did not fetch, and every
    /// round but the last brings it at least one more of the records that the last one looks at. So a rule is asked once
    /// where all of them are at hand, and round by round where there are so many that upstream might have given up.
    fn settle_step(&mut self, case: &Case<'_>, loads: bool, found: &mut Found) -> Judgement {
        if case.data == Source::Merged
            && let Some(slot) = case.question.slot
            && let Err(why) = O::merge(self, slot, case.question.message)
        {
            return self.failed(case, &Thrown::outside(why));
        }
        let rounds_max = self.permit.of(case.rules).rounds_max;
        loop {
            if found.round == 0 {
                found.round = 1;
                if loads {
                    // The record itself costs a round; while upstream fetches it, the rule already tells what else it wants.
                    found.round = 2;
                    if found.counts_rounds
                        && let Some(Judged { verdict: Verdict::Need(names), .. }) = self.ask_early(case, found)
                        && self.fetch(names, found)
                    {
                        return self.wait_or_fail(case, found);
                    }
                }
            }
            if found.failed {
                return self.failed(case, &unavailable());
            }
            let (judged, seen) = self.ask_rule(case, found);
            if found.round + seen.len() as u32 > rounds_max {
                if found.counts_rounds || !self.may_exceed(case) {
                    return self.failed(case, &too_many_rounds());
                }
                found.count_rounds(usize::from(loads && case.question.slot.is_none()));
                continue;
            }
            self.touch(&seen);
            if judged.as_ref().is_some_and(|judged| judged.odd) {
                self.note_odd(case, found);
            }
            match judged.map(|judged| judged.verdict) {
                Some(Verdict::Allow) => return Judgement::Yes,
                Some(Verdict::Deny) => return self.denied(case, found),
                Some(Verdict::Error(thrown)) => return self.failed(case, &thrown),
                Some(Verdict::Need(names)) => {
                    found.round += 1 + seen.len() as u32;
                    self.keep(seen, found);
                    if self.fetch(names, found) {
                        return self.wait_or_fail(case, found);
                    }
                }
                // Nobody is there any more who could be told.
                None => return Judgement::No(Denial::Denied),
            }
        }
    }

    fn wait_or_fail(&mut self, case: &Case<'_>, found: &mut Found) -> Judgement {
        if !case.question.failed {
            return Judgement::LookUp;
        }
        self.forget_rule_lookup(found);
        self.failed(case, &unavailable())
    }

    pub(super) fn choose_rule(&mut self, question: &Question<'_>, right: Right, rules: u32) -> Choice {
        let permissions = self.permit.of(rules);
        if let Some(table) = permissions.guard_of(right, question.name) {
            return choose_within(permissions.ruleset.as_deref(), right, question.name, table);
        }
        let permit = &mut self.permit;
        if rules != permit.rules.generation {
            let Some(ruleset) = &permit.of(rules).ruleset else { return Choice::Always(true) };
            return choose(ruleset, right, question);
        }
        let Some(ruleset) = &permit.rules.ruleset else { return Choice::Always(true) };
        let held = permit.choices.len();
        let choice = permit.choices.choose(ruleset, u64::from(rules), right, question.named(), question.hash);
        if held == 0 {
            self.watch_choices();
        }
        choice
    }

    /// Whether rounds were charged that upstream may not have taken.
    fn may_exceed(&self, case: &Case<'_>) -> bool {
        let ruleset = self.permit.of(case.rules).ruleset.as_ref();
        ruleset.is_some_and(|ruleset| ruleset.rule(case.rule).program.uses().references)
    }

    /// What the rule says, and the records that were at hand for it.
    pub(super) fn ask_rule(&self, case: &Case<'_>, found: &Found) -> (Option<Judged>, AllSeen) {
        let local = LocalRecords::of(&self.cx, &self.owner);
        let near = (!found.counts_rounds).then_some(&local);
        let judged = self.consult(case, found, false, near, |_, rule, context| judge(&rule.program, context));
        (judged, local.seen())
    }

    /// What the rule says before the record is there.
    fn ask_early(&self, case: &Case<'_>, found: &Found) -> Option<Judged> {
        self.consult(case, found, true, None, |_, rule, context| judge(&rule.program, context))
    }

    fn consult<T>(
        &self,
        case: &Case<'_>,
        found: &Found,
        early: bool,
        near: Option<&LocalRecords<'_, O>>,
        with: impl FnOnce(&Ruleset, &Rule, &Context<'_>) -> T,
    ) -> Option<T> {
        let ruleset = self.permit.of(case.rules).ruleset.as_ref()?;
        self.consult_by(ruleset, case, found, early, near, with)
    }

    /// Tells a rule what it may know: what was found, and what is near. `None`: who asked is gone.
    pub(super) fn consult_by<T>(
        &self,
        ruleset: &Ruleset,
        case: &Case<'_>,
        found: &Found,
        early: bool,
        near: Option<&LocalRecords<'_, O>>,
        with: impl FnOnce(&Ruleset, &Rule, &Context<'_>) -> T,
    ) -> Option<T> {
        let rule = ruleset.rule(case.rule);
        let Question { conn, who, message, name, slot, .. } = case.question;
        let identity: &Identity = match who {
            Some(who) => who,
            None => self.edges.identity_of(*conn)?,
        };
        let mut references: SmallVec<[Reference<'_>; 4]> = SmallVec::new();
        for (name, record_state) in &found.records {
            let value = match record_state {
                RecordState::Coming => continue,
                RecordState::Missing => None,
                RecordState::Here(slot) => Some(self.owner.value_of(*slot)),
                RecordState::Copy(value) => Some(&value[..]),
            };
            references.push(Reference { name, value });
        }
        let old = match slot {
            _ if early || !rule.program.uses().old_data => Document::Absent,
            Some(slot) => self.owner.old_document(*slot, message.head.action),
            None => references.first().and_then(|copy| copy.value).map_or(Document::Missing, Document::Text),
        };
        let context = Context {
            user: &User { id: &identity.user, server_data: identity.server_data.as_deref() },
            name: *name,
            captures: &case.captures,
            action: case.action.code(),
            now_ms: self.cx.now_ms(),
            data: match case.data {
                Source::Message => message.data().map_or(Document::Absent, Document::Text),
                Source::Merged if !early => self.owner.merged_document(),
                Source::Merged | Source::Nowhere => Document::Absent,
            },
            old_data: old,
            references: &references,
            at_hand: near.map(|near| near as &dyn AtHand),
        };
        Some(with(ruleset, rule, &context))
    }

    fn denied(&mut self, case: &Case<'_>, found: &Found) -> Judgement {
        if self.cx.outputs.verbose {
            let local = LocalRecords::of(&self.cx, &self.owner);
            let told = self.consult(case, found, false, Some(&local), |ruleset, _, context| {
                explain(ruleset, case.right, context).to_string()
            });
            self.note_denial(case.question, case.right, case.action, told);
        }
        Judgement::No(Denial::Denied)
    }

    fn failed(&mut self, case: &Case<'_>, thrown: &Thrown) -> Judgement {
        self.cx.outputs.counters.rule_failures += 1;
        if !self.is_told(Sampled::RuleFailures) {
            return Judgement::No(Denial::Failed);
        }
        let Some(ruleset) = &self.permit.of(case.rules).ruleset else { return Judgement::No(Denial::Failed) };
        let rule = ruleset.rule(case.rule);
        let note = Note::RuleFailed {
            rule: title(ruleset, rule),
            at: rule.at.map(|at| (at.line, at.column)),
            text: rule.program.text().into(),
            name: lossy(case.question.name),
            why: thrown.to_string().into(),
        };
        self.cx.outputs.note(note);
        Judgement::No(Denial::Failed)
    }

    /// Tells once of a rule that its value is neither true nor false: where that is falsy, upstream allowed it.
    #[cold]
    fn note_odd(&mut self, case: &Case<'_>, found: &Found) {
        if !self.permit.is_newly_odd(case.rules, case.rule) {
            return;
        }
        let local = LocalRecords::of(&self.cx, &self.owner);
        let note = self.consult(case, found, false, Some(&local), |ruleset, rule, context| {
            let account = explain(ruleset, case.right, context);
            Note::RuleOdd {
                rule: title(ruleset, rule),
                at: rule.at.map(|at| (at.line, at.column)),
                text: rule.program.text().into(),
                name: lossy(case.question.name),
                // Of what allows, the value may be anything that somebody wrote, and the log is no place for it.
                denied: (account.verdict != Verdict::Allow)
                    .then(|| account.parts.last().map_or("", |part| &part.value).into()),
            }
        });
        if let Some(note) = note {
            self.cx.outputs.note(note);
        }
    }

    fn note_denial(&mut self, question: &Question<'_>, right: Right, action: Action, told: Option<String>) {
        if !self.cx.outputs.verbose {
            return;
        }
        let (section, kind) = (right.section(), right.rule());
        let user = question.who.as_deref().or_else(|| self.edges.identity_of(question.conn));
        let guarded = self.permit.of(question.reply_to.rules).guard_of(right, question.name).is_some();
        let otherwise = if guarded {
            "authentication keeps its users there, and no rule for this name begins with their table"
        } else {
            "nobody may do that with this name"
        };
        self.cx.outputs.notes.push(Note::Denied {
            user: user.map_or("", |identity| &identity.user).into(),
            action: action.name(),
            name: lossy(question.name),
            why: told.unwrap_or_else(|| format!("{section} {kind}: {otherwise}")).into(),
        });
    }
}

/// Where a rule's `data` comes from (docs/permissions.md §3).
pub(super) fn source_of(action: Action) -> Source {
    match action.request() {
        Some(
            Request::Event(EventRequest::Emit)
            | Request::Rpc(RpcRequest::Request)
            | Request::Record(RecordRequest::Update | RecordRequest::CreateAndUpdate),
        ) => Source::Message,
        Some(Request::Record(RecordRequest::Patch | RecordRequest::CreateAndPatch | RecordRequest::PatchMulti)) => {
            Source::Merged
        }
        Some(
            Request::Event(
                EventRequest::Subscribe
                | EventRequest::Unsubscribe
                | EventRequest::Listen
                | EventRequest::Unlisten
                | EventRequest::ListenAccept
                | EventRequest::ListenReject,
            )
            | Request::Rpc(
                RpcRequest::Provide
                | RpcRequest::Unprovide
                | RpcRequest::Accept
                | RpcRequest::Response
                | RpcRequest::Reject
                | RpcRequest::RequestError,
            )
            | Request::Record(
                RecordRequest::Read
                | RecordRequest::Head
                | RecordRequest::Delete
                | RecordRequest::Erase
                | RecordRequest::Notify
                | RecordRequest::Subscribe
                | RecordRequest::SubscribeAndHead
                | RecordRequest::SubscribeAndRead
                | RecordRequest::SubscribeCreateAndRead
                | RecordRequest::Unsubscribe
                | RecordRequest::Listen
                | RecordRequest::Unlisten
                | RecordRequest::ListenAccept
                | RecordRequest::ListenReject,
            )
            | Request::Presence(_)
            | Request::Connection(_)
            | Request::Auth(_),
        )
        | None => Source::Nowhere,
    }
}

/// The rule that a question meets.
pub(super) fn choose(ruleset: &Ruleset, right: Right, question: &Question<'_>) -> Choice {
    match question.name {
        Some(name) if question.listened => ruleset.choose_listened(right, name),
        name => ruleset.choose(right, name),
    }
}

/// A rule's section, path and type.
fn title(ruleset: &Ruleset, rule: &Rule) -> Box<str> {
    format!("{} \"{}\" {}", rule.right.section(), ruleset.path_of(rule), rule.right.rule()).into()
}

fn unavailable() -> Thrown {
    Thrown::outside("RECORD_LOAD_ERROR")
}

fn lossy(name: Option<&[u8]>) -> Box<str> {
    name.map_or("everybody".into(), |name| String::from_utf8_lossy(name).into())
}

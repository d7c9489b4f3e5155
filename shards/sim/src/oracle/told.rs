//! Checks that no connection is sent a document that it may not read.
//!
//! Every write contains a unique number (a "mark"), so its origin can be recognised wherever it appears. All marks in a
//! message to a connection are looked up, in whatever field: it may be sent what it wrote itself; of what others wrote,
//! only documents that it may read by the rules that apply to its request, or for unrequested messages by those in
//! force at its core. A rule about the document itself is evaluated for the very document that was sent.
//!
//! Actions that are not listed here may only contain the receiver's own writes, so a new action is checked too.

use crate::oracle::Oracle;
use crate::oracle::permit::Claim;
use crate::oracle::record::text;
use crate::rules::Says;
use crate::trace::describe;
use deepstream_wire::client::{ServerEvent, ServerReader};
use deepstream_wire::{Action, Message, Topic, Wire};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Which connection wrote which mark, and the intruders.
#[derive(Debug, Default)]
pub(super) struct Marks {
    written: BTreeMap<u64, (usize, Box<[u8]>)>,
    /// The rules in force where an intruder came in.
    came_under: BTreeMap<usize, u32>,
}

/// By which rules a connection may be told something.
enum Licence {
    /// It asked for it.
    Answer(Claim),
    /// It asked for it, and it cannot be told with what: by those of some time.
    SomeAnswer,
    /// It subscribes.
    Grant,
    /// Nothing but its own may be in it.
    Own,
}

impl Oracle {
    /// A write is heard: its number is its own.
    pub(super) fn marks_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        for mark in marks_of(message) {
            self.marks.written.entry(mark).or_insert_with(|| (conn, message.name().into()));
        }
    }

    /// Something is said to a connection, and is not looked into any further yet.
    pub(super) fn contents_said(&mut self, conn: usize, message: &Message<&[u8]>) {
        let marks = marks_of(message);
        if marks.is_empty() {
            return;
        }
        let line = || describe(message);
        let topic = message.head.action.topic();
        self.check(topic == Topic::Record, || format!("conn {conn} is told of a record by {}", line()));
        let mut others = false;
        for mark in marks {
            let Some((writer, name)) = self.marks.written.get(&mark) else {
                return self.fail(format!("conn {conn} is told what nobody wrote: {}", line()));
            };
            let (own, fits) = (*writer == conn, **name == *message.name());
            others |= !own;
            self.check(fits, || format!("conn {conn} is told of another record by {}", line()));
            if !own {
                self.told_mark(conn, message.name(), mark);
            }
        }
        if others && self.permit.ruled() {
            let says = self.may_be_told(conn, message);
            self.check(!says.never(), || format!("conn {conn} may not read, and is told {}", line()));
        }
    }

    fn may_be_told(&self, conn: usize, message: &Message<&[u8]>) -> Says {
        let name = Some(message.name());
        match self.licence(conn, message) {
            Licence::Own => Says::NO,
            Licence::Answer(claim) => {
                let document = message.data().and_then(|data| serde_json::from_slice(data).ok());
                self.may_read(conn, &claim, message.name(), document.as_ref())
            }
            Licence::SomeAnswer => (0..=self.newest_rules())
                .map(|rules| self.reads(conn, message.name(), None, rules))
                .find(|says| says.yes)
                .unwrap_or(Says::NO),
            Licence::Grant => {
                let says = self.stands(conn, Action::RecordSubscribe, name, self.rules_at(conn));
                // While records are read to find out, it goes on.
                Says { yes: says.yes || says.slow, ..says }
            }
        }
    }

    /// Whether a document that answers a message may be told, by the rules that the message went by.
    pub(super) fn may_read(&self, conn: usize, claim: &Claim, name: &[u8], document: Option<&Value>) -> Says {
        let all = self.rules_of(claim).map(|rules| self.reads(conn, name, document, rules));
        all.fold(Says { yes: false, no: false, slow: false }, |all, one| Says {
            yes: all.yes || one.yes,
            no: all.no || one.no,
            slow: all.slow || one.slow,
        })
    }

    /// The version of a record, or 0 where there is none.
    pub(crate) fn version(&self, name: &[u8]) -> i32 {
        self.records.histories.get(name).map_or(0, |history| history.now().version.max(0))
    }

    /// What a record last was at a version.
    pub(crate) fn document(&self, name: &[u8], version: i32) -> Option<String> {
        let history = self.records.histories.get(name)?;
        let moments = (0..=history.last()).rev().map(|index| history.at(index));
        moments.into_iter().find(|moment| moment.version == version).map(|moment| moment.value.to_string())
    }

    fn licence(&self, conn: usize, message: &Message<&[u8]>) -> Licence {
        let answer = |claim: Option<Claim>| claim.map_or(Licence::SomeAnswer, Licence::Answer);
        match message.head.action {
            Action::RecordUpdate | Action::RecordPatch | Action::RecordPatchMulti => Licence::Grant,
            Action::RecordReadResponse => answer(self.read_claim(conn, message.name())),
            Action::RecordVersionExists | Action::RecordInvalidVersion => {
                answer(message.correlation_id().and_then(|id| self.claim_of(conn, id)))
            }
            _ => Licence::Own,
        }
    }
}

/// Intruders: their requests are not tracked; only what they must not learn is looked for.
impl Oracle {
    /// A connection is an intruder.
    pub(crate) fn intruder(&mut self, conn: usize, wire: Wire) {
        self.conns[conn].intruder = Some(wire);
        let rules = self.rules_at(conn);
        self.marks.came_under.insert(conn, rules);
    }

    /// What it does to records is their history, whoever did it.
    pub(crate) fn intruder_heard(&mut self, conn: usize, message: &Message<&[u8]>) {
        match message.head.action {
            Action::RecordNotify => message.names().for_each(|name| self.records.writes.notify(name)),
            Action::RecordUpdate
            | Action::RecordPatch
            | Action::RecordPatchMulti
            | Action::RecordErase
            | Action::RecordCreateAndUpdate
            | Action::RecordCreateAndPatch => {
                self.claim_heard(conn, message);
                self.write_heard(conn, message);
            }
            _ => {}
        }
    }

    /// What others wrote stands in what it is told only if it could be read by some rules since it came: in bytes of any wire,
    /// as documents are told as they are. Of wires that are read here, conflicts are looked at one by one.
    pub(crate) fn intruder_told(&mut self, conn: usize, bytes: &[u8]) {
        let Some(wire) = self.conns[conn].intruder else { return };
        if wire.encoding() == Wire::Protobuf {
            ServerReader::upgraded().received(bytes, &mut |event| {
                if let ServerEvent::Message(message) = event
                    && matches!(message.head.action, Action::RecordVersionExists | Action::RecordInvalidVersion)
                {
                    self.contents_said(conn, &message);
                }
            });
        }
        let rules = self.marks.came_under.get(&conn).copied().unwrap_or_default()..=self.newest_rules();
        for mark in marks_in_bytes(bytes) {
            let Some((writer, name)) = self.marks.written.get(&mark) else {
                return self.fail(format!("conn {conn} is told what nobody wrote: {}", text(bytes).escape_debug()));
            };
            let may = *writer == conn || rules.clone().any(|rules| self.reads(conn, name, None, rules).yes);
            let (name, own) = (name.clone(), *writer == conn);
            if !own {
                self.told_mark(conn, &name, mark);
            }
            self.check(may, || {
                let told = text(bytes);
                format!(
                    "conn {conn} may not read, and is told of {} over {wire:?}: {}",
                    text(&name),
                    told.escape_debug()
                )
            });
        }
    }
}

/// The numbers of writes that stand in bytes of any wire: `"w":7`, `[7,1]`, `"u7":{` and the path `u7.z`.
fn marks_in_bytes(bytes: &[u8]) -> BTreeSet<u64> {
    let mut marks = BTreeSet::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            at += 1;
            continue;
        }
        let (before, number, after) = (&bytes[..at], &bytes[at..at + digits], &bytes[at + digits..]);
        let pair = before.ends_with(b"[") && after.starts_with(b",") && after.get(1).is_some_and(u8::is_ascii_digit);
        let key = before.ends_with(b"\"u") && after.starts_with(b"\":{");
        let path = before.ends_with(b"u") && after.starts_with(b".z");
        if before.ends_with(b"\"w\":") || pair || key || path {
            marks.extend(text(number).parse::<u64>());
        }
        at += digits;
    }
    marks
}

/// The numbers of writes that stand in a message.
fn marks_of(message: &Message<&[u8]>) -> BTreeSet<u64> {
    let mut marks = BTreeSet::new();
    if let Some(data) = message.data().and_then(|data| serde_json::from_slice::<Value>(data).ok()) {
        marks_in(&data, &mut marks);
    }
    if let Some(path) = message.path() {
        marks.extend(text(path).split('.').filter_map(mark_of_key));
    }
    marks
}

/// Values are `{"w":7}` and `[7,1]`; what was removed leaves `{"u7":{}}`.
pub(super) fn marks_in(value: &Value, marks: &mut BTreeSet<u64>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                marks.extend(mark_of_key(key).filter(|_| value.is_object()));
                marks.extend(value.as_u64().filter(|_| key == "w"));
                marks_in(value, marks);
            }
        }
        Value::Array(elements) => match &elements[..] {
            [Value::Number(mark), Value::Number(_)] => marks.extend(mark.as_u64()),
            elements => elements.iter().for_each(|element| marks_in(element, marks)),
        },
        // The parts of a PATCH_MULTI name paths, too, but none that bears a number.
        _ => {}
    }
}

fn mark_of_key(key: &str) -> Option<u64> {
    key.strip_prefix('u')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_wherever_writes_leave_them() {
        let found = |text: &str| {
            let mut marks = BTreeSet::new();
            marks_in(&serde_json::from_str(text).expect("JSON"), &mut marks);
            marks.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(found(r#"{"w":3,"f":"x","o":{"x":{"w":4}},"l":[null,[5,0]],"u6":{}}"#), [3, 4, 5, 6]);
        assert_eq!(found(r#"[{"path":"l[0]","data":[7,0]},{"path":"a"}]"#), [7]);
        let all = br#"R|U|r0|3|{"w":3,"l":[null,[5,0]],"u6":{}}+R|P|r0|4|u7.z|U+"users":{"u9":true}[8]"#;
        assert_eq!(marks_in_bytes(all).into_iter().collect::<Vec<_>>(), [3, 5, 6, 7]);
        assert_eq!(found(r#"{"m":[null,{"k":{"w":8}}],"u9":true}"#), [8]);
    }
}

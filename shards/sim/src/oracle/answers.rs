//! Checks that a connection gets each answer that it is owed exactly once.

use deepstream_wire::{Action, Message};
use std::collections::BTreeMap;

type Owed = (u8, u8, Option<Box<[u8]>>, Option<Box<[u8]>>);

/// What one connection is still owed.
#[derive(Debug, Default)]
pub(super) struct Answers {
    owed: BTreeMap<Owed, u32>,
    /// Those that may come or not.
    optional: BTreeMap<Owed, u32>,
}

impl Answers {
    /// One answer more, known by its action, name and correlation id.
    pub(super) fn owe(&mut self, action: Action, name: Option<&[u8]>, correlation_id: Option<&[u8]>) {
        *self.owed.entry(key(action, name, correlation_id)).or_default() += 1;
    }

    /// This answer was given; `false` if nobody waits for it.
    pub(super) fn pay(&mut self, message: &Message<&[u8]>) -> bool {
        let name = Some(message.name()).filter(|name| !name.is_empty());
        let owed = key(message.head.action, name, message.correlation_id());
        cross_off(&mut self.owed, &owed) || cross_off(&mut self.optional, &owed)
    }

    /// An answer that will not be given; `false` if nobody waits for it.
    pub(super) fn forgive(&mut self, action: Action, name: Option<&[u8]>, correlation_id: Option<&[u8]>) -> bool {
        cross_off(&mut self.owed, &key(action, name, correlation_id))
    }

    /// An answer that may still be given, and need not be; `false` if nobody waits for it.
    pub(super) fn excuse(&mut self, action: Action, name: Option<&[u8]>, correlation_id: Option<&[u8]>) -> bool {
        let owed = key(action, name, correlation_id);
        let excused = cross_off(&mut self.owed, &owed);
        if excused {
            *self.optional.entry(owed).or_default() += 1;
        }
        excused
    }

    /// The first missing answer, in words.
    pub(super) fn unpaid(&self) -> Option<String> {
        let ((topic, code, name, correlation_id), count) = self.owed.first_key_value()?;
        let text = |bytes: &Option<Box<[u8]>>| {
            bytes.as_ref().map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let topic = deepstream_wire::Topic::from_code(u32::from(*topic))?;
        let action = Action::from_code(topic, u32::from(*code))?;
        Some(format!("{count} × {action:?} name={} corr={}", text(name), text(correlation_id)))
    }
}

/// One of these less; `false` if there is none.
fn cross_off(answers: &mut BTreeMap<Owed, u32>, owed: &Owed) -> bool {
    let Some(count) = answers.get_mut(owed) else { return false };
    *count -= 1;
    if *count == 0 {
        answers.remove(owed);
    }
    true
}

fn key(action: Action, name: Option<&[u8]>, correlation_id: Option<&[u8]>) -> Owed {
    (action.topic() as u8, action.code(), name.map(Into::into), correlation_id.map(Into::into))
}

//! Records as a naive reader of the specification would keep them: whole values, applied one after the other.
//!
//! *Owns* the history of every name, and its own implementation of paths. *Promises* to share no code with the engine.
//! *Does not* cover unusual paths: clients of these worlds use simple ones.

use serde_json::{Map, Value};

/// The change that a write makes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The whole value.
    Whole(Value),
    /// One path; nothing: it is removed.
    At(String, Option<Value>),
    /// Several paths.
    Many(Vec<(String, Option<Value>)>),
}

impl Change {
    /// The value after this change.
    pub(crate) fn apply(&self, before: &Value) -> Value {
        match self {
            Self::Whole(value) => value.clone(),
            Self::At(path, value) => changed(before, path, value.as_ref()),
            Self::Many(parts) => {
                parts.iter().fold(before.clone(), |value, (path, part)| changed(&value, path, part.as_ref()))
            }
        }
    }

    /// The parts of a PATCH_MULTI.
    pub(crate) fn many(data: &[u8]) -> Option<Self> {
        let parts: Vec<Map<String, Value>> = serde_json::from_slice(data).ok()?;
        let part =
            |part: &Map<String, Value>| Some((part.get("path")?.as_str()?.to_owned(), part.get("data").cloned()));
        Some(Self::Many(parts.iter().map(part).collect::<Option<_>>()?))
    }
}

enum Key<'a> {
    Member(&'a str),
    Element(usize),
}

/// The keys of a path such as `a.b[2].c`.
fn keys(path: &str) -> Vec<Key<'_>> {
    path.split('.')
        .flat_map(|segment| {
            let mut pieces = segment.split(['[', ']']).filter(|piece| !piece.is_empty());
            let member = pieces.next().map(Key::Member);
            member.into_iter().chain(pieces.filter_map(|piece| piece.parse().ok().map(Key::Element)))
        })
        .collect()
}

fn changed(before: &Value, path: &str, value: Option<&Value>) -> Value {
    let mut after = before.clone();
    let keys = keys(path);
    let Some((last, parents)) = keys.split_last() else { return after };
    let mut place = &mut after;
    for (depth, key) in parents.iter().enumerate() {
        place = child(place, key);
        let wants_array = matches!(keys[depth + 1], Key::Element(_));
        if !place.is_object() && !place.is_array() {
            *place = if wants_array { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
    }
    match (value, last) {
        (Some(value), last) => *child(place, last) = value.clone(),
        (None, Key::Member(name)) => {
            if let Value::Object(members) = place {
                members.remove(*name);
            }
        }
        (None, Key::Element(index)) => {
            if let Some(element) = place.get_mut(*index) {
                *element = Value::Null;
            }
        }
    }
    after
}

fn child<'v>(place: &'v mut Value, key: &Key<'_>) -> &'v mut Value {
    match (place, key) {
        (Value::Array(elements), Key::Element(index)) => {
            if elements.len() <= *index {
                elements.resize(*index + 1, Value::Null);
            }
            &mut elements[*index]
        }
        (Value::Object(members), Key::Element(index)) => members.entry(index.to_string()).or_insert(Value::Null),
        (Value::Object(members), Key::Member(name)) => members.entry((*name).to_owned()).or_insert(Value::Null),
        (place, _) => place,
    }
}

/// How a record came to be what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was so from the beginning.
    Origin,
    /// Somebody subscribed to what did not exist.
    Created,
    /// This connection wrote.
    Written(usize),
    Deleted,
    /// A removal that was reported as failed had been done after all.
    Lapsed,
    /// A write that storage had said to have failed had been done after all, before a later one was refused: its writer was told
    /// that it is lost, and nobody of what it did, but of what storage was found to have.
    Doubted,
}

/// A record at one moment of its history.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) cause: Cause,
    /// -1: there is no record.
    pub(crate) version: i32,
    pub(crate) value: Value,
}

impl Moment {
    fn missing(cause: Cause) -> Self {
        Self { cause, version: -1, value: Value::Object(Map::new()) }
    }

    /// Whether a subscriber is told nothing of it.
    fn is_silent_for(&self, conn: usize) -> bool {
        match self.cause {
            Cause::Written(writer) => writer == conn,
            Cause::Created | Cause::Lapsed | Cause::Doubted | Cause::Origin => true,
            Cause::Deleted => false,
        }
    }
}

/// All that ever happened to one name, in the order of its owner.
#[derive(Debug)]
pub(crate) struct History(Vec<Moment>);

impl Default for History {
    fn default() -> Self {
        Self(vec![Moment::missing(Cause::Origin)])
    }
}

impl History {
    /// A history that begins with a record in storage.
    pub(crate) fn stored(version: i32, value: Value) -> Self {
        Self(vec![Moment { cause: Cause::Origin, version, value }])
    }

    /// The index of the present.
    pub(crate) fn last(&self) -> usize {
        self.0.len() - 1
    }

    /// A moment.
    pub(crate) fn at(&self, index: usize) -> &Moment {
        &self.0[index]
    }

    /// The present.
    pub(crate) fn now(&self) -> &Moment {
        &self.0[self.last()]
    }

    pub(crate) fn push(&mut self, cause: Cause, version: i32, value: Value) {
        self.0.push(Moment { cause, version, value });
    }

    /// What came after this moment was never there.
    pub(crate) fn forget_after(&mut self, index: usize) {
        self.0.truncate(index + 1);
    }

    /// Nobody is told how a record came to be what it was in these moments.
    pub(crate) fn doubt(&mut self, moments: std::ops::RangeInclusive<usize>) {
        for moment in &mut self.0[moments] {
            if let Cause::Written(_) = moment.cause {
                moment.cause = Cause::Doubted;
            }
        }
    }

    pub(crate) fn end(&mut self, cause: Cause) {
        self.0.push(Moment::missing(cause));
    }

    /// The moments a subscriber that knows `from` may be in without having been told anything since: `from` itself,
    /// and those after it of which it is told nothing.
    pub(crate) fn silent_after(&self, from: usize, conn: usize) -> impl Iterator<Item = usize> + '_ {
        let silent = self.0[from + 1..].iter().take_while(move |moment| moment.is_silent_for(conn)).count();
        from..=from + silent
    }

    /// The next moment after `from` that a subscriber is told of.
    pub(crate) fn next_told(&self, from: usize, conn: usize) -> Option<usize> {
        let next = self.silent_after(from, conn).last()? + 1;
        (next < self.0.len()).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_made_where_it_is_missing() {
        let set = |path: &str, before: Value| Change::At(path.into(), Some(json!(1))).apply(&before);
        assert_eq!(set("a.b", json!({})), json!({"a": {"b": 1}}));
        assert_eq!(set("a[2]", json!({})), json!({"a": [null, null, 1]}));
        assert_eq!(set("a[0].b", json!({"a": 7})), json!({"a": [{"b": 1}]}));
    }

    #[test]
    fn removing_below_a_missing_parent_makes_the_parent() {
        assert_eq!(Change::At("x.y".into(), None).apply(&json!({})), json!({"x": {}}));
    }

    #[test]
    fn a_subscriber_is_not_told_what_it_wrote_itself() {
        let mut history = History::stored(1, json!({}));
        history.push(Cause::Written(7), 2, json!({}));
        history.push(Cause::Written(8), 3, json!({}));
        assert_eq!(history.next_told(0, 7), Some(2));
        assert_eq!(history.next_told(0, 8), Some(1));
        assert_eq!(history.next_told(2, 7), None);
    }
}

//! Subscriptions to all names that fit a filter: `+` stands for one level of a name, `#` for all that follow.
//!
//! *Owns* the tree of this owner's filters. *Promises* that a name is compared level by level, so that a filter costs
//! nothing where its first levels differ, and that no filters cost nothing at all. *Does not* know who subscribes: a filter
//! is a name like others in the owner's table, known on every core, because names that fit it are owned by any.
//!
//! A filter is heard from the moment its subscription is confirmed; what records of fitting names were before then is not
//! told, as most of them are not in memory.

use crate::context::Context;
use crate::ident::ConnId;
use crate::owner::Owner;
use crate::owner::names::Names;
use crate::packet::ReplyTo;
use crate::sides::edges::{Audience, Edges};
use crate::sides::{Sides, ToEdge};
use deepstream_wire::{Message, Outgoing, Topic, Wire};
use std::collections::BTreeMap;

/// The filters of one shard, by topic.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    events: Level,
    records: Level,
    count: usize,
    /// Rules are in force: only names are told that no rule can have overlooked.
    guarded: bool,
    /// Records that are nobody's, unless a rule is about them and them alone: they are told to no filter.
    hidden: Vec<Box<[u8]>>,
}

#[derive(Debug, Default)]
struct Level {
    below: BTreeMap<Box<[u8]>, Level>,
    any: Option<Box<Level>>,
    /// The slot of the filter that ends here.
    here: Option<u32>,
    /// The slot of the filter that ends here with `#`.
    rest: Option<u32>,
}

impl Level {
    fn is_empty(&self) -> bool {
        self.below.is_empty() && self.any.is_none() && self.here.is_none() && self.rest.is_none()
    }

    fn change<'f>(&mut self, mut levels: impl Iterator<Item = &'f [u8]>, slot: Option<u32>) {
        match levels.next() {
            None => self.here = slot,
            Some(b"#") => self.rest = slot,
            Some(b"+") => {
                let any = self.any.get_or_insert_default();
                any.change(levels, slot);
                if any.is_empty() {
                    self.any = None;
                }
            }
            Some(level) => {
                let below = self.below.entry(level.into()).or_default();
                below.change(levels, slot);
                if below.is_empty() {
                    self.below.remove(level);
                }
            }
        }
    }
}

impl Filters {
    pub(crate) fn new(guarded: bool, hidden: &[Box<[u8]>]) -> Self {
        Self { guarded, hidden: hidden.to_vec(), ..Self::default() }
    }

    /// Other rules are in force.
    pub(crate) fn guard(&mut self, guarded: bool, hidden: &[Box<[u8]>]) {
        self.guarded = guarded;
        self.hidden = hidden.to_vec();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn root(&mut self, topic: Topic) -> &mut Level {
        if topic == Topic::Event { &mut self.events } else { &mut self.records }
    }

    pub(crate) fn insert(&mut self, topic: Topic, filter: &[u8], slot: u32) {
        self.count += 1;
        self.root(topic).change(filter.split(|byte| *byte == b'/'), Some(slot));
    }

    pub(crate) fn remove(&mut self, topic: Topic, filter: &[u8]) {
        self.count -= 1;
        self.root(topic).change(filter.split(|byte| *byte == b'/'), None);
    }

    /// Gives the slots of all filters that fit a name.
    pub(crate) fn fitting(&self, topic: Topic, name: &[u8], mut each: impl FnMut(u32)) {
        let root = if topic == Topic::Event { &self.events } else { &self.records };
        let mut open: Vec<(&Level, Option<usize>)> = vec![(root, Some(0))];
        // Names that begin with $ are not meant by who asks for everything.
        let hidden = name.first() == Some(&b'$');
        while let Some((level, at)) = open.pop() {
            let first = at == Some(0);
            if let Some(slot) = level.rest.filter(|_| !(hidden && first)) {
                each(slot);
            }
            let Some(at) = at else {
                level.here.into_iter().for_each(&mut each);
                continue;
            };
            let rest = name.get(at..).unwrap_or_default();
            let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let next = (len < rest.len()).then_some(at + len + 1);
            if let Some(below) = level.below.get(&rest[..len]) {
                open.push((below, next));
            }
            if let Some(any) = level.any.as_deref().filter(|_| !(hidden && first)) {
                open.push((any, next));
            }
        }
    }

    /// Sends one message to all subscribers of filters that fit a name, to each with the filter it is sent for.
    pub(crate) fn tell<'m, E: ToEdge>(
        &self,
        (names, edges, cx): (&Names, &mut Edges<E>, &mut Context),
        topic: Topic,
        name: &[u8],
        except: ConnId,
        message: impl Fn(Wire) -> Outgoing<'m>,
    ) {
        let hidden = topic == Topic::Record && self.hidden.iter().any(|table| name.starts_with(table));
        if hidden || (self.guarded && !is_plain(name)) {
            return;
        }
        self.fitting(topic, name, |slot| {
            let filter = names.at(slot);
            let audience = Audience::others(&filter.interest, slot, except);
            let told = |wire| Outgoing { subscription: Some(&filter.name), ..message(wire) };
            edges.fan_out(cx, audience, told);
        });
    }
}

/// Whether a name is one that rules are asked about when a filter is subscribed to: paths with variables are for no empty level,
/// and `*` stops at line breaks.
fn is_plain(name: &[u8]) -> bool {
    let breaks = |at: &[u8]| matches!(at, [0xe2, 0x80, 0xa8 | 0xa9]);
    !name.split(|byte| *byte == b'/').any(<[u8]>::is_empty)
        && !name.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
        && !name.windows(3).any(breaks)
}

impl<E: ToEdge> Sides<E, Owner> {
    /// SUBSCRIBE of one filter. Owner side, as all cores are.
    pub(crate) fn filter_subscribe(&mut self, conn: ConnId, reply_to: ReplyTo, message: &Message<&[u8]>) {
        let topic = message.head.action.topic();
        let slot = self.owner.names.find_or_insert(topic, message.name(), message.head.name_hash);
        let listened = self.owner.names.at_mut(slot).listened_mut();
        if listened.is_some_and(|listened| !std::mem::replace(&mut listened.is_filter, true)) {
            self.owner.filters.insert(topic, message.name(), slot);
        }
        self.join(conn, reply_to, slot);
    }

    /// Nobody subscribes to what may be a filter any more.
    pub(crate) fn forget_filter(&mut self, slot: u32) {
        let Some(name) = self.owner.names.get_mut(slot).filter(|name| name.interest.is_empty()) else { return };
        if name.listened_mut().is_some_and(|listened| std::mem::take(&mut listened.is_filter)) {
            self.owner.filters.remove(name.topic(), &name.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(filters: &Filters, name: &str) -> Vec<u32> {
        let mut slots = Vec::new();
        filters.fitting(Topic::Event, name.as_bytes(), |slot| slots.push(slot));
        slots.sort_unstable();
        slots
    }

    #[test]
    fn filters_fit_by_levels_and_are_forgotten_without_trace() {
        let all = ["#", "a/#", "a/+", "a/+/c", "+/b", "+", "/+", "$x/#", "+/+/#"];
        let mut filters = Filters::default();
        for (slot, filter) in all.iter().enumerate() {
            filters.insert(Topic::Event, filter.as_bytes(), slot as u32);
        }
        let cases: &[(&str, &[u32])] = &[
            ("a", &[0, 1, 5]),
            ("a/b", &[0, 1, 2, 4, 8]),
            ("a/b/c", &[0, 1, 3, 8]),
            ("a//c", &[0, 1, 3, 8]),
            ("a/", &[0, 1, 2, 8]),
            ("/x", &[0, 6, 8]),
            ("$x", &[7]),
            ("$x/b", &[7]),
            ("b", &[0, 5]),
        ];
        for (name, slots) in cases {
            assert_eq!(fitting(&filters, name), *slots, "{name}");
        }
        filters.fitting(Topic::Record, b"a/b", |_| panic!("another topic"));
        for filter in all {
            filters.remove(Topic::Event, filter.as_bytes());
        }
        assert!(filters.is_empty() && filters.events.is_empty());
    }
}

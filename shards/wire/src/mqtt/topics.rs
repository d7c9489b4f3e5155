//! What a client subscribed to, and with what it is to be sent.

use std::collections::BTreeMap;

/// Of how many filters with wildcards one client may have: each message it is sent is compared with all of them.
const WILDCARDS_MAX: usize = 256;

/// How messages of a filter are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// 0 or 1.
    pub(super) qos: u8,
    /// What the client publishes itself is not sent to it.
    pub(super) no_local: bool,
    /// The retain flag says whether a message was retained, even if it is sent as it happens.
    pub(super) as_published: bool,
    /// What the client wants to be told with each message; 0: nothing.
    pub(super) identifier: u32,
}

/// One filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subscription {
    pub(super) terms: Terms,
    /// The engine sends it the events.
    pub(super) event: bool,
    /// The engine sends it the changes of the records.
    pub(super) record: bool,
}

/// How one message is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) qos: u8,
    pub(super) as_published: bool,
    /// Changes of records are sent for what it is sent for.
    pub(super) record: bool,
}

/// All filters of a client.
#[derive(Debug, Default)]
pub(super) struct Topics {
    exact: BTreeMap<Box<[u8]>, Subscription>,
    wild: Vec<(Box<[u8]>, Subscription)>,
}

impl Topics {
    pub(super) fn get_mut(&mut self, filter: &[u8]) -> Option<&mut Subscription> {
        if is_wild(filter) {
            return self.wild.iter_mut().find(|(other, _)| **other == *filter).map(|(_, subscription)| subscription);
        }
        self.exact.get_mut(filter)
    }

    /// The subscription of a filter, new if there was none; `None`: there are too many.
    pub(super) fn entry(&mut self, filter: &[u8]) -> Option<&mut Subscription> {
        if !is_wild(filter) {
            return Some(self.exact.entry(filter.into()).or_default());
        }
        let at = match self.wild.iter().position(|(other, _)| **other == *filter) {
            Some(at) => at,
            None if self.wild.len() >= WILDCARDS_MAX => return None,
            None => {
                self.wild.push((filter.into(), Subscription::default()));
                self.wild.len() - 1
            }
        };
        self.wild.get_mut(at).map(|(_, subscription)| subscription)
    }

    pub(super) fn remove(&mut self, filter: &[u8]) -> Option<Subscription> {
        if !is_wild(filter) {
            return self.exact.remove(filter);
        }
        let at = self.wild.iter().position(|(other, _)| **other == *filter)?;
        Some(self.wild.swap_remove(at).1)
    }

    /// How a message on `topic` is sent for a filter with wildcards, or else for the topic's own, and its identifier; `None`
    /// if that is not subscribed to. Filters that overlap are sent a message each.
    pub(super) fn grant(&self, topic: &[u8], filter: Option<&[u8]>, identifiers: &mut Vec<u32>) -> Option<Grant> {
        let subscription = match filter {
            Some(filter) => {
                self.wild.iter().find(|(other, _)| **other == *filter).map(|(_, subscription)| subscription)
            }
            None => self.exact.get(topic),
        }?;
        let Terms { qos, as_published, identifier, .. } = subscription.terms;
        identifiers.extend(Some(identifier).filter(|&identifier| identifier != 0));
        Some(Grant { qos, as_published, record: subscription.record })
    }

    /// How the one message is sent that a client is sent once, whatever its filters, and its identifiers; `None` if none fits.
    pub(super) fn grant_once(&self, topic: &[u8], identifiers: &mut Vec<u32>) -> Option<Grant> {
        let mut grant: Option<Grant> = None;
        let wild = self.wild.iter().filter(|(filter, _)| fits(filter, topic)).map(|(_, subscription)| subscription);
        for subscription in self.exact.get(topic).into_iter().chain(wild) {
            let grant = grant.get_or_insert_default();
            grant.qos = grant.qos.max(subscription.terms.qos);
            grant.as_published |= subscription.terms.as_published;
            grant.record |= subscription.record;
            if subscription.terms.identifier != 0 {
                identifiers.push(subscription.terms.identifier);
            }
        }
        grant
    }

    /// Whether the client is sent what it publishes itself on `topic`.
    pub(super) fn hears_itself(&self, topic: &[u8]) -> bool {
        self.exact.get(topic).is_some_and(|subscription| !subscription.terms.no_local)
            || self.wild.iter().any(|(filter, subscription)| !subscription.terms.no_local && fits(filter, topic))
    }
}

/// Whether a filter holds a wildcard.
pub(super) fn is_wild(filter: &[u8]) -> bool {
    filter.iter().any(|byte| matches!(byte, b'+' | b'#'))
}

/// Whether a filter fits a topic. Both are valid: wildcards stand for whole levels, `#` is the last one.
pub(super) fn fits(filter: &[u8], topic: &[u8]) -> bool {
    // Topics that begin with $ are the server's own, and are not meant by who asks for everything.
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    let mut levels = topic.split(|byte| *byte == b'/');
    for wanted in filter.split(|byte| *byte == b'/') {
        match (wanted, levels.next()) {
            // It stands for the level above it too.
            (b"#", _) => return true,
            (b"+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_levels() {
        let fitting = [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("+/b", "a/b"),
            ("#", "a/b"),
            ("a/#", "a/b/c"),
            ("a/#", "a"),
            ("+", "a"),
            ("+/+", "/a"),
            ("/+", "/a"),
            ("a/+/c", "a//c"),
            ("$x/#", "$x/y"),
            ("a/#", "a/"),
        ];
        for (filter, topic) in fitting {
            assert!(fits(filter.as_bytes(), topic.as_bytes()), "{filter} {topic}");
        }
        let others = [
            ("a/b", "a/c"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/a"),
            ("#", "$x/y"),
            ("+/y", "$x/y"),
            ("a/#", "ab"),
            ("a", "a/"),
            ("b/#", "a/b"),
        ];
        for (filter, topic) in others {
            assert!(!fits(filter.as_bytes(), topic.as_bytes()), "{filter} {topic}");
        }
    }
}

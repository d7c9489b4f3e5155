//! Those who are not let in: what they are told, and what the log is.
//!
//! *Owns* the count of this core. *Promises* that the first in a minute are logged with their address, and how many more there
//! were with the first of the next. *Does not* decide who is let in.

use crate::config::REFUSAL;
use crate::log::{Level, note};
use deepstream_engine::Nanos;
use deepstream_wire::LinkConfig;
use std::net::IpAddr;
use std::rc::Rc;

/// Told in a minute and core.
const TOLD_MAX: u32 = 10;
const MINUTE_NS: u64 = 60_000_000_000;

/// What links go by.
pub(super) struct Links {
    pub(super) open: Rc<LinkConfig>,
    /// Those of connections that are not let in, and told so.
    pub(super) shut: Rc<LinkConfig>,
}

impl Links {
    pub(super) fn new(open: LinkConfig) -> Self {
        let mut shut = open.clone();
        shut.gate.closed = Some(REFUSAL.into());
        shut.mqtt.closed = Some(REFUSAL.into());
        Self { open: Rc::new(open), shut: Rc::new(shut) }
    }
}

/// Lines of the log, a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    since: Nanos,
    told: u32,
    left_out: u64,
}

impl TurnedAway {
    /// Somebody was not let in.
    pub(super) fn tell(&mut self, now: Nanos, address: Option<IpAddr>, why: &str) {
        if let Some(text) = self.line(now, address, why) {
            note(Level::Warn, "CONNECTION_REFUSED", &text);
        }
    }

    fn line(&mut self, now: Nanos, address: Option<IpAddr>, why: &str) -> Option<String> {
        let mut before = 0;
        if now.since(self.since) >= MINUTE_NS {
            before = std::mem::take(&mut self.left_out);
            (self.since, self.told) = (now, 0);
        }
        if self.told >= TOLD_MAX {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        let address = address.map_or("somebody who is gone".to_owned(), |address| address.to_string());
        let more = if before > 0 { format!(" ({before} more before on this core)") } else { String::new() };
        Some(format!("{address} was not let in: {why}{more}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_minute_are_told_and_the_others_counted() {
        let mut turned_away = TurnedAway::default();
        let address = Some(IpAddr::from([10, 0, 0, 7]));
        let minute = |number: u64| Nanos(number * MINUTE_NS);
        assert_eq!(turned_away.line(minute(1), address, "no.").as_deref(), Some("10.0.0.7 was not let in: no."));
        assert_eq!((0..30).filter(|_| turned_away.line(minute(1), None, "no.").is_some()).count(), 9);
        let next = turned_away.line(minute(2), address, "no.");
        assert_eq!(next.as_deref(), Some("10.0.0.7 was not let in: no. (21 more before on this core)"));
        assert_eq!(turned_away.line(minute(3), address, "no.").as_deref(), Some("10.0.0.7 was not let in: no."));
    }
}

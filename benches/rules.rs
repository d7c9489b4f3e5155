//! What permission rules cost: the same messages without rules and under rules of each kind. The difference of a row to
//! its `free` row is the cost of the judgement.

#[path = "common/bare.rs"]
mod bare;
mod common;

use bare::{Bare, NOW, bytes};
use common::Case;
use deepstream_engine::{Lane, Options, Permissions, Place};
use deepstream_valve::check::check_rows;
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

/// What a rule refers to, on the same core and on another.
const NEAR: &str = "near";

fn main() {
    let data = "data.at > 5";
    let user = "user.id === 'OPEN'";
    let old = "oldData.ask === undefined || oldData.ask.size >= 0";
    common::main(vec![
        emit("rules/emit_free", None),
        emit("rules/emit_open", Some("true")),
        emit("rules/emit_user", Some(user)),
        emit("rules/emit_data", Some(data)),
        emit("rules/emit_reference", Some("_('near').open")),
        emit("rules/emit_reference_far", Some("_('FAR').open")),
        update("rules/update_free", None),
        update("rules/update_open", Some("true")),
        update("rules/update_user", Some(user)),
        update("rules/update_data", Some("data.ask.size > 5")),
        update("rules/update_old_data", Some(old)),
        update("rules/update_reference", Some("_('near').open")),
        update("rules/update_reference_far", Some("_('FAR').open")),
        denied("rules/update_denied", "user.id === 'somebody else'"),
        denied("rules/update_failing", "oldData.none.size >= 0"),
    ]);
}

/// Two shards, of which the first is looked at.
struct Pair([Bare; 2]);

impl Pair {
    /// Everybody may do everything, but for the right of the rule.
    fn new(right: (&str, &str), rule: Option<&str>, far: &str) -> Self {
        let rule = rule.map(|rule| rule.replace("FAR", far));
        let permissions = rule.map_or_else(Arc::default, |rule| {
            let all = [
                ("record", "create"),
                ("record", "read"),
                ("record", "write"),
                ("event", "publish"),
                ("event", "subscribe"),
            ];
            let mut rows: Vec<_> = all
                .iter()
                .filter(|other| **other != right)
                .map(|(section, kind)| (*section, "*", *kind, "true"))
                .collect();
            // Under a path of its own, so that what is referred to can be written.
            rows.push((right.0, "*", right.1, "true"));
            rows.push((right.0, "news.*", right.1, &rule));
            let ruleset = check_rows(&rows).expect("rules are rules").ruleset;
            Arc::new(Permissions { ruleset: Some(Arc::new(ruleset)), ..Permissions::default() })
        });
        let shard = |core| {
            let options = Options { storage: false, permissions: permissions.clone(), ..Options::default() };
            Bare::with(core, 2, options)
        };
        Self([shard(0), shard(1)])
    }

    /// What cores tell each other, until they have nothing to tell.
    fn exchange(&mut self) {
        loop {
            let mut moved = 0;
            for (from, to) in [(0, 1), (1, 0)] {
                for lane in Lane::ALL {
                    for packet in self.0[from].packets(to as u16, lane) {
                        self.0[to].shard.packet(NOW, Place::alone(from as u16), packet);
                        moved += 1;
                    }
                }
            }
            if moved == 0 {
                return;
            }
        }
    }
}

fn write(name: &str) -> Vec<u8> {
    bytes(&Outgoing {
        name: Some(name.as_bytes()),
        version: Some(-1),
        data: Some(br#"{"open":true,"since":1234567890}"#),
        ..Outgoing::new(Action::RecordCreateAndUpdate)
    })
}

/// The first name of this kind that a core owns.
fn owned(prefix: &str, core: u16) -> String {
    let mut bare = Bare::new(0, 2);
    let prober = bare.client();
    let mut names = (0..1000).map(|number| format!("{prefix}{number}"));
    let found = names.find(|name| {
        bare.say(prober, &write(name));
        u16::from(!bare.packets(1, Lane::Requests).is_empty()) == core
    });
    found.expect("some name is that core's")
}

fn case(
    name: &'static str,
    mut pair: Pair,
    far: &str,
    prepared: &[Vec<u8>],
    payload: Vec<u8>,
    near: &str,
    allowed: bool,
) -> Case {
    let (speaker, listener) = (pair.0[0].client(), pair.0[0].client());
    for record in [near, far] {
        pair.0[0].say(speaker, &write(record));
    }
    for message in prepared {
        pair.0[0].say(listener, message);
    }
    pair.exchange();
    pair.0[0].flush();
    Case::once(name, move || {
        pair.0[0].say(speaker, &payload);
        pair.exchange();
        // A denial is told too, but to who was denied.
        let mut heard = false;
        let sent = pair.0[0].flush_telling(|conn| heard |= conn == listener);
        assert_eq!(heard, allowed, "whoever subscribed is told what is allowed");
        sent
    })
}

fn emit(name: &'static str, rule: Option<&str>) -> Case {
    let (topic, near, far) = (owned("news", 0), owned(NEAR, 0), owned("far", 1));
    let rule = rule.map(|rule| rule.replace(NEAR, &near));
    let pair = Pair::new(("event", "publish"), rule.as_deref(), &far);
    let data: &[u8] = br#"{"player":"somebody","points":[15,30,40],"at":1234567890}"#;
    let subscribe =
        Outgoing { names: &[topic.as_bytes()], correlation_id: Some(b"0"), ..Outgoing::new(Action::EventSubscribe) };
    let payload = Outgoing { name: Some(topic.as_bytes()), data: Some(data), ..Outgoing::new(Action::EventEmit) };
    case(name, pair, &far, &[bytes(&subscribe)], bytes(&payload), &near, true)
}

fn update(name: &'static str, rule: Option<&str>) -> Case {
    write_under(name, rule, true)
}

fn denied(name: &'static str, rule: &str) -> Case {
    write_under(name, Some(rule), false)
}

fn write_under(name: &'static str, rule: Option<&str>, allowed: bool) -> Case {
    let (record, near, far) = (owned("news", 0), owned(NEAR, 0), owned("far", 1));
    let rule = rule.map(|rule| rule.replace(NEAR, &near));
    let pair = Pair::new(("record", "write"), rule.as_deref(), &far);
    let get = Outgoing {
        names: &[record.as_bytes()],
        correlation_id: Some(b"0"),
        ..Outgoing::new(Action::RecordSubscribeCreateAndRead)
    };
    let payload = Outgoing {
        name: Some(record.as_bytes()),
        version: Some(-1),
        data: Some(br#"{"bid":{"price":1.2345,"size":100},"ask":{"price":1.2346,"size":200},"venue":"here"}"#),
        ..Outgoing::new(Action::RecordUpdate)
    };
    case(name, pair, &far, &[bytes(&get)], bytes(&payload), &near, allowed)
}

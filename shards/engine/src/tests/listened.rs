//! Rules are asked about each name before a listener is told of it, whatever its pattern is.

use super::permit::OPEN;
use super::rig::{Disk, Rig, about, bulk, patient, permissions};
use crate::{ConnId, Options};
use deepstream_wire::{Action, Outgoing};
use std::sync::Arc;

type Rule<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Everything is allowed, and of listening what these rules say.
fn rules<'a>(listen: &[Rule<'a>]) -> Vec<Rule<'a>> {
    let open = OPEN.iter().filter(|(_, _, kind, _)| *kind != "listen" || listen.is_empty());
    open.copied().chain(listen.iter().copied()).collect()
}

/// The words of a topic.
struct Words {
    topic: &'static str,
    listen: Action,
    unlisten: Action,
    accept: Action,
    reject: Action,
    subscribe: Action,
    unsubscribe: Action,
}

const TOPICS: [Words; 2] = [
    Words {
        topic: "event",
        listen: Action::EventListen,
        unlisten: Action::EventUnlisten,
        accept: Action::EventListenAccept,
        reject: Action::EventListenReject,
        subscribe: Action::EventSubscribe,
        unsubscribe: Action::EventUnsubscribe,
    },
    Words {
        topic: "record",
        listen: Action::RecordListen,
        unlisten: Action::RecordUnlisten,
        accept: Action::RecordListenAccept,
        reject: Action::RecordListenReject,
        subscribe: Action::RecordSubscribe,
        unsubscribe: Action::RecordUnsubscribe,
    },
];

impl Words {
    fn answer(&self, rig: &mut Rig, conn: ConnId, accept: bool, pattern: &str, name: &str) {
        let action = if accept { self.accept } else { self.reject };
        rig.send(conn, &Outgoing { subscription: Some(name.as_bytes()), ..about(action, pattern) });
    }

    fn found(&self, pattern: &str, name: &str) -> String {
        let topic = self.topic.to_uppercase();
        format!("{topic}.SUBSCRIPTION_FOR_PATTERN_FOUND name={pattern} subscription={name}")
    }

    fn removed(&self, pattern: &str, name: &str) -> String {
        self.found(pattern, name).replace("FOUND", "REMOVED")
    }

    /// `SUBSCRIPTION_HAS_PROVIDER` or the contrary, which only subscribers of records are told.
    fn provided(&self, has: bool, name: &str) -> Vec<String> {
        let no = if has { "" } else { "NO_" };
        let told = (self.topic == "record").then(|| format!("RECORD.SUBSCRIPTION_HAS_{no}PROVIDER name={name}"));
        told.into_iter().collect()
    }
}

/// Names that listeners were asked for, in order of the names.
fn asked(rig: &mut Rig, conn: ConnId) -> Vec<String> {
    let lines = rig.read(conn);
    let found = lines.iter().filter(|line| line.contains("PATTERN_FOUND"));
    let mut names: Vec<String> =
        found.filter_map(|line| line.split_once("subscription=")).map(|(_, name)| name.to_owned()).collect();
    names.sort();
    names
}

fn options(rows: &[Rule<'_>]) -> Options {
    Options { listen_shuffle: false, permissions: Arc::new(permissions(0, rows)), ..patient() }
}

/// Runs on both topics with listeners and owners on the same core and on others.
fn everywhere(test: impl Fn(&Words, u16, usize)) {
    for words in &TOPICS {
        for (cores, home) in [(1, 0), (2, 0), (2, 1), (4, 3)] {
            test(words, cores, home);
        }
    }
}

fn adopt(rig: &mut Rig, generation: u32, rows: &[Rule<'_>]) {
    adopt_only(rig, generation, rows);
    rig.pass(2_000_000);
}

/// New rules, and what they allow is not offered yet: work on listening waits in line until time passes.
fn adopt_only(rig: &mut Rig, generation: u32, rows: &[Rule<'_>]) {
    let now = rig.now;
    let next = Arc::new(permissions(generation, rows));
    for shard in &mut rig.shards {
        shard.adopt_permissions(now, next.clone());
    }
    rig.settle();
}

#[test]
fn a_wide_pattern_is_told_of_the_names_that_its_user_may_listen_to_and_of_no_others() {
    everywhere(|words, cores, home| {
        let rows =
            rules(&[(words.topic, "*", "listen", "true"), (words.topic, "secret/*", "listen", "user.id === 'boss'")]);
        let mut rig = Rig::with(cores, &options(&rows));
        let names = ["open/1", "secret/1", "secret/2", "open/2", "xsecret/1", "secret"];
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let subscriber = rig.user(0, "sub");
        // Told as they come, and on the way around what was there before.
        for subscribed_before in [false, true] {
            let (ann, boss) = (rig.user(home, "ann"), rig.user(0, "boss"));
            if subscribed_before {
                rig.send(subscriber, &bulk(words.subscribe, &names, "1"));
            }
            rig.send(ann, &about(words.listen, ".*"));
            if !subscribed_before {
                rig.send(subscriber, &bulk(words.subscribe, &names, "1"));
            }
            let lines = rig.read(ann);
            assert!(lines.iter().any(|line| line.ends_with("LISTEN name=.* ack")), "{lines:?}");
            assert!(lines.iter().all(|line| !line.contains("=secret/")), "{lines:?}");
            assert_eq!(lines.len(), 5, "{lines:?}");
            // By name it is as ever: what may be listened to so is found, and what may not is refused.
            let denied = format!("{}.MESSAGE_DENIED name=secret/1 original=LISTEN error", words.topic.to_uppercase());
            rig.send(ann, &about(words.listen, "secret/1"));
            assert_eq!(rig.read(ann), [denied]);
            rig.send(boss, &about(words.listen, "secret/1"));
            rig.send(boss, &about(words.listen, "^sec.*/2"));
            assert_eq!(asked(&mut rig, boss), ["secret/1", "secret/2"]);
            // Who was not told cannot provide, and hears nothing that it did not say itself.
            words.answer(&mut rig, ann, true, ".*", "secret/1");
            assert_eq!(rig.read(ann), [words.removed(".*", "secret/1")], "an acceptance that nobody waits for");
            words.answer(&mut rig, ann, true, ".*", "secret/77");
            assert_eq!(rig.read(ann), [words.removed(".*", "secret/77")], "whether there is such a name or not");
            words.answer(&mut rig, boss, true, "secret/1", "secret/1");
            let told = rig.read(subscriber);
            assert_eq!(
                told.iter().filter(|line| line.contains("HAS_PROVIDER")).cloned().collect::<Vec<_>>(),
                words.provided(true, "secret/1")
            );
            rig.send(subscriber, &bulk(words.unsubscribe, &names, "2"));
            assert!(rig.read(ann).iter().all(|line| !line.contains("=secret/")));
            rig.drop_client(ann);
            rig.drop_client(boss);
        }
    });
}

#[test]
fn who_may_not_is_passed_over_and_the_next_is_asked() {
    everywhere(|words, cores, home| {
        let rows =
            rules(&[(words.topic, "*", "listen", "true"), (words.topic, "n/$user", "listen", "$user === user.id")]);
        let mut rig = Rig::with(cores, &options(&rows));
        let (ann, bob, cid) = (rig.user(0, "ann"), rig.user(home, "bob"), rig.user(0, "cid"));
        for listener in [ann, bob, cid] {
            for pattern in [".*", "n", "/", "n/"] {
                rig.send(listener, &about(words.listen, pattern));
            }
            rig.read(listener);
        }
        let subscriber = rig.user(0, "sub");
        rig.send(subscriber, &bulk(words.subscribe, &[b"n/bob"], "1"));
        assert_eq!(rig.read(bob), [words.found(".*", "n/bob")]);
        for pattern in [".*", "n", "/"] {
            words.answer(&mut rig, bob, false, pattern, "n/bob");
        }
        words.answer(&mut rig, bob, false, "n/", "n/bob");
        assert_eq!(asked(&mut rig, bob).len(), 3);
        assert_eq!((rig.read(ann), rig.read(cid)), (vec![], vec![]));
        assert_eq!(rig.shards.iter().map(|shard| shard.census().asked_names).sum::<usize>(), 0);
    });
}

/// Rules may have to read records, of this core or another, before a listener is told.
#[test]
fn a_rule_that_reads_records_is_waited_for() {
    everywhere(|words, cores, home| {
        for key_core in 0..usize::from(cores) {
            for (value, allowed) in [(r#"{"open":true}"#, true), (r#"{"open":false}"#, false)] {
                let key = Rig::new(cores).name_on(key_core, "key");
                let rule = format!("_('{key}').open");
                let rows = rules(&[(words.topic, ".*", "listen", "true"), (words.topic, "secret*", "listen", &rule)]);
                let mut rig = Rig::with(cores, &options(&rows));
                let name = rig.name_on(home, "secret/");
                rig.stored.insert(key.clone().into_bytes(), (1, value.into()));
                let (ann, bob, subscriber) = (rig.user(0, "ann"), rig.user(home, "bob"), rig.user(0, "sub"));
                rig.send(ann, &about(words.listen, ".*"));
                rig.send(bob, &about(words.listen, "/"));
                rig.read(ann);
                rig.read(bob);
                rig.disk = Disk::Hangs;
                rig.send(subscriber, &bulk(words.subscribe, &[name.as_bytes()], "1"));
                // Nobody knows of it yet, and nobody can say that it was asked.
                assert_eq!(rig.read(ann), Vec::<String>::new());
                words.answer(&mut rig, ann, true, ".*", &name);
                assert_eq!(rig.read(ann), [words.removed(".*", &name)]);
                rig.unfreeze();
                let told = if allowed { vec![name.clone()] } else { vec![] };
                assert_eq!(asked(&mut rig, ann), told);
                words.answer(&mut rig, ann, false, ".*", &name);
                assert_eq!(asked(&mut rig, bob), told);
                words.answer(&mut rig, bob, true, "/", &name);
                rig.send(subscriber, &bulk(words.unsubscribe, &[name.as_bytes()], "2"));
                for conn in [ann, bob, subscriber] {
                    rig.drop_client(conn);
                }
                rig.pass(60_000_000_000);
                for shard in &rig.shards {
                    let census = shard.census();
                    assert_eq!(
                        (census.rule_lookups, census.asked_names, census.provided_names, census.listeners),
                        (0, 0, 0, 0)
                    );
                }
            }
        }
    });
}

#[test]
fn what_nobody_wants_any_more_while_it_is_judged_is_told_to_nobody() {
    everywhere(|words, cores, home| {
        let rows =
            rules(&[(words.topic, "*", "listen", "true"), (words.topic, "secret*", "listen", "_('key') === null")]);
        let mut rig = Rig::with(cores, &options(&rows));
        let (ann, subscriber) = (rig.user(home, "ann"), rig.user(0, "sub"));
        rig.send(ann, &about(words.listen, ".*"));
        rig.read(ann);
        rig.disk = Disk::Hangs;
        rig.send(subscriber, &bulk(words.subscribe, &[b"secret/1"], "1"));
        rig.send(subscriber, &bulk(words.unsubscribe, &[b"secret/1"], "2"));
        assert_eq!(rig.shards.iter().map(|shard| shard.census().asked_names).sum::<usize>(), 0);
        rig.unfreeze();
        assert_eq!(asked(&mut rig, ann), Vec::<String>::new());
    });
}

/// A listener that goes while it is being judged leaves the name to the next.
#[test]
fn a_listener_that_goes_while_it_is_judged_is_passed_over() {
    everywhere(|words, cores, home| {
        let key = Rig::new(cores).name_on(home, "key");
        let rule = format!("_('{key}') === null || true");
        let rows = rules(&[(words.topic, "*", "listen", "true"), (words.topic, "secret*", "listen", &rule)]);
        let mut rig = Rig::with(cores, &options(&rows));
        let (ann, bob, subscriber) = (rig.user(0, "ann"), rig.user(home, "bob"), rig.user(0, "sub"));
        rig.send(ann, &about(words.listen, ".*"));
        rig.send(bob, &about(words.listen, ".*"));
        rig.read(bob);
        rig.disk = Disk::Hangs;
        rig.send(subscriber, &bulk(words.subscribe, &[b"secret/1"], "1"));
        rig.drop_client(ann);
        rig.unfreeze();
        assert_eq!(asked(&mut rig, bob), ["secret/1"]);
    });
}

/// It comes and goes before its turn in the line of what is to be done. Another listens meanwhile, to the same or to something
/// else, and subscribes to what it would provide.
#[test]
fn a_listener_that_goes_before_its_turn_is_told_of_nothing() {
    for pattern in ["^y", ".*"] {
        everywhere(|words, cores, home| {
            let rows = rules(&[(words.topic, "*", "listen", "true")]);
            let mut rig = Rig::with(cores, &options(&rows));
            let name = rig.name_on(home, "x");
            let (ann, bob) = (rig.user(home, "ann"), rig.user(0, "bob"));
            // There is somebody to offer anew to.
            rig.send(bob, &about(words.listen, "^z"));
            rig.send(bob, &bulk(words.subscribe, &[name.as_bytes()], "1"));
            adopt_only(&mut rig, 1, &rows);
            // Who stands behind others in the line of newcomers is not dismissed before these are.
            rig.send(bob, &about(words.listen, "^q"));
            rig.send(ann, &about(words.listen, pattern));
            rig.send(ann, &about(words.unlisten, pattern));
            rig.send(bob, &about(words.listen, ".*"));
            assert_eq!(rig.read(ann), Vec::<String>::new(), "all of it waits");
            rig.pass(2_000_000);
            let topic = words.topic.to_uppercase();
            let told = ["LISTEN", "UNLISTEN"].map(|word| format!("{topic}.{word} name={pattern} ack"));
            assert_eq!(rig.read(ann), told);
        });
    }
}

/// Rules find what they look for after a listener is gone, and before what it leaves behind is seen to.
#[test]
fn a_listener_that_goes_while_it_is_judged_is_not_told_what_comes_of_it() {
    everywhere(|words, cores, home| {
        let key = Rig::new(cores).name_on(home, "key");
        let rule = format!("_('{key}') === null || true");
        let rows = rules(&[(words.topic, "*", "listen", "true"), (words.topic, "secret*", "listen", &rule)]);
        let mut rig = Rig::with(cores, &options(&rows));
        let name = rig.name_on(home, "secret/");
        let (ann, bob, subscriber) = (rig.user(0, "ann"), rig.user(home, "bob"), rig.user(0, "sub"));
        rig.send(ann, &about(words.listen, ".*"));
        rig.send(bob, &about(words.listen, ".*"));
        rig.read(ann);
        rig.read(bob);
        adopt_only(&mut rig, 1, &rows);
        rig.disk = Disk::Hangs;
        rig.send(subscriber, &bulk(words.subscribe, &[name.as_bytes()], "1"));
        rig.send(ann, &about(words.unlisten, ".*"));
        rig.unfreeze();
        assert_eq!(asked(&mut rig, ann), Vec::<String>::new());
        assert_eq!(asked(&mut rig, bob), [name]);
    });
}

#[test]
fn new_rules_end_what_is_provided_against_them_and_offer_what_they_allow() {
    everywhere(|words, cores, home| {
        let any = (words.topic, "*", "listen", "true");
        let closed = rules(&[any, (words.topic, "n/*", "listen", "user.id === 'bob'")]);
        let open = rules(&[any]);
        let mut rig = Rig::with(cores, &Options { listen_rematch_ns: None, ..options(&open) });
        let (ann, bob, subscriber) = (rig.user(home, "ann"), rig.user(0, "bob"), rig.user(0, "sub"));
        let names: &[&[u8]] = &[b"m/1", b"n/1", b"n/2"];
        rig.send(ann, &about(words.listen, ".*"));
        rig.send(subscriber, &bulk(words.subscribe, names, "1"));
        for name in ["m/1", "n/1"] {
            words.answer(&mut rig, ann, true, ".*", name);
        }
        rig.read(ann);
        rig.read(subscriber);
        // One is provided, another only asked for.
        adopt(&mut rig, 1, &closed);
        assert_eq!(rig.read(ann), [words.removed(".*", "n/1")], "who provides is told to stop, once");
        assert_eq!(rig.read(subscriber), words.provided(false, "n/1"));
        words.answer(&mut rig, ann, true, ".*", "n/2");
        assert_eq!(rig.read(ann), [words.removed(".*", "n/2")], "what was asked under older rules is asked no more");
        assert_eq!(rig.read(subscriber), Vec::<String>::new());
        rig.send(bob, &about(words.listen, "^n"));
        assert_eq!(asked(&mut rig, bob), ["n/1", "n/2"]);
        words.answer(&mut rig, bob, false, "^n", "n/1");
        words.answer(&mut rig, bob, true, "^n", "n/2");
        // And back: what nobody provides is offered to who may listen to it now.
        adopt(&mut rig, 2, &open);
        assert_eq!(asked(&mut rig, ann), ["n/1"]);
        assert_eq!(asked(&mut rig, bob), Vec::<String>::new());
        words.answer(&mut rig, ann, true, ".*", "n/1");
        words.answer(&mut rig, ann, true, ".*", "m/1");
        assert_eq!(rig.read(ann), Vec::<String>::new());
    });
}

/// Who alone subscribes to a name, and listens to it, is asked once another subscribes. That happens between new rules and what they
/// allow being offered: the others were asked before, but by older rules.
#[test]
fn who_may_listen_by_new_rules_is_asked_after_one_that_was_asked_as_they_came() {
    everywhere(|words, cores, home| {
        let any = (words.topic, "*", "listen", "true");
        let closed = rules(&[any, (words.topic, "n/*", "listen", "user.id === 'bob'")]);
        let mut rig = Rig::with(cores, &Options { listen_rematch_ns: None, ..options(&closed) });
        let (ann, bob, subscriber) = (rig.user(home, "ann"), rig.user(0, "bob"), rig.user(0, "sub"));
        rig.send(bob, &bulk(words.subscribe, &[b"n/1"], "1"));
        rig.send(bob, &about(words.listen, "^n"));
        rig.send(ann, &about(words.listen, ".*"));
        assert_eq!(asked(&mut rig, ann), Vec::<String>::new());
        adopt_only(&mut rig, 1, &rules(&[any]));
        rig.send(subscriber, &bulk(words.subscribe, &[b"n/1"], "1"));
        rig.pass(2_000_000);
        let mut both = [asked(&mut rig, bob), asked(&mut rig, ann)].concat();
        for (conn, pattern) in [(bob, "^n"), (ann, ".*")] {
            words.answer(&mut rig, conn, false, pattern, "n/1");
            both.extend(asked(&mut rig, bob));
            both.extend(asked(&mut rig, ann));
        }
        assert_eq!(both, ["n/1", "n/1"], "each was asked once");
    });
}

/// A file that allows patterns by the text that patterns have goes on for the names that they match.
#[test]
fn paths_written_for_the_text_of_patterns_are_for_their_names() {
    let paths = [
        ("plain/.*", "plain/.*", "plain/1"),
        (r"\^anchored/*", "^anchored/.*", "anchored/1"),
        (r"\^both/$user/.*\$", "^both/ann/.*$", "both/ann/1"),
    ];
    everywhere(|words, cores, home| {
        let listen: Vec<Rule<'_>> = paths
            .iter()
            .map(|(path, ..)| {
                (words.topic, *path, "listen", if path.contains("$user") { "$user === user.id" } else { "true" })
            })
            .collect();
        let mut rig = Rig::with(cores, &options(&rules(&listen)));
        let (ann, subscriber) = (rig.user(home, "ann"), rig.user(0, "sub"));
        let names: &[&[u8]] = &[b"plain/1", b"anchored/1", b"both/ann/1", b"both/bob/1", b"other/1"];
        rig.send(subscriber, &bulk(words.subscribe, names, "1"));
        for (_, pattern, name) in paths {
            rig.send(ann, &about(words.listen, pattern));
            assert_eq!(asked(&mut rig, ann), [name], "{pattern}");
            words.answer(&mut rig, ann, true, pattern, name);
        }
        // Such a path is for all patterns that begin so. What else they match is not told.
        rig.send(ann, &about(words.listen, "^anchored/|both|other"));
        assert_eq!(asked(&mut rig, ann), Vec::<String>::new());
    });
}

/// What one listener may not be told holds up nobody, however many patterns it listens to.
#[test]
fn a_connection_is_judged_once_a_name_however_many_patterns_it_has() {
    let rows = rules(&[("event", "*", "listen", "true"), ("event", "n*", "listen", "_('key').open")]);
    let mut rig = Rig::with(2, &options(&rows));
    rig.stored.insert(b"key".to_vec(), (1, br#"{"open":false}"#.to_vec()));
    let (ann, subscriber) = (rig.user(0, "ann"), rig.user(1, "sub"));
    for number in 0..200 {
        rig.send(ann, &about(Action::EventListen, &format!("^(?:n|x{number})")));
    }
    rig.read(ann);
    let hops = |rig: &Rig| rig.shards.iter().map(|shard| shard.counters().hops).sum::<u64>();
    let before = hops(&rig);
    rig.send(subscriber, &bulk(Action::EventSubscribe, &[b"n1"], "1"));
    assert!(rig.read(ann).is_empty());
    assert!(hops(&rig) - before < 10, "{}", hops(&rig) - before);
}

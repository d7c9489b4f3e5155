use super::rig::{Rig, about, bulk};
use crate::{Census, ConnId, Limits, Options, Packet, Place};
use deepstream_wire::{Action, Outgoing};

const MILLISECOND: u64 = 1_000_000;

/// A rig in which candidates are asked in order, a subscriber, two listeners and a name `a/…` of a certain core.
struct Scene {
    rig: Rig,
    topic: &'static str,
    name: String,
    subscriber: ConnId,
    first: ConnId,
    second: ConnId,
}

#[derive(Clone, Copy)]
enum Said {
    Listen,
    Unlisten,
    Accept,
    Reject,
    Subscribe,
    Unsubscribe,
}

impl Scene {
    fn action(&self, said: Said) -> Action {
        let record = self.topic == "RECORD";
        match said {
            Said::Listen if record => Action::RecordListen,
            Said::Listen => Action::EventListen,
            Said::Unlisten if record => Action::RecordUnlisten,
            Said::Unlisten => Action::EventUnlisten,
            Said::Accept if record => Action::RecordListenAccept,
            Said::Accept => Action::EventListenAccept,
            Said::Reject if record => Action::RecordListenReject,
            Said::Reject => Action::EventListenReject,
            Said::Subscribe if record => Action::RecordSubscribe,
            Said::Subscribe => Action::EventSubscribe,
            Said::Unsubscribe if record => Action::RecordUnsubscribe,
            Said::Unsubscribe => Action::EventUnsubscribe,
        }
    }

    fn say(&mut self, conn: ConnId, said: Said, pattern: &str) {
        let (action, name) = (self.action(said), self.name.clone());
        match said {
            Said::Listen | Said::Unlisten => self.rig.send(conn, &about(action, pattern)),
            Said::Subscribe | Said::Unsubscribe => self.rig.send(conn, &bulk(action, &[name.as_bytes()], "0")),
            Said::Accept | Said::Reject => {
                let answer = Outgoing { subscription: Some(name.as_bytes()), ..about(action, pattern) };
                self.rig.send(conn, &answer);
            }
        }
    }

    fn listen(&mut self, conn: ConnId) {
        self.say(conn, Said::Listen, "a/.*");
    }

    fn accept(&mut self, conn: ConnId) {
        self.say(conn, Said::Accept, "a/.*");
    }

    fn reject(&mut self, conn: ConnId) {
        self.say(conn, Said::Reject, "a/.*");
    }

    fn subscribe(&mut self) {
        self.say(self.subscriber, Said::Subscribe, "");
    }

    fn unsubscribe(&mut self) {
        self.say(self.subscriber, Said::Unsubscribe, "");
    }

    /// What a client was sent since it last looked; names of this scene shortened.
    fn read(&mut self, conn: ConnId) -> Vec<String> {
        let short = |line: &String| {
            line.replace(&self.name, "NAME").replace(&format!("{}.", self.topic), "").replace("SUBSCRIPTION_FOR_", "")
        };
        self.rig.read(conn).iter().map(short).collect()
    }

    fn census_is_empty(&self) {
        for shard in &self.rig.shards {
            let census = shard.census();
            let resident = Census {
                resident_records: census.resident_records,
                resident_bytes: census.resident_bytes,
                ..Census::default()
            };
            assert_eq!(census, resident);
        }
    }
}

const FOUND: &str = "PATTERN_FOUND name=a/.* subscription=NAME";
const REMOVED: &str = "PATTERN_REMOVED name=a/.* subscription=NAME";
const LISTENS: &str = "LISTEN name=a/.* ack";
const SUBSCRIBED: &str = "SUBSCRIBE id=0 ack";
const UNSUBSCRIBED: &str = "UNSUBSCRIBE id=0 ack";
const HAS: &str = "SUBSCRIPTION_HAS_PROVIDER name=NAME";
const HAS_NOT: &str = "SUBSCRIPTION_HAS_NO_PROVIDER name=NAME";
const LATE: &str = "LISTEN_RESPONSE_TIMEOUT subscription=NAME";
const NONE: [&str; 0] = [];

/// Runs a conversation on both topics with everybody on one core, and spread over several.
fn everywhere(test: impl Fn(&mut Scene)) {
    let options = Options { listen_shuffle: false, ..Options::default() };
    with(&options, test);
}

fn with(options: &Options, test: impl Fn(&mut Scene)) {
    for topic in ["EVENT", "RECORD"] {
        for (cores, owner, subscriber, first, second) in
            [(1, 0, 0, 0, 0), (2, 0, 0, 1, 0), (2, 1, 0, 0, 1), (2, 0, 1, 1, 1), (4, 3, 0, 1, 2)]
        {
            let mut rig = Rig::with(cores, options);
            let name = rig.name_on(owner, "a/");
            let subscriber = rig.user(subscriber, "subscriber");
            let (first, second) = (rig.user(first, "first"), rig.user(second, "second"));
            test(&mut Scene { rig, topic, name, subscriber, first, second });
        }
    }
}

/// What subscribers of records are told, and those of events are not.
fn only_records<'a>(scene: &Scene, lines: &[&'a str]) -> Vec<&'a str> {
    let assignment = |line: &&&str| scene.topic == "RECORD" || (**line != HAS && **line != HAS_NOT);
    lines.iter().filter(assignment).copied().collect()
}

#[test]
fn a_listener_accepts_and_provides_until_the_last_subscriber_leaves() {
    everywhere(|scene| {
        let (subscriber, first, second) = (scene.subscriber, scene.first, scene.second);
        scene.listen(first);
        assert_eq!(scene.read(first), [LISTENS]);
        scene.subscribe();
        assert_eq!(scene.read(first), [FOUND]);
        assert_eq!(scene.read(subscriber), [SUBSCRIBED]);
        scene.accept(first);
        assert_eq!(scene.read(subscriber), only_records(scene, &[HAS]));
        assert_eq!(scene.read(first), NONE);
        // A further subscriber is told before it is acknowledged, and nobody else is.
        scene.say(second, Said::Subscribe, "");
        assert_eq!(scene.read(second), only_records(scene, &[HAS, SUBSCRIBED]));
        assert_eq!(scene.read(subscriber), NONE);
        scene.unsubscribe();
        assert_eq!(scene.read(first), NONE);
        scene.say(second, Said::Unsubscribe, "");
        assert_eq!(scene.read(second), [UNSUBSCRIBED]);
        assert_eq!(scene.read(first), [REMOVED]);
        // Once more, from the beginning.
        scene.subscribe();
        assert_eq!(scene.read(first), [FOUND]);
    });
}

#[test]
fn a_listener_that_rejects_is_left_alone() {
    everywhere(|scene| {
        let first = scene.first;
        scene.listen(first);
        scene.subscribe();
        scene.read(first);
        scene.reject(first);
        scene.rig.pass(1000 * MILLISECOND);
        scene.unsubscribe();
        assert_eq!(scene.read(first), NONE);
        assert_eq!(scene.read(scene.subscriber), [SUBSCRIBED, UNSUBSCRIBED]);
    });
}

#[test]
fn names_subscribed_before_are_found_before_the_acknowledgement() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.subscribe();
        scene.listen(first);
        assert_eq!(scene.read(first), [FOUND, LISTENS]);
        scene.reject(first);
        scene.listen(second);
        assert_eq!(scene.read(second), [FOUND, LISTENS]);
        scene.accept(second);
        let told = only_records(scene, &[SUBSCRIBED, HAS]);
        assert_eq!(scene.read(scene.subscriber), told);
    });
}

#[test]
fn the_first_rejects_the_second_accepts_the_third_is_not_asked() {
    everywhere(|scene| {
        let (first, second, third) = (scene.first, scene.second, scene.subscriber);
        for conn in [first, second, third] {
            scene.listen(conn);
        }
        scene.subscribe();
        assert_eq!(scene.read(first), [LISTENS, FOUND]);
        scene.reject(first);
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        scene.accept(second);
        let told = only_records(scene, &[LISTENS, SUBSCRIBED, HAS]);
        assert_eq!(scene.read(third), told);
        scene.reject(third);
        scene.rig.pass(1000 * MILLISECOND);
        assert_eq!(scene.read(first), NONE);
        scene.unsubscribe();
        assert_eq!(scene.read(second), [REMOVED]);
    });
}

#[test]
fn a_listener_that_comes_during_a_search_is_asked_too() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.subscribe();
        scene.listen(second);
        assert_eq!(scene.read(second), [LISTENS]);
        scene.reject(first);
        assert_eq!(scene.read(second), [FOUND]);
    });
}

#[test]
fn silence_is_told_and_the_next_is_asked() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.rig.pass(502 * MILLISECOND);
        assert_eq!(scene.read(first), [LISTENS, FOUND, LATE]);
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        // Its answer does not count for the one that is asked now, and it learns so.
        scene.accept(first);
        assert_eq!(scene.read(first), [REMOVED]);
        assert_eq!(scene.read(scene.subscriber), [SUBSCRIBED]);
        scene.accept(second);
        let told = only_records(scene, &[HAS]);
        assert_eq!(scene.read(scene.subscriber), told);
        scene.rig.pass(1000 * MILLISECOND);
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![]));
    });
}

#[test]
fn answers_nobody_asked_for_do_nothing() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.accept(first);
        scene.reject(first);
        scene.listen(second);
        scene.subscribe();
        scene.read(second);
        scene.accept(first);
        scene.reject(first);
        assert_eq!(scene.read(first), NONE);
        assert_eq!(scene.read(scene.subscriber), [SUBSCRIBED]);
        scene.accept(second);
        // Once more changes nothing.
        scene.accept(second);
        assert_eq!(scene.read(second), NONE);
        let told = only_records(scene, &[HAS]);
        assert_eq!(scene.read(scene.subscriber), told);
    });
}

#[test]
fn a_subscriber_that_leaves_during_the_search_ends_it() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.unsubscribe();
        assert_eq!(scene.read(first), [LISTENS, FOUND]);
        scene.accept(first);
        assert_eq!(scene.read(first), [REMOVED]);
        scene.rig.pass(1000 * MILLISECOND);
        assert_eq!(scene.read(second), [LISTENS]);
        // And if it says nothing: the same, in silence.
        scene.subscribe();
        scene.unsubscribe();
        scene.rig.pass(1000 * MILLISECOND);
        assert_eq!(scene.read(first), [FOUND]);
        assert_eq!(scene.read(second), NONE);
        for conn in [first, second, scene.subscriber] {
            scene.rig.drop_client(conn);
        }
        scene.census_is_empty();
    });
}

#[test]
fn one_question_is_not_put_twice() {
    everywhere(|scene| {
        let first = scene.first;
        scene.listen(first);
        scene.subscribe();
        scene.unsubscribe();
        scene.subscribe();
        assert_eq!(scene.read(first), [LISTENS, FOUND]);
        scene.accept(first);
        let told = only_records(scene, &[SUBSCRIBED, UNSUBSCRIBED, SUBSCRIBED, HAS]);
        assert_eq!(scene.read(scene.subscriber), told);
        scene.unsubscribe();
        assert_eq!(scene.read(first), [REMOVED]);
    });
}

#[test]
fn whoever_stops_listening_hands_over() {
    everywhere(|scene| {
        let (subscriber, first, second) = (scene.subscriber, scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.accept(first);
        scene.read(first);
        scene.read(subscriber);
        scene.say(first, Said::Unlisten, "a/.*");
        assert_eq!(scene.read(first), ["UNLISTEN name=a/.* ack"]);
        let told = only_records(scene, &[HAS_NOT]);
        assert_eq!(scene.read(subscriber), told);
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        scene.accept(second);
        let told = only_records(scene, &[HAS]);
        assert_eq!(scene.read(subscriber), told);
        // Once more: of what it does not listen to there is nothing to say.
        scene.say(first, Said::Unlisten, "a/.*");
        assert_eq!(scene.read(first), NONE);
        scene.listen(first);
        scene.say(second, Said::Unlisten, "a/.*");
        assert_eq!(scene.read(first), [LISTENS, FOUND]);
    });
}

#[test]
fn a_provider_that_goes_away_hands_over() {
    everywhere(|scene| {
        let (subscriber, first, second) = (scene.subscriber, scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.accept(first);
        scene.read(subscriber);
        scene.rig.drop_client(first);
        let told = only_records(scene, &[HAS_NOT]);
        assert_eq!(scene.read(subscriber), told);
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        // Gone while it is asked: nobody waits for its time to pass.
        scene.rig.drop_client(second);
        assert_eq!(scene.read(subscriber), NONE);
        scene.rig.drop_client(subscriber);
        scene.census_is_empty();
    });
}

#[test]
fn a_candidate_that_goes_away_is_passed_by() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.say(second, Said::Unlisten, "a/.*");
        scene.listen(second);
        scene.rig.drop_client(first);
        assert_eq!(scene.read(second), [LISTENS, "UNLISTEN name=a/.* ack", LISTENS, FOUND]);
        scene.accept(second);
        let told = only_records(scene, &[SUBSCRIBED, HAS]);
        assert_eq!(scene.read(scene.subscriber), told);
    });
}

#[test]
fn listening_twice_is_told_so_and_acknowledged() {
    everywhere(|scene| {
        let first = scene.first;
        scene.listen(first);
        scene.listen(first);
        let twice = "MULTIPLE_SUBSCRIPTIONS name=a/.* original=LISTEN";
        assert_eq!(scene.read(first), [LISTENS, twice, LISTENS]);
        scene.subscribe();
        assert_eq!(scene.read(first), [FOUND]);
    });
}

#[test]
fn who_subscribes_may_provide_for_others_and_is_asked_once_per_pattern() {
    everywhere(|scene| {
        let (subscriber, second) = (scene.subscriber, scene.second);
        scene.say(second, Said::Subscribe, "");
        scene.read(second);
        scene.listen(subscriber);
        scene.say(subscriber, Said::Listen, "^a");
        scene.subscribe();
        let mut lines = scene.read(subscriber);
        lines.sort();
        assert_eq!(lines, ["LISTEN name=^a ack", LISTENS, FOUND, SUBSCRIBED]);
        scene.reject(subscriber);
        assert_eq!(scene.read(subscriber), ["PATTERN_FOUND name=^a subscription=NAME"]);
        scene.say(subscriber, Said::Accept, "^a");
        let told = only_records(scene, &[HAS]);
        assert_eq!(scene.read(subscriber), told);
        assert_eq!(scene.read(second), told);
    });
}

#[test]
fn who_alone_subscribes_is_not_asked_to_provide_for_itself() {
    for subscribes_first in [true, false] {
        everywhere(|scene| {
            let (provider, other) = (scene.first, scene.subscriber);
            for step in [subscribes_first, !subscribes_first] {
                if step {
                    scene.say(provider, Said::Subscribe, "");
                } else {
                    scene.listen(provider);
                }
            }
            let mut lines = scene.read(provider);
            lines.sort();
            assert_eq!(lines, [LISTENS, SUBSCRIBED]);
            for _ in 0..2 {
                scene.subscribe();
                assert_eq!(scene.read(provider), [FOUND]);
                scene.accept(provider);
                assert_eq!(scene.read(provider), only_records(scene, &[HAS]));
                scene.unsubscribe();
                let mut told = scene.read(provider);
                told.sort();
                assert_eq!(told, only_records(scene, &[REMOVED, HAS_NOT]), "nobody but itself is left");
            }
            scene.say(provider, Said::Unsubscribe, "");
            assert_eq!(scene.read(provider), [UNSUBSCRIBED]);
            for conn in [provider, other, scene.second] {
                scene.rig.drop_client(conn);
            }
            scene.census_is_empty();
        });
    }
}

#[test]
fn a_provider_goes_on_for_others_when_it_subscribes_no_more() {
    everywhere(|scene| {
        let provider = scene.first;
        scene.listen(provider);
        scene.subscribe();
        scene.accept(provider);
        scene.say(provider, Said::Subscribe, "");
        scene.read(provider);
        scene.say(provider, Said::Unsubscribe, "");
        assert_eq!(scene.read(provider), [UNSUBSCRIBED]);
        scene.unsubscribe();
        assert_eq!(scene.read(provider), [REMOVED]);
    });
}

/// The subscription of one listener is a reason to ask another.
#[test]
fn listeners_provide_for_each_other() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.read(first);
        scene.read(second);
        scene.say(first, Said::Subscribe, "");
        assert_eq!(scene.read(second), [FOUND]);
        scene.accept(second);
        let mut told = scene.read(first);
        told.sort();
        assert_eq!(told, only_records(scene, &[SUBSCRIBED, HAS]));
        // It provides for the first, whatever it subscribes to itself.
        scene.say(second, Said::Subscribe, "");
        scene.read(second);
        scene.say(first, Said::Unsubscribe, "");
        assert_eq!(scene.read(second).first().map(String::as_str), Some(REMOVED));
        // The roles change: what is left is the second's subscription, for which the first is asked.
        let mut told = scene.read(first);
        told.sort();
        assert_eq!(told, [FOUND, UNSUBSCRIBED]);
        scene.accept(first);
        assert_eq!(scene.read(second), only_records(scene, &[HAS]));
        scene.rig.drop_client(second);
        assert_eq!(scene.read(first), [REMOVED]);
    });
}

/// Passed over because nobody else subscribed, it is not forgotten when somebody does.
#[test]
fn who_was_passed_over_is_asked_when_others_come_during_the_search() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.say(first, Said::Subscribe, "");
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        scene.read(first);
        scene.subscribe();
        scene.reject(second);
        assert_eq!(scene.read(first), [FOUND]);
        scene.reject(first);
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![]), "everybody was asked once");
    });
}

#[test]
fn who_refused_is_not_asked_again_because_the_lone_subscriber_is_not_alone_any_more() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.say(first, Said::Subscribe, "");
        scene.reject(second);
        scene.read(first);
        scene.read(second);
        scene.subscribe();
        assert_eq!(scene.read(first), [FOUND]);
        scene.reject(first);
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![]));
    });
}

/// It comes to be asked in its turn, and once.
#[test]
fn who_refused_after_it_was_passed_over_is_not_asked_again() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.say(second, Said::Subscribe, "");
        assert_eq!(scene.read(first), [LISTENS, FOUND]);
        scene.read(second);
        scene.subscribe();
        scene.reject(first);
        assert_eq!(scene.read(second), [FOUND]);
        scene.reject(second);
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![]), "everybody was asked once");
    });
}

/// Two are passed over in turn. While the first of them is asked at last, others come, whom the second may provide for.
#[test]
fn who_is_still_passed_over_when_others_are_asked_again_is_not_forgotten() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.say(second, Said::Listen, "^a");
        scene.say(first, Said::Subscribe, "");
        scene.say(second, Said::Subscribe, "");
        scene.say(first, Said::Unsubscribe, "");
        scene.read(first);
        scene.read(second);
        scene.reject(second);
        assert_eq!((scene.read(first), scene.read(second)), (vec![FOUND.to_owned()], vec![]));
        scene.subscribe();
        scene.reject(first);
        let found = "PATTERN_FOUND name=^a subscription=NAME".to_owned();
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![found]));
        scene.say(second, Said::Reject, "^a");
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![]), "everybody was asked once");
    });
}

#[test]
fn who_would_have_provided_for_nobody_but_itself_is_asked_again_when_others_come() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.say(first, Said::Subscribe, "");
        scene.unsubscribe();
        scene.read(first);
        scene.accept(first);
        assert_eq!(scene.read(first), [REMOVED]);
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        scene.subscribe();
        scene.reject(second);
        assert_eq!(scene.read(first), [FOUND]);
        scene.accept(first);
        assert_eq!(scene.read(first), only_records(scene, &[HAS]));
    });
}

/// A subscriber that finds a question put already has the rest asked like any other first one.
#[test]
fn who_refused_those_that_left_is_asked_for_who_comes() {
    let options = Options { listen_shuffle: false, listen_rematch_ns: None, ..Options::default() };
    with(&options, |scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.listen(second);
        scene.subscribe();
        scene.reject(first);
        assert_eq!(scene.read(first), [LISTENS, FOUND]);
        assert_eq!(scene.read(second), [LISTENS, FOUND]);
        scene.unsubscribe();
        scene.subscribe();
        scene.reject(second);
        assert_eq!((scene.read(first), scene.read(second)), (vec![FOUND.to_owned()], vec![]));
        scene.reject(first);
        assert_eq!((scene.read(first), scene.read(second)), (vec![], vec![]), "everybody was asked for it");
    });
}

#[test]
fn an_acceptance_for_nobody_but_itself_is_too_late() {
    everywhere(|scene| {
        let (first, second) = (scene.first, scene.second);
        scene.listen(first);
        scene.say(first, Said::Subscribe, "");
        scene.subscribe();
        scene.unsubscribe();
        scene.read(first);
        scene.accept(first);
        assert_eq!(scene.read(first), [REMOVED]);
        // In silence, too, and the next is asked.
        scene.subscribe();
        assert_eq!(scene.read(first), [FOUND]);
        scene.unsubscribe();
        scene.listen(second);
        scene.read(second);
        scene.rig.pass(502 * MILLISECOND);
        assert_eq!(scene.read(first), NONE);
        assert_eq!(scene.read(second), [FOUND]);
    });
}

/// Leaving and coming again before the first was counted is one subscription still, for a moment counted twice.
#[test]
fn who_comes_and_goes_in_haste_is_not_taken_for_two() {
    let mut rig = Rig::with(2, &Options::default());
    let name = rig.name_on(1, "a/");
    let names: &[&[u8]] = &[name.as_bytes()];
    let (client, other) = (rig.client(0), rig.client(1));
    rig.send(client, &about(Action::EventListen, "a/"));
    rig.read(client);
    for id in ["1", "3", "5"] {
        rig.send_only(client, &bulk(Action::EventSubscribe, names, id));
        rig.send_only(client, &bulk(Action::EventUnsubscribe, names, "x"));
    }
    rig.send_only(client, &bulk(Action::EventSubscribe, names, "7"));
    rig.settle();
    let found = format!("EVENT.SUBSCRIPTION_FOR_PATTERN_FOUND name=a/ subscription={name}");
    assert!(!rig.read(client).contains(&found));
    rig.send(other, &bulk(Action::EventSubscribe, names, "0"));
    assert_eq!(rig.read(client), [found]);
}

/// What follows of a subscriber's leaving is told to others: nobody has to wait for it.
#[test]
fn who_listens_is_acknowledged_as_soon_as_it_leaves() {
    let mut rig = Rig::with(2, &Options::default());
    let name = rig.name_on(1, "a/");
    let client = rig.client(0);
    rig.send(client, &about(Action::EventListen, "a/"));
    rig.send(client, &bulk(Action::EventSubscribe, &[name.as_bytes()], "0"));
    rig.send_only(client, &bulk(Action::EventUnsubscribe, &[name.as_bytes()], "1"));
    assert_eq!(rig.shards[0].census().bulk_requests, 0);
}

#[test]
fn who_leaves_what_it_may_not_have_is_acknowledged() {
    let rules = [("event", "*", "listen", "true"), ("event", "*", "subscribe", "false")];
    let mut rig = Rig::ruled(2, &rules);
    let name = rig.name_on(1, "a/");
    let names: &[&[u8]] = &[name.as_bytes()];
    let client = rig.user(0, "ann");
    rig.send(client, &about(Action::EventListen, "a/"));
    rig.read(client);
    rig.send_only(client, &bulk(Action::EventSubscribe, names, "1"));
    rig.send_only(client, &bulk(Action::EventUnsubscribe, names, "2"));
    rig.settle();
    let denied = format!("EVENT.MESSAGE_DENIED name={name} id=1 original=SUBSCRIBE error");
    assert_eq!(rig.read(client), ["EVENT.UNSUBSCRIBE id=2 ack", &denied]);
    assert_eq!(rig.shards[0].census().bulk_requests, 0);
}

#[test]
fn what_is_said_of_events_is_said_on_their_topic() {
    let mut rig = Rig::new(1);
    let (client, listener) = (rig.client(0), rig.client(0));
    rig.send(listener, &about(Action::EventListen, "("));
    rig.send(listener, &about(Action::EventListen, "e"));
    rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "0"));
    rig.send(listener, &Outgoing { subscription: Some(b"e"), ..about(Action::EventListenAccept, "e") });
    rig.send(client, &bulk(Action::EventUnsubscribe, &[b"e"], "1"));
    rig.send(client, &bulk(Action::EventSubscribe, &[b"e"], "2"));
    rig.pass(501 * MILLISECOND);
    let told = [
        "EVENT.INVALID_LISTEN_REGEX name=(",
        "EVENT.LISTEN name=e ack",
        "EVENT.SUBSCRIPTION_FOR_PATTERN_FOUND name=e subscription=e",
        "EVENT.SUBSCRIPTION_FOR_PATTERN_REMOVED name=e subscription=e",
        "EVENT.SUBSCRIPTION_FOR_PATTERN_FOUND name=e subscription=e",
        "EVENT.LISTEN_RESPONSE_TIMEOUT subscription=e",
    ];
    assert_eq!(rig.read(listener), told);
}

#[test]
fn what_is_said_of_records_is_said_on_their_topic() {
    let mut rig = Rig::new(1);
    let (client, listener) = (rig.client(0), rig.client(0));
    rig.send(listener, &about(Action::RecordListen, "r"));
    rig.send(client, &bulk(Action::RecordSubscribe, &[b"r"], "0"));
    rig.send(listener, &Outgoing { subscription: Some(b"r"), ..about(Action::RecordListenAccept, "r") });
    rig.drop_client(listener);
    let told = [
        "RECORD.SUBSCRIBE id=0 ack",
        "RECORD.SUBSCRIPTION_HAS_PROVIDER name=r",
        "RECORD.SUBSCRIPTION_HAS_NO_PROVIDER name=r",
    ];
    assert_eq!(rig.read(client), told);
    let listener = rig.client(0);
    rig.send(listener, &about(Action::RecordListen, "("));
    rig.send(listener, &about(Action::RecordListen, "r"));
    rig.pass(501 * MILLISECOND);
    rig.send(listener, &about(Action::RecordUnlisten, "r"));
    rig.send(listener, &about(Action::RecordListen, "r"));
    rig.send(listener, &Outgoing { subscription: Some(b"r"), ..about(Action::RecordListenAccept, "r") });
    rig.send(client, &bulk(Action::RecordUnsubscribe, &[b"r"], "1"));
    let told = [
        "RECORD.INVALID_LISTEN_REGEX name=(",
        "RECORD.SUBSCRIPTION_FOR_PATTERN_FOUND name=r subscription=r",
        "RECORD.LISTEN name=r ack",
        "RECORD.LISTEN_RESPONSE_TIMEOUT subscription=r",
        "RECORD.UNLISTEN name=r ack",
        "RECORD.SUBSCRIPTION_FOR_PATTERN_FOUND name=r subscription=r",
        "RECORD.LISTEN name=r ack",
        "RECORD.SUBSCRIPTION_FOR_PATTERN_REMOVED name=r subscription=r",
    ];
    assert_eq!(rig.read(listener), told);
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    everywhere(|scene| {
        let first = scene.first;
        for pattern in ["a(", "*", "[b-a]", "(?<x>a)(?<x>b)"] {
            scene.say(first, Said::Listen, pattern);
            assert_eq!(scene.read(first), [format!("INVALID_LISTEN_REGEX name={pattern}")]);
        }
        assert_eq!(scene.rig.shards[0].census().patterns, 0);
        let limits = Limits { listen_patterns_per_connection_max: 2, listen_pattern_bytes_max: 4, ..Limits::default() };
        let mut rig = Rig::with(2, &Options { limits, ..Options::default() });
        let client = rig.client(0);
        for pattern in ["abcde", "", "a", "b", "c"] {
            rig.send(client, &about(Action::EventListen, pattern));
        }
        let invalid = |name: &str| format!("EVENT.INVALID_MESSAGE_DATA{name} original=LISTEN error");
        let acks = ["a", "b"].map(|pattern| format!("EVENT.LISTEN name={pattern} ack"));
        let told = [&[invalid(" name=abcde"), invalid("")], &acks[..], &[invalid(" name=c")]].concat();
        assert_eq!(rig.read(client), told);
    });
}

#[test]
fn names_without_provider_are_tried_again_after_a_rest() {
    let options = Options {
        listen_shuffle: false,
        listen_rematch_ns: Some(2000 * MILLISECOND),
        listen_cooldown_ns: 3000 * MILLISECOND,
        ..Options::default()
    };
    with(&options, |scene| {
        let first = scene.first;
        scene.listen(first);
        scene.subscribe();
        scene.reject(first);
        scene.read(first);
        scene.rig.pass(2002 * MILLISECOND);
        assert_eq!(scene.read(first), NONE, "it rests");
        scene.rig.pass(2002 * MILLISECOND);
        assert_eq!(scene.read(first), [FOUND]);
        scene.accept(first);
        scene.rig.pass(10_000 * MILLISECOND);
        assert_eq!(scene.read(first), NONE, "it is provided");
    });
    let never = Options { listen_rematch_ns: None, ..options };
    with(&never, |scene| {
        scene.listen(scene.first);
        scene.subscribe();
        scene.reject(scene.first);
        scene.read(scene.first);
        scene.rig.pass(30_000 * MILLISECOND);
        assert_eq!(scene.read(scene.first), NONE);
    });
}

#[test]
fn a_deleted_record_is_provided_no_more() {
    everywhere(|scene| {
        if scene.topic == "EVENT" {
            return;
        }
        let (first, name) = (scene.first, scene.name.clone());
        scene.listen(first);
        let names = [name.as_bytes()];
        scene.rig.send(scene.subscriber, &bulk(Action::RecordSubscribeCreateAndRead, &names, "0"));
        scene.accept(first);
        scene.read(first);
        scene.rig.send(scene.second, &about(Action::RecordDelete, &name));
        assert_eq!(scene.read(first), [REMOVED]);
        scene.rig.send(scene.subscriber, &bulk(Action::RecordSubscribeCreateAndRead, &names, "0"));
        assert_eq!(scene.read(first), [FOUND]);
    });
}

#[test]
fn a_reader_hears_of_the_provider_before_it_reads() {
    everywhere(|scene| {
        if scene.topic == "EVENT" {
            return;
        }
        let name = scene.name.clone();
        scene.listen(scene.first);
        scene.rig.send(scene.subscriber, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "0"));
        scene.accept(scene.first);
        scene.rig.send(scene.second, &bulk(Action::RecordSubscribeCreateAndRead, &[name.as_bytes()], "0"));
        let lines = scene.read(scene.second);
        assert_eq!(lines[lines.len() - 2..], [HAS.to_owned(), "READ_RESPONSE name=NAME data={} version=0".to_owned()]);
    });
}

#[test]
fn candidates_are_shuffled_unless_told_otherwise() {
    let mut asked_first = 0;
    let mut rig = Rig::new(2);
    let listeners = [rig.client(0), rig.client(1)];
    let subscriber = rig.client(0);
    for listener in listeners {
        rig.send(listener, &about(Action::EventListen, "^n"));
        rig.read(listener);
    }
    for number in 0..200 {
        let name = format!("n{number}");
        rig.send(subscriber, &bulk(Action::EventSubscribe, &[name.as_bytes()], "0"));
        asked_first += rig.read(listeners[0]).len();
    }
    assert!((60..140).contains(&asked_first), "{asked_first}");
}

#[test]
fn a_pattern_that_takes_too_long_matches_nothing_more() {
    let limits = Limits { listen_steps_max: 500, ..Limits::default() };
    let mut rig = Rig::with(1, &Options { limits, ..Options::default() });
    let (listener, subscriber) = (rig.client(0), rig.client(0));
    let hostile = r"^(?:(?:a|aa)(?!b))+[c-z]$";
    rig.send(listener, &about(Action::EventListen, r"^(\w)\1$"));
    rig.send(listener, &about(Action::EventListen, hostile));
    rig.read(listener);
    // Of characters that might match, and an end that might.
    let name = "a".repeat(60) + "caz";
    let found =
        |pattern: &str, name: &str| format!("EVENT.SUBSCRIPTION_FOR_PATTERN_FOUND name={pattern} subscription={name}");
    rig.send(subscriber, &bulk(Action::EventSubscribe, &[b"az", name.as_bytes(), b"aaz", b"aa"], "0"));
    assert_eq!(rig.read(listener), [found(hostile, "az"), found(r"^(\w)\1$", "aa")]);
    let slow = rig.notes.iter().filter(|note| matches!(note, crate::Note::SlowPattern { .. })).count();
    assert_eq!(slow, 1);
}

#[test]
fn a_pattern_that_matches_everything_is_served_in_slices() {
    const NAMES: usize = 5000;
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        let (listener, subscriber) = (rig.client(0), rig.client(usize::from(cores) - 1));
        let names: Vec<String> = (0..NAMES).map(|number| format!("n/{number}")).collect();
        let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        rig.send(subscriber, &bulk(Action::EventSubscribe, &names, "0"));
        rig.send(listener, &about(Action::EventListen, ".*"));
        let mut found = Vec::new();
        let mut acknowledged = false;
        for round in 0..10_000 {
            let lines = rig.read(listener);
            assert!(lines.len() <= 1001 * usize::from(cores), "{} at once", lines.len());
            for line in lines {
                assert!(!acknowledged, "the acknowledgement comes last");
                acknowledged = line == "EVENT.LISTEN name=.* ack";
                found.extend(line.split_once("subscription=").map(|(_, name)| name.to_owned()));
            }
            if acknowledged {
                break;
            }
            assert!(round < 9_999, "it ends");
            for name in std::mem::take(&mut found) {
                let accept = Outgoing { subscription: Some(name.as_bytes()), ..about(Action::EventListenAccept, ".*") };
                rig.send(listener, &accept);
            }
            rig.pass(2 * MILLISECOND);
        }
        let provided: usize = rig.shards.iter().map(|shard| shard.census().provided_names).sum();
        assert_eq!(provided, NAMES);
        // All of them are handed over, in slices too, and no more at once than can be answered in time.
        let heir = rig.client(0);
        rig.send(heir, &about(Action::EventListen, "^n/"));
        rig.read(heir);
        rig.drop_client(listener);
        for _ in 0..100 {
            rig.pass(2 * MILLISECOND);
        }
        let mut handed_over = 0;
        for round in 0..1000 {
            let lines = rig.read(heir);
            let asked = lines.len();
            assert!(asked <= 1000 * usize::from(cores), "{asked} at once");
            assert!(round > 0 || asked == 1000 * usize::from(cores), "{asked} while nobody answered");
            for name in lines.iter().filter_map(|line| line.split_once("subscription=")).map(|(_, name)| name) {
                let accept =
                    Outgoing { subscription: Some(name.as_bytes()), ..about(Action::EventListenAccept, "^n/") };
                rig.send(heir, &accept);
                handed_over += 1;
            }
            rig.pass(2 * MILLISECOND);
        }
        assert_eq!(handed_over, NAMES);
        let provided: usize = rig.shards.iter().map(|shard| shard.census().provided_names).sum();
        assert_eq!(provided, NAMES);
        for conn in [heir, subscriber] {
            rig.drop_client(conn);
        }
        rig.pass(2 * MILLISECOND);
        for shard in &rig.shards {
            assert_eq!(shard.census(), Census::default());
        }
    }
}

/// Who leaves the pass over the names because it is slow to answer is acknowledged once, also if it listens no more by then.
#[test]
fn a_listener_that_is_slow_to_answer_and_leaves_is_acknowledged_once() {
    let mut rig = Rig::new(2);
    let (slow, next, subscriber) = (rig.client(0), rig.client(0), rig.client(0));
    let names: Vec<String> = (0..8000).map(|number| format!("n/{number}")).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    rig.send(subscriber, &bulk(Action::EventSubscribe, &names, "0"));
    rig.send(slow, &about(Action::EventListen, "^n"));
    rig.send(next, &about(Action::EventListen, "n/"));
    let mut settled = 0;
    let mut leaves = true;
    for _ in 0..1000 {
        rig.now = rig.now.after(2 * MILLISECOND);
        let now = rig.now;
        rig.shards[1].tick(now);
        // Nobody answers, and the shard that asks knows no more than that.
        for packet in rig.take_packets(1, 0) {
            settled += usize::from(matches!(packet, Packet::Settled { conn, .. } if conn == slow));
        }
        // The other has its turn, so that the pass is not at its end yet.
        if leaves && rig.shards[1].census().asked_names > 1000 {
            leaves = false;
            rig.send_only(slow, &about(Action::EventUnlisten, "^n"));
            for packet in rig.take_packets(0, 1) {
                rig.shards[1].packet(now, Place::alone(0), packet);
            }
        }
    }
    assert!(!leaves, "it was asked as much as it may be");
    assert_eq!(settled, 2, "once for LISTEN, once for UNLISTEN");
}

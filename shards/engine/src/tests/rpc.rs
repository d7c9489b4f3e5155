use super::rig::{Rig, about, bulk};
use crate::{ConnId, Options};
use deepstream_wire::{Action, Outgoing};

const SECOND: u64 = 1_000_000_000;

fn provide(rig: &mut Rig, conn: ConnId, name: &str) {
    rig.send(conn, &bulk(Action::RpcProvide, &[name.as_bytes()], "0"));
    assert_eq!(rig.read(conn), ["RPC.PROVIDE id=0 ack"]);
}

fn said<'a>(action: Action, name: &'a str, id: &'a str, data: Option<&'a str>) -> Outgoing<'a> {
    Outgoing { correlation_id: Some(id.as_bytes()), data: data.map(str::as_bytes), ..about(action, name) }
}

fn make(rig: &mut Rig, conn: ConnId, name: &str, id: &str) {
    rig.send(conn, &said(Action::RpcRequest, name, id, Some("5")));
}

fn everywhere(test: impl Fn(&mut Rig, &str, ConnId, [ConnId; 2])) {
    for (cores, owner, requestor, first, second) in [(1, 0, 0, 0, 0), (2, 0, 0, 1, 0), (2, 1, 0, 0, 1), (4, 3, 0, 1, 2)]
    {
        let mut rig = Rig::new(cores);
        let name = rig.name_on(owner, "add-two");
        let requestor = rig.user(requestor, "caller");
        let providers = [rig.user(first, "one"), rig.user(second, "two")];
        test(&mut rig, &name, requestor, providers);
    }
}

/// The provider that has the request, and the correlation id it was given.
fn asked(rig: &mut Rig, providers: [ConnId; 2], name: &str) -> ConnId {
    let got = providers.map(|provider| rig.read(provider));
    let asked = got.iter().position(|lines| !lines.is_empty()).expect("somebody is asked");
    assert_eq!(got[asked], [format!("RPC.REQUEST name={name} data=5 id=a")]);
    assert!(got[1 - asked].is_empty(), "one at a time");
    providers[asked]
}

#[test]
fn a_call_is_accepted_and_answered_by_its_provider() {
    everywhere(|rig, name, requestor, [provider, _]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        assert_eq!(rig.read(provider), [format!("RPC.REQUEST name={name} data=5 id=a")]);
        rig.send(provider, &said(Action::RpcAccept, name, "a", None));
        rig.send(provider, &said(Action::RpcResponse, name, "a", Some("7")));
        let answers = [format!("RPC.ACCEPT name={name} id=a"), format!("RPC.RESPONSE name={name} data=7 id=a")];
        assert_eq!(rig.read(requestor), answers);
        rig.pass(20 * SECOND);
        assert!(rig.read(requestor).is_empty(), "one terminal answer");
        rig.send(provider, &said(Action::RpcResponse, name, "a", Some("8")));
        let late = format!("RPC.INVALID_RPC_CORRELATION_ID name={name} id=a original=RESPONSE error");
        assert_eq!(rig.read(provider), [late]);
        assert!(rig.shards.iter().all(|shard| shard.census().timers < 8), "no timer of a call is left");
    });
}

#[test]
fn nobody_there_is_told_at_once() {
    everywhere(|rig, name, requestor, _| {
        make(rig, requestor, name, "a");
        assert_eq!(rig.read(requestor), [format!("RPC.NO_RPC_PROVIDER name={name} id=a")]);
    });
}

#[test]
fn a_rejected_call_goes_to_the_next_provider_and_then_nowhere() {
    everywhere(|rig, name, requestor, providers| {
        for provider in providers {
            provide(rig, provider, name);
        }
        make(rig, requestor, name, "a");
        let first = asked(rig, providers, name);
        rig.send(first, &said(Action::RpcAccept, name, "a", None));
        rig.send(first, &said(Action::RpcReject, name, "a", None));
        let second = asked(rig, providers, name);
        assert_ne!(first, second);
        rig.send(second, &said(Action::RpcAccept, name, "a", None));
        assert!(rig.read(second).is_empty(), "the first one's acceptance is not the second's");
        rig.send(second, &said(Action::RpcReject, name, "a", None));
        let answers = rig.read(requestor);
        assert_eq!(answers.last(), Some(&format!("RPC.NO_RPC_PROVIDER name={name} id=a")));
        assert_eq!(answers.len(), 3);
    });
}

#[test]
fn a_provider_that_goes_away_hands_over_at_once() {
    everywhere(|rig, name, requestor, providers| {
        for provider in providers {
            provide(rig, provider, name);
        }
        make(rig, requestor, name, "a");
        let first = asked(rig, providers, name);
        rig.send(first, &said(Action::RpcAccept, name, "a", None));
        rig.drop_client(first);
        let second = providers[usize::from(providers[0] == first)];
        assert_eq!(rig.read(second), [format!("RPC.REQUEST name={name} data=5 id=a")]);
        rig.drop_client(second);
        let answers = rig.read(requestor);
        assert_eq!(answers.last(), Some(&format!("RPC.NO_RPC_PROVIDER name={name} id=a")));
        rig.drop_client(requestor);
        for shard in &rig.shards {
            let census = shard.census();
            assert_eq!((census.calls, census.owned_names, census.timers), (0, 0, 0), "{census:?}");
        }
    });
}

#[test]
fn one_who_stops_providing_hands_over_what_it_has_not_accepted() {
    everywhere(|rig, name, requestor, providers| {
        for provider in providers {
            provide(rig, provider, name);
        }
        make(rig, requestor, name, "a");
        let first = asked(rig, providers, name);
        rig.send(first, &bulk(Action::RpcUnprovide, &[name.as_bytes()], "1"));
        assert_eq!(rig.read(first), ["RPC.UNPROVIDE id=1 ack"]);
        let second = asked(rig, providers, name);
        rig.send(second, &said(Action::RpcAccept, name, "a", None));
        rig.send(second, &bulk(Action::RpcUnprovide, &[name.as_bytes()], "1"));
        rig.send(second, &said(Action::RpcRequestError, name, "a", Some("\"no\"")));
        let answers = rig.read(requestor);
        assert_eq!(answers.last(), Some(&format!("RPC.REQUEST_ERROR name={name} data=\"no\" id=a")));
    });
}

#[test]
fn an_id_made_up_for_a_provider_is_nobody_elses_and_may_be_longer_than_theirs() {
    let limits = crate::Limits { name_bytes_max: 1, ..crate::Limits::default() };
    let mut rig = Rig::with(1, &Options { limits, ..Options::default() });
    let clients = ["a", "b", "c"].map(|user| rig.user(0, user));
    let provider = rig.user(0, "p");
    provide(&mut rig, provider, "r");
    for client in clients {
        make(&mut rig, client, "r", "~");
    }
    let lines = rig.read(provider);
    let ids: Vec<&str> = lines.iter().map(|line| line.rsplit("id=").next().expect("an id")).collect();
    assert_eq!(ids, ["~", "~1", "~2"]);
    for (id, data) in ids.iter().zip(["0", "1", "2"]) {
        rig.send(provider, &said(Action::RpcResponse, "r", id, Some(data)));
    }
    for (client, data) in clients.into_iter().zip(0..) {
        assert_eq!(rig.read(client), [format!("RPC.RESPONSE name=r data={data} id=~")]);
    }
    let mut rig = Rig::new(1);
    let clients = [rig.client(0), rig.client(0), rig.client(0)];
    let provider = rig.client(0);
    provide(&mut rig, provider, "r");
    make(&mut rig, clients[0], "r", "~1");
    make(&mut rig, clients[1], "r", "a");
    make(&mut rig, clients[2], "r", "a");
    let requests = ["~1", "a", "~2"].map(|id| format!("RPC.REQUEST name=r data=5 id={id}"));
    assert_eq!(rig.read(provider), requests);
}

#[test]
fn a_rejection_that_crosses_the_handing_over_is_no_fault() {
    everywhere(|rig, name, requestor, providers| {
        for provider in providers {
            provide(rig, provider, name);
        }
        make(rig, requestor, name, "a");
        let first = asked(rig, providers, name);
        rig.send(first, &bulk(Action::RpcUnprovide, &[name.as_bytes()], "1"));
        rig.read(first);
        asked(rig, providers, name);
        rig.send(first, &said(Action::RpcReject, name, "a", None));
        assert!(rig.read(first).is_empty());
        rig.send(first, &said(Action::RpcReject, name, "a", None));
        let told = format!("RPC.INVALID_RPC_CORRELATION_ID name={name} id=a original=REJECT error");
        assert_eq!(rig.read(first), [told], "once per call that was taken away");
        assert!(rig.read(requestor).is_empty(), "the second is still at it");
    });
}

#[test]
fn a_provider_that_had_calls_taken_away_and_left_leaves_nothing() {
    everywhere(|rig, name, requestor, [provider, other]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.send(provider, &bulk(Action::RpcUnprovide, &[name.as_bytes()], "1"));
        assert_eq!(rig.read(requestor), [format!("RPC.NO_RPC_PROVIDER name={name} id=a")]);
        for conn in [provider, other, requestor] {
            rig.drop_client(conn);
        }
        assert!(rig.shards.iter().all(|shard| shard.census() == crate::Census::default()));
    });
}

#[test]
fn silence_ends_in_one_timeout() {
    everywhere(|rig, name, requestor, [provider, _]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.pass(2 * SECOND);
        assert_eq!(rig.read(requestor), [format!("RPC.ACCEPT_TIMEOUT name={name} id=a")]);
        make(rig, requestor, name, "b");
        rig.send(provider, &said(Action::RpcAccept, name, "b", None));
        rig.pass(9 * SECOND);
        assert_eq!(rig.read(requestor), [format!("RPC.ACCEPT name={name} id=b")]);
        rig.pass(2 * SECOND);
        assert_eq!(rig.read(requestor), [format!("RPC.RESPONSE_TIMEOUT name={name} id=b")]);
        rig.pass(20 * SECOND);
        assert!(rig.read(requestor).is_empty());
    });
}

#[test]
fn a_second_acceptance_is_told_so() {
    everywhere(|rig, name, requestor, [provider, _]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.read(provider);
        rig.send(provider, &said(Action::RpcAccept, name, "a", None));
        rig.send(provider, &said(Action::RpcAccept, name, "a", None));
        assert_eq!(rig.read(provider), [format!("RPC.MULTIPLE_ACCEPT name={name} id=a")]);
        assert_eq!(rig.read(requestor), [format!("RPC.ACCEPT name={name} id=a")]);
    });
}

#[test]
fn nobody_answers_for_another() {
    everywhere(|rig, name, requestor, [provider, stranger]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.send(stranger, &said(Action::RpcResponse, name, "a", Some("666")));
        let told = format!("RPC.INVALID_RPC_CORRELATION_ID name={name} id=a original=RESPONSE error");
        assert_eq!(rig.read(stranger), [told]);
        assert!(rig.read(requestor).is_empty());
    });
}

#[test]
fn two_requestors_may_choose_the_same_id() {
    everywhere(|rig, name, requestor, [provider, other]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        make(rig, other, name, "a");
        let lines = rig.read(provider);
        let ids: Vec<&str> = lines.iter().map(|line| line.rsplit("id=").next().expect("an id")).collect();
        assert_eq!(ids[0], "a");
        assert_ne!(ids[1], "a");
        rig.send(provider, &said(Action::RpcResponse, name, ids[1], Some("2")));
        rig.send(provider, &said(Action::RpcResponse, name, ids[0], Some("1")));
        assert_eq!(rig.read(requestor), [format!("RPC.RESPONSE name={name} data=1 id=a")]);
        assert_eq!(rig.read(other), [format!("RPC.RESPONSE name={name} data=2 id=a")]);
    });
}

#[test]
fn who_answers_a_requestor_that_left_is_not_bothered_with_that() {
    everywhere(|rig, name, requestor, [provider, other]| {
        provide(rig, provider, name);
        for id in ["a", "b", "c"] {
            make(rig, requestor, name, id);
        }
        rig.read(provider);
        rig.drop_client(requestor);
        provide(rig, other, name);
        rig.send(provider, &said(Action::RpcAccept, name, "a", None));
        rig.send(provider, &said(Action::RpcResponse, name, "a", Some("1")));
        rig.send(provider, &said(Action::RpcReject, name, "b", None));
        assert!(rig.read(provider).is_empty());
        rig.send(provider, &said(Action::RpcResponse, name, "a", Some("1")));
        let told = format!("RPC.INVALID_RPC_CORRELATION_ID name={name} id=a original=RESPONSE error");
        assert_eq!(rig.read(provider), [told]);
        rig.drop_client(provider);
        assert!(rig.read(other).is_empty(), "what nobody waits for is not run again");
        rig.drop_client(other);
        assert!(rig.shards.iter().all(|shard| shard.census() == crate::Census::default()));
    });
}

#[test]
fn a_call_nobody_waits_for_ends_with_its_time() {
    everywhere(|rig, name, requestor, [provider, _]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.drop_client(requestor);
        let held = |rig: &Rig| rig.shards.iter().map(|shard| shard.census().calls).sum::<usize>();
        let before = held(rig);
        rig.pass(2 * SECOND);
        assert_eq!(held(rig), before - 1);
    });
}

#[test]
fn calls_and_their_bytes_are_bounded() {
    for (calls_max, call_bytes_max) in [(2, 1000), (1000, 2)] {
        let limits = crate::Limits { calls_max, call_bytes_max, ..crate::Limits::default() };
        let mut rig = Rig::with(1, &Options { limits, ..Options::default() });
        let (requestor, provider) = (rig.user(0, "caller"), rig.user(0, "one"));
        provide(&mut rig, provider, "r");
        for id in ["a", "b", "c"] {
            make(&mut rig, requestor, "r", id);
        }
        assert_eq!(rig.read(requestor), ["RPC.ACCEPT_TIMEOUT name=r id=c"]);
        assert_eq!(rig.read(provider).len(), 2);
        rig.send(provider, &said(Action::RpcResponse, "r", "a", None));
        make(&mut rig, requestor, "r", "d");
        assert_eq!(rig.read(provider), ["RPC.REQUEST name=r data=5 id=d"]);
    }
}

#[test]
fn names_one_connection_provides_are_bounded() {
    let limits = crate::Limits { subscriptions_per_connection_max: 2, ..crate::Limits::default() };
    let mut rig = Rig::with(1, &Options { limits, ..Options::default() });
    let provider = rig.user(0, "one");
    rig.send(provider, &bulk(Action::RpcProvide, &[b"a", b"b", b"c"], "0"));
    let told = ["RPC.INVALID_MESSAGE_DATA name=c id=0 original=PROVIDE error", "RPC.PROVIDE id=0 ack"];
    assert_eq!(rig.read(provider), told);
    rig.send(provider, &bulk(Action::RpcUnprovide, &[b"a"], "1"));
    rig.send(provider, &bulk(Action::RpcProvide, &[b"c"], "2"));
    assert_eq!(rig.read(provider), ["RPC.UNPROVIDE id=1 ack", "RPC.PROVIDE id=2 ack"]);
    rig.drop_client(provider);
    assert_eq!(rig.shards[0].census(), crate::Census::default());
}

#[test]
fn names_are_withdrawn_in_any_order() {
    let mut rig = Rig::new(2);
    let (requestor, provider, other) = (rig.user(0, "caller"), rig.user(1, "one"), rig.user(0, "two"));
    let names: Vec<String> = (0..40).map(|number| format!("name{number}")).collect();
    for conn in [provider, other] {
        let all: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        rig.send(conn, &bulk(Action::RpcProvide, &all, "0"));
    }
    let mut provided = vec![true; names.len()];
    for step in 0..200 {
        let at = step * 17 % 41 * 7 % names.len();
        let action = if provided[at] { Action::RpcUnprovide } else { Action::RpcProvide };
        provided[at] = !provided[at];
        rig.send(provider, &bulk(action, &[names[at].as_bytes()], "1"));
        assert!(!rig.read(provider).iter().any(|line| line.contains("MULTIPLE")));
    }
    rig.drop_client(other);
    for (name, provided) in names.iter().zip(provided) {
        make(&mut rig, requestor, name, "a");
        assert_eq!(rig.read(requestor).is_empty(), provided, "{name}");
    }
    rig.drop_client(provider);
    rig.drop_client(requestor);
    assert!(rig.shards.iter().all(|shard| shard.census() == crate::Census::default()));
}

#[test]
fn a_connection_that_is_being_closed_is_not_asked() {
    let mut rig = Rig::new(1);
    let (requestor, provider) = (rig.user(0, "caller"), rig.user(0, "one"));
    provide(&mut rig, provider, "r");
    for _ in 0..3 {
        rig.pass(35 * SECOND);
        rig.send(requestor, &Outgoing::new(Action::ConnectionPing));
    }
    assert_eq!(rig.closed.len(), 1, "the provider was silent for too long");
    rig.read(requestor);
    make(&mut rig, requestor, "r", "a");
    assert_eq!(rig.read(requestor), ["RPC.NO_RPC_PROVIDER name=r id=a"]);
}

#[test]
fn providing_twice_is_told_so_and_acknowledged() {
    everywhere(|rig, name, _, [provider, _]| {
        provide(rig, provider, name);
        rig.send(provider, &bulk(Action::RpcProvide, &[name.as_bytes()], "1"));
        let told = [format!("RPC.MULTIPLE_PROVIDERS name={name} original=PROVIDE"), "RPC.PROVIDE id=1 ack".into()];
        assert_eq!(rig.read(provider), told);
    });
}

#[test]
fn calls_are_spread_over_their_providers() {
    everywhere(|rig, name, requestor, providers| {
        for provider in providers {
            provide(rig, provider, name);
        }
        for number in 0..200 {
            let id = number.to_string();
            make(rig, requestor, name, &id);
        }
        let shares = providers.map(|provider| rig.read(provider).len());
        assert!(shares.iter().all(|&share| share > 60), "{shares:?}");
    });
}

#[test]
fn providers_learn_who_calls_only_where_it_is_configured() {
    for told in [false, true] {
        let options = Options { rpc_requestor_name: told, rpc_requestor_data: told, ..Options::default() };
        let mut rig = Rig::with(2, &options);
        let name = rig.name_on(1, "r");
        let (requestor, provider) = (rig.user(0, "caller"), rig.user(1, "provider"));
        provide(&mut rig, provider, &name);
        let request = said(Action::RpcRequest, &name, "a", None);
        rig.send(requestor, &Outgoing { requestor_name: Some(b"forged"), ..request });
        let caller = if told { r#" caller=caller caller-data={"me":"caller"}"# } else { "" };
        assert_eq!(rig.read(provider), [format!("RPC.REQUEST name={name} id=a{caller}")]);
    }
}

#[test]
fn a_call_that_makes_no_sense_is_refused() {
    let mut rig = Rig::new(1);
    let client = rig.client(0);
    rig.send(client, &about(Action::RpcRequest, "r"));
    rig.send(client, &said(Action::RpcRequest, "r", "a", Some("{bad")));
    let told = [
        "RPC.INVALID_MESSAGE_DATA name=r original=REQUEST error",
        "RPC.INVALID_MESSAGE_DATA name=r id=a original=REQUEST error",
    ];
    assert_eq!(rig.read(client), told);
}

#[test]
fn providers_of_many_names_come_and_go_in_any_order() {
    let mut rig = Rig::new(1);
    let names = ["a", "b", "c", "d"];
    let mut providers: Vec<(ConnId, [bool; 4])> = (0..9).map(|_| (rig.client(0), [false; 4])).collect();
    // Who is there is a name, too.
    let users = rig.shards[0].census().owned_names;
    let mut random = 1_u32;
    let mut below = |bound: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((random >> 16) % bound) as usize
    };
    for _ in 0..2000 {
        let (conn, provides) = &mut providers[below(9)];
        let name = below(4);
        match below(20) {
            0 => {
                rig.drop_client(*conn);
                (*conn, *provides) = (rig.client(0), [false; 4]);
            }
            1..=10 => {
                rig.send(*conn, &bulk(Action::RpcProvide, &[names[name].as_bytes()], "0"));
                assert_eq!(rig.read(*conn).len(), 1 + usize::from(provides[name]), "told if it does already");
                provides[name] = true;
            }
            _ => {
                rig.send(*conn, &bulk(Action::RpcUnprovide, &[names[name].as_bytes()], "0"));
                rig.read(*conn);
                provides[name] = false;
            }
        }
    }
    for (conn, _) in providers {
        rig.send(conn, &bulk(Action::RpcUnprovide, &names.map(str::as_bytes), "0"));
    }
    assert_eq!(rig.shards[0].census().owned_names, users, "nobody is left behind");
}

#[test]
fn an_answer_too_large_to_be_sent_is_told_as_that_and_no_other_provider_is_lost_to_it() {
    everywhere(|rig, name, requestor, [provider, other]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.read(provider);
        rig.send(provider, &Outgoing { correlation_id: Some(b"a"), ..about(Action::RpcAccept, name) });
        assert_eq!(rig.read(requestor), [format!("RPC.ACCEPT name={name} id=a")]);
        // One that it was asked and has not accepted is somebody else's turn.
        make(rig, requestor, name, "b");
        rig.read(provider);
        provide(rig, other, name);
        rig.read(other);
        let (now, core) = (rig.now, provider.core.index());
        rig.shards[core].goodbye(now, provider, b"", true);
        rig.drop_client(provider);
        let told = rig.read(requestor);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("RPC.REQUEST_ERROR name={name} data=\"the provider was disconnected")),
            "{told:?}"
        );
        assert!(told[0].contains("maxMessageSize") && told[0].contains("id=a"), "{told:?}");
        assert_eq!(rig.read(other), [format!("RPC.REQUEST name={name} data=5 id=b")]);
    });
}

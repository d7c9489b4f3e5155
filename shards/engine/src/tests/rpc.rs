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
fn a_requestor_that_left_costs_nothing_and_its_provider_is_told() {
    everywhere(|rig, name, requestor, [provider, _]| {
        provide(rig, provider, name);
        make(rig, requestor, name, "a");
        rig.read(provider);
        rig.drop_client(requestor);
        rig.send(provider, &said(Action::RpcResponse, name, "a", Some("1")));
        let told = format!("RPC.INVALID_RPC_CORRELATION_ID name={name} id=a original=RESPONSE error");
        assert_eq!(rig.read(provider), [told]);
    });
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

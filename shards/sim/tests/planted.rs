//! Planted bugs: the oracles find each of them within a few hundred worlds.

use deepstream_sim::{Failure, Mutation, Run};

/// The first failure of a planted bug within `seeds` worlds.
fn found(mutation: Mutation, seeds: u64) -> Option<Failure> {
    // Who is taken over is owed nothing more: rare things are rarer where clients have names, or where there are intruders.
    let named = mutation == Mutation::LoseTakeOver;
    let intruders = mutation == Mutation::TellConflict;
    // Of what is kept back nothing can be lost on a lane.
    let stored = mutation == Mutation::PublishEarly;
    (0..seeds).find_map(|seed| Run { mutation, named, intruders, stored, burdened: false, ..Run::of(seed) }.go().err())
}

fn assert_found(mutation: Mutation, seeds: u64, complaints: &[&str]) {
    let failure = found(mutation, seeds);
    let what = failure.map(|failure| failure.what);
    let known = |what: &String| complaints.iter().any(|complaint| what.contains(complaint));
    assert!(what.as_ref().is_some_and(known), "{mutation:?} within {seeds} seeds: {what:?}");
}

#[test]
fn lost_fan_out_is_missed_by_a_subscriber() {
    let complaints = ["missed", "never got", "cannot be told", "cannot see now", "and provided is"];
    assert_found(Mutation::LoseFanOut, 100, &complaints);
}

#[test]
fn repeated_fan_out_is_noticed_by_a_subscriber() {
    assert_found(Mutation::RepeatFanOut, 100, &["again", "cannot be told"]);
}

#[test]
fn swapped_deliveries_are_noticed_by_a_subscriber() {
    let complaints = ["missed", "again", "another order", "cannot be told", "and told so", "cannot see now"];
    assert_found(Mutation::SwapDeliveries, 100, &complaints);
}

#[test]
fn lost_leave_is_a_leak() {
    assert_found(Mutation::LoseLeave, 100, &["still holds"]);
}

#[test]
fn lost_reply_is_missed() {
    let complaints = ["never answered", "not answered in time", "cannot", "missed", "never got", "was not asked"];
    assert_found(Mutation::LoseReply, 100, &complaints);
}

#[test]
fn lost_call_is_missed() {
    assert_found(Mutation::LoseCall, 200, &["never answered", "not answered in time"]);
}

#[test]
fn repeated_call_is_noticed() {
    assert_found(Mutation::RepeatCall, 200, &["is asked", "was answered before", "said nothing that means"]);
}

#[test]
fn answer_of_another_is_noticed() {
    // Rare, and rarer where not everybody may do everything.
    let run = |seed| {
        Run {
            mutation: Mutation::StealAnswer,
            ruled: false,
            named: false,
            intruders: false,
            burdened: false,
            stored: false,
            ..Run::of(seed)
        }
        .go()
        .err()
    };
    let what = (0..1000).find_map(run).map(|failure| failure.what).unwrap_or_default();
    assert!(what.contains("said nothing that means") || what.contains("was ignored"), "{what}");
}

#[test]
fn slow_calls_are_not_answered_in_time() {
    assert_found(Mutation::SlowCalls, 200, &["not answered in time"]);
}

#[test]
fn lost_farewell_is_a_leak() {
    assert_found(Mutation::LoseFarewell, 100, &["still holds"]);
}

#[test]
fn lost_presence_is_noticed() {
    // A login is answered once its user is counted as online.
    let complaints = ["came and went", "leaves as often as it joined", "still holds", "is stuck"];
    assert_found(Mutation::LosePresence, 100, &complaints);
}

#[test]
fn lost_subscription_to_everybody_is_noticed() {
    assert_found(Mutation::LoseEveryone, 100, &["no rest", "not at rest", "missed that"]);
}

#[test]
fn lost_question_is_noticed() {
    assert_found(Mutation::LoseFound, 300, &["not told what it was asked", "was not asked"]);
}

#[test]
fn lost_stop_is_noticed() {
    assert_found(Mutation::LoseRemoved, 3000, &["believes that it provides"]);
}

#[test]
fn lost_acceptance_is_noticed() {
    assert_found(Mutation::LoseAccept, 300, &["believes that it provides"]);
}

#[test]
fn acceptance_of_another_is_noticed() {
    assert_found(
        Mutation::StealAccept,
        1000,
        &["never accepted", "did not begin", "never listened", "believes that it"],
    );
}

#[test]
fn name_that_is_never_tried_again_is_noticed() {
    assert_found(Mutation::NeverRematch, 2000, &["and nobody does"]);
}

#[test]
fn name_that_is_told_because_its_pattern_was_allowed_is_noticed() {
    assert_found(Mutation::TellNames, 300, &["forbid it to listen to"]);
}

#[test]
fn provider_that_is_left_alone_and_not_told_is_noticed() {
    assert_found(Mutation::StealLeave, 3000, &["which nobody else wants", "for nobody but itself"]);
}

#[test]
fn forgotten_record_is_noticed_when_it_is_acknowledged() {
    assert_found(Mutation::ForgetStored, 200, &["storage has", "lost it", "read back"]);
}

#[test]
fn aged_record_is_noticed_when_it_is_read_back() {
    assert_found(Mutation::AgeLoaded, 300, &["read back"]);
}

#[test]
fn core_that_never_hears_of_new_rules_is_noticed() {
    assert_found(Mutation::LoseRules, 200, &["may not, and", "may, and was denied", "forbid", "ended"]);
}

#[test]
fn message_judged_by_other_rules_is_noticed() {
    assert_found(Mutation::MixRules, 1000, &["may not, and", "may, and was denied"]);
}

#[test]
fn loosened_rule_is_noticed() {
    assert_found(Mutation::LoosenRules, 200, &["may not, and its event is published"]);
}

#[test]
fn tightened_rule_is_noticed() {
    let complaints = ["may, and was denied", "may go on under all rules", "and was not told what it conflicts with"];
    assert_found(Mutation::TightenRules, 200, &complaints);
}

#[test]
fn connection_taken_for_another_user_is_noticed() {
    assert_found(
        Mutation::StealIdentity,
        200,
        &["may not, and", "may, and was denied", "something else of the caller"],
    );
}

#[test]
fn lost_denial_is_missed() {
    assert_found(Mutation::LoseDenial, 300, &["never answered", "neither published nor denied", "never got"]);
}

#[test]
fn repeated_denial_is_noticed() {
    assert_found(
        Mutation::RepeatDenial,
        300,
        &[
            "is denied again",
            "answered twice",
            "was answered before",
            "that is Answered was denied",
            "does not listen",
            "events: EVENT MESSAGE_DENIED",
        ],
    );
}

#[test]
fn connection_that_does_not_hear_of_its_successor_is_noticed() {
    assert_found(Mutation::LoseTakeOver, 1000, &["bear one name"]);
}

#[test]
fn document_told_to_who_may_not_read_is_noticed() {
    assert_found(Mutation::TellConflict, 100, &["may not read, and is told"]);
}

#[test]
fn wrong_version_in_the_answer_to_a_conflict_is_noticed_where_others_wait_for_room() {
    let mutation = Mutation::AgeConflict;
    let run = |seed| Run { mutation, stored: false, ..Run::of(seed) }.go().err();
    let noticed = (0..1000).filter_map(run).any(|failure| failure.what.contains("and that is no answer"));
    assert!(noticed, "nobody was told a version that its write would have followed, and noticed");
}

#[test]
fn answer_that_waits_for_room_and_is_not_heard_of_is_missed() {
    assert_found(Mutation::LoseWithheld, 1000, &["never answered", "still holds", "is not at rest"]);
}

#[test]
fn core_that_goes_by_a_view_of_another_seed_is_noticed() {
    assert_found(Mutation::AdoptSeed, 300, &["was to refuse a view (another seed"]);
}

#[test]
fn change_that_is_seen_before_it_is_stored_is_noticed() {
    assert_found(Mutation::PublishEarly, 100, &["and storage has reached", "and storage, which has reached"]);
}

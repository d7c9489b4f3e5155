//! Planted bugs between the nodes of a cluster: the oracles find each of them within a few hundred worlds.

use deepstream_sim::{Mutation, Run};

fn assert_found(mutation: Mutation, seeds: u64, complaints: &[&str]) {
    let found = (0..seeds).find_map(|seed| Run { mutation, ..Run::cluster(seed) }.go().err());
    let known = |what: &String| complaints.iter().any(|complaint| what.contains(complaint));
    let what = found.map(|failure| format!("seed {}: {}", failure.seed, failure.what));
    println!("{mutation:?}: {what:?}");
    assert!(what.as_ref().is_some_and(known), "{mutation:?} within {seeds} seeds: {what:?}");
}

#[test]
fn bundle_that_a_link_loses_is_missed() {
    assert_found(Mutation::LoseBundle, 200, &["never", "missed", "still holds", "is stuck", "not answered", "at rest"]);
}

#[test]
fn bundle_that_a_link_gives_twice_is_noticed() {
    // An owner that is left twice by one says so by itself.
    let complaints = ["again", "twice", "still holds", "answered before", "not owed", "leaves only what it joined"];
    assert_found(Mutation::RepeatBundle, 200, &complaints);
}

#[test]
fn bundles_in_another_order_are_noticed() {
    assert_found(Mutation::SwapBundles, 500, &["another order", "missed", "still holds", "cannot be told", "never"]);
}

#[test]
fn record_that_is_stored_under_no_claim_is_noticed() {
    assert_found(Mutation::ForgetClaim, 100, &["and what was claimed is"]);
}

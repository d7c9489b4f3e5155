use super::*;

const FIRST: First<'_> = First { cluster: "here", unix_ms: 1000, seed: [3, 4] };

fn card(name: &str, incarnation: u64) -> Card {
    Card {
        name: name.into(),
        incarnation,
        grant: 1,
        address: name.as_bytes().into(),
        cores: 2,
        form: FORM,
        rules: 0,
        ready: true,
        leaving: false,
        yielded: 0,
        hears: u64::MAX,
    }
}

/// What follows until nothing does.
fn settle(charter: Option<Charter>, live: &[Card]) -> Charter {
    let mut charter = charter;
    while let Some(follows) = next(charter.as_ref(), live, &live[0], FIRST) {
        assert!(charter.is_none_or(|charter| follows.follows(charter.view.epoch(), charter.fingerprint())));
        assert_eq!(Charter::read(&follows.write()).as_ref(), Some(&follows));
        charter = Some(follows);
    }
    charter.unwrap()
}

fn numbers(charter: &Charter) -> Vec<(u8, u64)> {
    charter.view.members().iter().map(|member| (member.node.0, member.incarnation)).collect()
}

fn slots(charter: &Charter, node: u8) -> usize {
    (0..View::SLOTS as u16).filter(|&slot| charter.view.node_of(slot) == NodeId(node)).count()
}

#[test]
fn whoever_has_no_living_lease_writes_nothing() {
    let [a, b] = [card("a", 1), card("b", 2)];
    assert_eq!(next(None, std::slice::from_ref(&a), &b, FIRST), None);
    let old = Card { grant: 0, ..a.clone() };
    assert_eq!(next(None, std::slice::from_ref(&a), &old, FIRST), None);
    assert!(next(None, std::slice::from_ref(&a), &a, FIRST).is_some());
}

#[test]
fn every_node_finds_the_same() {
    let cards = [card("a", 9), card("b", 8), card("c", 7)];
    let mut turned = cards.clone();
    turned.reverse();
    let charter = settle(None, &cards);
    assert_eq!(charter, settle(None, &turned));
    assert_eq!((charter.view.epoch(), numbers(&charter)), (1000, vec![(0, 9), (1, 8), (2, 7)]));
}

#[test]
fn who_is_not_ready_is_a_member_without_slots() {
    let starting = Card { ready: false, ..card("b", 2) };
    let charter = settle(None, &[card("a", 1), starting.clone()]);
    assert_eq!((slots(&charter, 0), slots(&charter, 1)), (View::SLOTS, 0));
    let alone = settle(None, std::slice::from_ref(&starting));
    assert_eq!(slots(&alone, 0), View::SLOTS, "somebody has them");
    let ready = settle(Some(charter.clone()), &[card("a", 1), card("b", 2)]);
    assert!(slots(&ready, 1) > View::SLOTS / 3);
    for slot in 0..View::SLOTS as u16 {
        let moved = ready.view.node_of(slot) != charter.view.node_of(slot);
        assert_eq!(ready.view.generation(slot), if moved { ready.view.epoch() } else { 1000 });
    }
}

#[test]
fn who_leaves_gives_up_all_slots_and_stays_a_member() {
    let charter = settle(None, &[card("a", 1), card("b", 2)]);
    let leaving = Card { leaving: true, ..card("a", 1) };
    let left = settle(Some(charter), &[leaving, card("b", 2)]);
    assert_eq!((slots(&left, 0), slots(&left, 1), left.seats.len()), (0, View::SLOTS, 2));
}

#[test]
fn a_lease_that_follows_one_that_ended_is_a_membership_of_its_own() {
    let [a, b] = [card("a", 1), card("b", 2)];
    let charter = settle(None, &[a.clone(), b.clone()]);
    let again = settle(Some(charter.clone()), &[a, Card { grant: 2, ..b }]);
    assert_eq!(numbers(&again), numbers(&charter));
    assert_eq!(again.view.members().iter().map(|member| member.since).collect::<Vec<_>>(), [1000, again.view.epoch()]);
    for slot in 0..View::SLOTS as u16 {
        let since = if again.view.node_of(slot) == NodeId(1) { again.view.epoch() } else { 1000 };
        assert_eq!((again.view.node_of(slot), again.view.generation(slot)), (charter.view.node_of(slot), since));
    }
}

#[test]
fn numbers_come_again_as_late_as_possible() {
    let own = card("a", 1);
    let mut charter = settle(None, std::slice::from_ref(&own));
    for restart in 0..u64::from(Place::NODES_MAX) * 2 {
        let other = card("b", 100 + restart);
        charter = settle(Some(charter), &[own.clone(), other]);
        let others = u64::from(Place::NODES_MAX) - 1;
        assert_eq!(numbers(&charter), [(0, 1), (1 + (restart % others) as u8, 100 + restart)]);
    }
}

#[test]
fn a_process_gets_back_the_number_that_it_had() {
    let [a, b, c] = [card("a", 1), card("b", 2), card("c", 3)];
    let charter = settle(None, &[a.clone(), b.clone()]);
    let without = settle(Some(charter), &[a.clone(), c.clone()]);
    let again = settle(Some(without), &[a, Card { grant: 2, ..b }, c]);
    assert_eq!(numbers(&again), [(0, 1), (2, 3), (1, 2)]);
}

#[test]
fn there_are_no_more_members_than_numbers() {
    let cards: Vec<Card> = (0..70).map(|node| Card { cores: 1, ..card(&format!("node-{node:02}"), node) }).collect();
    let charter = settle(None, &cards);
    assert_eq!(charter.seats.len(), usize::from(Place::NODES_MAX));
}

#[test]
fn who_speaks_another_form_is_not_taken() {
    let other = Card { form: FORM + 1, ..card("b", 2) };
    assert_eq!(settle(None, &[card("a", 1), other]).seats.len(), 1);
}

#[test]
fn who_is_not_heard_by_most_has_no_slots() {
    let cards = [card("a", 1), card("b", 2), card("c", 3), card("d", 4)];
    let charter = settle(None, &cards);
    // The first hears nobody, and says that it does.
    let deaf = |cards: &[Card], of: &[usize]| {
        let mask = of.iter().fold(0, |mask, at| mask | 1_u64 << at);
        let mut cards = cards.to_vec();
        for (at, card) in cards.iter_mut().enumerate() {
            card.hears = if of.contains(&at) { 0 } else { !mask };
        }
        cards
    };
    let cut = settle(Some(charter.clone()), &deaf(&cards, &[0]));
    assert_eq!((slots(&cut, 0), cut.seats.len()), (0, 4));
    let healed = settle(Some(cut), &cards);
    assert!(healed.view.members().iter().all(|member| slots(&healed, member.node.0) > 0));
    // One way is no way.
    let mut one_way = cards.clone();
    one_way[3].hears = !1;
    let cut = settle(Some(charter), &one_way);
    assert_eq!((0..4).filter(|&node| slots(&cut, node) == 0).collect::<Vec<_>>(), [3]);
}

#[test]
fn of_two_that_miss_each_other_one_stays_as_it_is() {
    let [a, b] = [card("a", 1), Card { cores: 9, ..card("b", 2) }];
    let deaf = |card: &Card| Card { hears: 0, ..card.clone() };
    let alone = settle(None, std::slice::from_ref(&a));
    let joined = settle(Some(alone), &[deaf(&a), deaf(&b)]);
    assert_eq!((slots(&joined, 0), slots(&joined, 1)), (View::SLOTS, 0), "who comes takes nothing before it is heard");
    let both = settle(Some(joined), &[a.clone(), b.clone()]);
    assert!(slots(&both, 0) > 0 && slots(&both, 1) > 0);
    let cut = settle(Some(both), &[deaf(&a), deaf(&b)]);
    assert_eq!(slots(&cut, 1), View::SLOTS, "who has more cores");
}

#[test]
fn a_raised_charter_is_the_same_with_later_generations() {
    let charter = settle(None, &[card("a", 1), card("b", 2)]);
    let raised = charter.raised(0);
    assert_eq!(raised.view.epoch(), charter.view.epoch() + RAISE);
    assert_eq!(charter.raised(2).view.epoch(), charter.view.epoch() + 256 * RAISE);
    for slot in 0..View::SLOTS as u16 {
        assert_eq!(raised.view.node_of(slot), charter.view.node_of(slot));
        assert_eq!(raised.view.generation(slot), raised.view.epoch());
    }
    assert_eq!(next(Some(&raised), &[card("a", 1), card("b", 2)], &card("a", 1), FIRST), None);
}

#[test]
fn what_is_no_charter_is_not_read() {
    let bytes = settle(None, &[card("a", 1), card("b", 2)]).write();
    assert!(Charter::read(&bytes[..bytes.len() - 1]).is_none());
    assert!(Charter::read(&[&bytes[..], &[0]].concat()).is_none());
    assert!(Charter::read(&[&[2][..], &bytes[1..]].concat()).is_none());
    assert!(Charter::read(&[]).is_none());
    let card = card("a", 1).write();
    assert!(Card::read(&card).is_some() && Card::read(&card[1..]).is_none());
}

use super::*;

const WINDOW: Duration = Duration::from_mins(10);
const DELAY: Duration = Duration::from_secs(2);
const MINUTE: u64 = 60_000;

fn guesses() -> Guesses {
    Guesses::new(GuessLimits { per_address: 60, per_user: 10, window: WINDOW, delay_max: DELAY })
}

fn from(guesses: &Guesses, address: &str, user: Option<&str>, data: &str) -> Tried {
    guesses.tried(Origin::of(address), user, data.as_bytes())
}

/// Tries until a login is not judged any more. Returns how many were judged, and how many of those late.
fn guess(guesses: &mut Guesses, tried: impl Fn(usize) -> (String, Option<String>), now: u64) -> (usize, usize) {
    let (mut judged, mut late) = (0, 0);
    for attempt in 0..10_000 {
        let (address, user) = tried(attempt);
        let tried = from(guesses, &address, user.as_deref(), &attempt.to_string());
        match guesses.weigh(&tried, now) {
            Weighed::Never(_) => return (judged, late),
            Weighed::Late(delay) => {
                assert!(delay <= DELAY);
                late += 1;
            }
            Weighed::Now => assert_eq!(late, 0, "later ones are no earlier"),
        }
        judged += 1;
        guesses.refused(&tried, now);
    }
    panic!("never refused");
}

#[test]
fn one_address_has_its_number_of_guesses_the_later_half_of_them_late() {
    let mut guesses = guesses();
    // Another user each time.
    let tried = |attempt: usize| ("1.2.3.4".to_owned(), Some(format!("user {attempt}")));
    assert_eq!(guess(&mut guesses, tried, 1), (60, 29));
    assert_eq!(guesses.weigh(&from(&guesses, "1.2.3.5", None, "x"), 1), Weighed::Now, "others do not notice");
    // Time forgives, little by little.
    assert_eq!(guess(&mut guesses, tried, 1 + MINUTE).0, 6);
    assert_eq!(guess(&mut guesses, tried, 1 + 20 * MINUTE), (60, 29));
}

#[test]
fn whoever_has_a_network_has_one_number_for_it() {
    let mut guesses = guesses();
    let tried = |attempt: usize| (format!("2001:db8::{attempt:x}"), None);
    assert_eq!(guess(&mut guesses, tried, 1).0, 60);
}

#[test]
fn one_user_has_fewer_and_all_spellings_are_one() {
    let mut guesses = guesses();
    let tried = |attempt: usize| ("1.2.3.4".to_owned(), Some(["ann", "Ann ", " ANN"][attempt % 3].to_owned()));
    assert_eq!(guess(&mut guesses, tried, 1), (10, 4));
}

#[test]
fn nobody_locks_a_user_out_from_elsewhere() {
    let mut guesses = guesses();
    for attempt in 0..1000 {
        let tried = from(&guesses, &format!("10.0.{}.{}", attempt / 250, attempt % 250), Some("ann"), "guess");
        assert!(!matches!(guesses.weigh(&tried, 1), Weighed::Never(_)));
        guesses.refused(&tried, 1);
    }
    // Delayed, but still judged, as often as a person mistypes.
    for attempt in 0..PAIR_MAX {
        let tried = from(&guesses, "2.2.2.2", Some("ann"), &attempt.to_string());
        assert_eq!(guesses.weigh(&tried, 1), Weighed::Late(DELAY));
        guesses.refused(&tried, 1);
    }
    assert!(matches!(guesses.weigh(&from(&guesses, "2.2.2.2", Some("ann"), "x"), 1), Weighed::Never(_)));
    // Where the user was let in before it is not even late.
    let mut guesses = self::guesses();
    guesses.accepted(&from(&guesses, "3.3.3.3", Some("ann"), "right"), 1);
    for attempt in 0..40 {
        guesses.refused(&from(&guesses, &format!("10.1.1.{attempt}"), Some("ann"), "guess"), 2);
    }
    assert_eq!(guesses.weigh(&from(&guesses, "3.3.3.3", Some("ann"), "a new password"), 3), Weighed::Now);
    assert_eq!(guesses.weigh(&from(&guesses, "3.3.3.4", Some("ann"), "a new password"), 3), Weighed::Late(DELAY));
}

#[test]
fn what_was_accepted_is_no_guess_until_it_is_refused() {
    let mut guesses = guesses();
    let (right, wrong) =
        (from(&guesses, "1.2.3.4", Some("ann"), "right"), from(&guesses, "1.2.3.4", Some("bob"), "wrong"));
    guesses.accepted(&right, 1);
    for _ in 0..100 {
        guesses.refused(&wrong, 2);
    }
    assert!(matches!(guesses.weigh(&wrong, 3), Weighed::Never(_)));
    assert_eq!(guesses.weigh(&right, 3), Weighed::Now, "others behind its address do not count");
    assert_ne!(guesses.weigh(&from(&guesses, "1.2.3.4", Some("ann"), "guessed"), 3), Weighed::Now);
    guesses.refused(&right, 4);
    assert!(matches!(guesses.weigh(&right, 5), Weighed::Never(_)), "its password has changed");
}

#[test]
fn a_success_clears_nothing() {
    let mut guesses = guesses();
    let own = from(&guesses, "1.2.3.4", Some("mallory"), "own");
    let mut judged = 0;
    for attempt in 0..1000 {
        guesses.accepted(&own, 1);
        let tried = from(&guesses, "1.2.3.4", None, &attempt.to_string());
        if let Weighed::Never(_) = guesses.weigh(&tried, 1) {
            break;
        }
        judged += 1;
        guesses.refused(&tried, 1);
    }
    assert_eq!(judged, 60);
}

/// A hundred thousand addresses and names, each tried as often as it may be, raise nobody else's count to where it matters,
/// and displace none of those who guess.
#[test]
fn many_addresses_and_names_neither_grow_the_memory_nor_touch_the_others() {
    let mut guesses = guesses();
    for attempt in 0..60 {
        guesses.refused(&from(&guesses, "9.9.9.9", None, &attempt.to_string()), 1);
    }
    let cells = guesses.addresses.cells.len();
    for address in 0..100_000_u32 {
        let tried = from(
            &guesses,
            &std::net::Ipv4Addr::from(0x0a00_0000 + address).to_string(),
            Some(&format!("u{address}")),
            "x",
        );
        guesses.refused(&tried, 2);
        guesses.refused(&tried, 2);
    }
    assert_eq!(guesses.addresses.cells.len(), cells);
    assert!(matches!(guesses.weigh(&from(&guesses, "9.9.9.9", None, "x"), 3), Weighed::Never(_)));
    let honest = (0..1000).map(|n| from(&guesses, &format!("172.16.{}.{}", n / 250, n % 250), None, "x"));
    assert!(honest.into_iter().all(|tried| guesses.weigh(&tried, 3) == Weighed::Now));
}

#[test]
fn the_log_is_told_once_of_an_address() {
    let mut guesses = guesses();
    let told: Vec<usize> =
        (0..200).filter(|n| guesses.refused(&from(&guesses, "1.2.3.4", None, &n.to_string()), 1 + *n as u64)).collect();
    assert_eq!(told, [59]);
}

#[test]
fn nothing_is_counted_where_nothing_is_limited() {
    let limits = GuessLimits { per_address: 0, per_user: 0, window: WINDOW, delay_max: DELAY };
    let mut guesses = Guesses::new(limits);
    let tried = from(&guesses, "1.2.3.4", Some("ann"), "x");
    for _ in 0..1000 {
        assert!(!guesses.refused(&tried, 1));
        assert_eq!(guesses.weigh(&tried, 1), Weighed::Now);
    }
}

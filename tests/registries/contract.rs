//! The contract of `src/registry/mod.rs`, tested with every registry.

use deepstream::registry::{
    ABOUT_BYTES_MAX, Held, Holder, Lease, NAME_BYTES_MAX, Registry, Renewed, Seen, Swapped, VIEW_BYTES_MAX,
};
use deepstream::storage::{Kind, Request, Trouble, together};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Far longer than anything here takes, so it only ends a hang.
const PATIENCE: Duration = Duration::from_mins(1);
/// A lease that outlasts every case.
const LONG: Duration = Duration::from_mins(10);

/// A registry under test, and the means to disturb it.
pub(crate) trait Subject {
    type Registry: Registry;

    /// The registry as one process of this cluster sees it, which is going to ask for leases of this length.
    fn registry(&self, cluster: &str, ttl: Duration) -> Self::Registry;

    /// Makes the registry unreachable, or reachable again. `false`: this one does not support that.
    fn away(&self, _away: bool) -> bool {
        false
    }
}

pub(crate) fn holds(subject: &impl Subject) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        gives_a_lease_to_one_process(subject).await;
        gives_a_lease_to_one_of_many(subject).await;
        prolongs_no_lease_that_is_over(subject).await;
        ends_a_lease_that_nobody_renews(subject).await;
        replaces_a_view_for_one_of_many(subject).await;
        refuses_a_swap_without_a_lease(subject).await;
        keeps_every_byte(subject).await;
        keeps_clusters_apart(subject).await;
        tells_that_something_changed(subject).await;
        survives_calls_that_are_given_up(subject).await;
        is_away_before_it_is_open_and_once_it_is_closed(subject).await;
        goes_away_and_comes_back(subject).await;
    });
}

async fn opened<S: Subject>(subject: &S, cluster: &str, ttl: Duration) -> S::Registry {
    let registry = subject.registry(cluster, ttl);
    registry.open().await.unwrap();
    registry
}

fn lease<'l>(name: &'l str, incarnation: u64, about: &'l [u8]) -> Lease<'l> {
    Lease { name, incarnation, grant: 1, fresh: true, about, ttl: LONG }
}

fn of(name: &str, incarnation: u64) -> Held<'_> {
    Held { name, incarnation, grant: 1 }
}

async fn yours(registry: &impl Registry, lease: Lease<'_>) -> Seen {
    match registry.renew(&lease, 0).await.unwrap() {
        Renewed::Yours(seen) => seen,
        Renewed::Lapsed => panic!("{lease:?} has lapsed"),
        Renewed::Held(holder, _) => panic!("{holder:?} where {lease:?} is asked for"),
    }
}

async fn held(registry: &impl Registry, lease: Lease<'_>) -> (Holder, Duration) {
    match registry.renew(&lease, 0).await.unwrap() {
        Renewed::Held(holder, left) => (holder, left),
        other => panic!("{other:?} where {lease:?} is another's"),
    }
}

fn names(seen: &Seen) -> Vec<(&str, u64, &[u8])> {
    seen.holders.iter().map(|holder| (&*holder.name, holder.incarnation, &*holder.about)).collect()
}

async fn gives_a_lease_to_one_process(subject: &impl Subject) {
    let registry = opened(subject, "leases", LONG).await;
    let seen = yours(&registry, lease("b", 2, b"second")).await;
    assert_eq!((seen.revision, seen.view), (0, None), "there is no view yet");
    assert_eq!(names(&yours(&registry, lease("a", 1, b"")).await), [("a", 1, &b""[..]), ("b", 2, b"second")]);
    let (other, left) = held(&registry, lease("b", 3, b"third")).await;
    assert_eq!((&*other.name, other.incarnation, &*other.about), ("b", 2, &b"second"[..]));
    assert!(left > LONG / 2 && left <= LONG, "{left:?} are left of {LONG:?}");
    // Whoever holds it says something else.
    let before = registry.look(0).await.unwrap().stamp;
    let seen = yours(&registry, lease("b", 2, b"news")).await;
    assert_ne!(seen.stamp, before, "that is a change");
    assert_eq!(names(&seen), [("a", 1, &b""[..]), ("b", 2, b"news")]);
    let again = yours(&registry, lease("b", 2, b"news")).await;
    assert_eq!(again.stamp, seen.stamp, "and this is none");
    // Only its holder releases it, and that more than once.
    registry.release(of("b", 3)).await.unwrap();
    held(&registry, lease("b", 3, b"")).await;
    registry.release(of("b", 2)).await.unwrap();
    registry.release(of("b", 2)).await.unwrap();
    assert_ne!(registry.look(0).await.unwrap().stamp, again.stamp);
    assert_eq!(names(&yours(&registry, lease("b", 3, b"")).await), [("a", 1, &b""[..]), ("b", 3, b"")]);
    registry.release(of("b", 2)).await.unwrap();
    assert_eq!(registry.look(0).await.unwrap().holders.len(), 2, "it is the next one's");
    registry.close().await;
}

async fn gives_a_lease_to_one_of_many(subject: &impl Subject) {
    let mut registries = Vec::new();
    for _ in 0..8 {
        registries.push(opened(subject, "race", LONG).await);
    }
    for round in 0..60 {
        let name = format!("node {round}");
        let asked = registries.iter().zip(1..).map(|(registry, incarnation)| {
            let lease = lease(&name, incarnation, b"");
            let take: Request<'_, _> = Box::pin(async move { registry.renew(&lease, 0).await.unwrap() });
            take
        });
        let takes = together(asked.collect()).await;
        let yours = takes.iter().filter(|renewed| matches!(renewed, Renewed::Yours(_))).count();
        assert_eq!(yours, 1, "{takes:?}");
        let winner = 1 + takes.iter().position(|renewed| matches!(renewed, Renewed::Yours(_))).unwrap() as u64;
        registries[0].release(of(&name, winner)).await.unwrap();
    }
    for registry in registries {
        registry.close().await;
    }
}

async fn prolongs_no_lease_that_is_over(subject: &impl Subject) {
    let registry = opened(subject, "grants", LONG).await;
    let begun = |grant| Lease { grant, ..lease("a", 1, b"") };
    let prolonged = |grant| Lease { fresh: false, ..begun(grant) };
    let lapsed = async |lease| assert_eq!(registry.renew(&lease, 0).await.unwrap(), Renewed::Lapsed, "{lease:?}");
    lapsed(prolonged(1)).await;
    yours(&registry, begun(2)).await;
    let stamp = yours(&registry, prolonged(2)).await.stamp;
    for other in [prolonged(1), prolonged(3), begun(1)] {
        lapsed(other).await;
    }
    assert_eq!(registry.look(0).await.unwrap().stamp, stamp, "what is late does nothing");
    // One that is begun takes the place of the one before it, with its length.
    let seen = yours(&registry, begun(4)).await;
    assert_ne!(seen.stamp, stamp, "whoever knew the one before sees that it is gone");
    assert_eq!(seen.holders[0].grant, 4);
    lapsed(prolonged(2)).await;
    // What is asked in the name of another lease is not done.
    assert_eq!(registry.swap(0, b"view", Held { grant: 2, ..of("a", 1) }).await.unwrap(), Swapped::NotHeld);
    registry.release(Held { grant: 2, ..of("a", 1) }).await.unwrap();
    yours(&registry, prolonged(4)).await;
    registry.release(Held { grant: 4, ..of("a", 1) }).await.unwrap();
    lapsed(prolonged(4)).await;
    // Nor is another process told anything but that somebody holds the name.
    yours(&registry, lease("a", 2, b"")).await;
    held(&registry, prolonged(4)).await;
    held(&registry, begun(5)).await;
    registry.close().await;
}

async fn ends_a_lease_that_nobody_renews(subject: &impl Subject) {
    let registry = opened(subject, "expiry", Duration::ZERO).await;
    let ttl = registry.ttl_min();
    let short = Lease { ttl, ..lease("short", 1, b"") };
    let begun = Instant::now();
    yours(&registry, short).await;
    yours(&registry, lease("long", 1, b"")).await;
    let before = registry.look(0).await.unwrap().stamp;
    let other = Lease { incarnation: 2, ..short };
    while let Renewed::Held(_, left) = registry.renew(&other, 0).await.unwrap() {
        assert!(begun.elapsed() < PATIENCE, "it never ends");
        tokio::time::sleep(left.clamp(Duration::from_millis(1), Duration::from_millis(50))).await;
    }
    assert!(begun.elapsed() >= ttl, "after {:?} of {ttl:?}", begun.elapsed());
    assert_ne!(registry.look(0).await.unwrap().stamp, before);
    // The first one finds that it is another's; and no swap is done in its name.
    held(&registry, Lease { ttl: LONG, ..short }).await;
    assert_eq!(registry.swap(0, b"view", of("short", 1)).await.unwrap(), Swapped::NotHeld);
    // One that is over is gone for whoever only looks, too.
    let begun = Instant::now();
    while registry.look(0).await.unwrap().holders.len() > 1 {
        assert!(begun.elapsed() < PATIENCE, "it never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(registry.swap(0, b"view", of("short", 2)).await.unwrap(), Swapped::NotHeld);
    // Renewals keep it for far longer than it lasts by itself.
    let begun = Instant::now();
    yours(&registry, short).await;
    while begun.elapsed() < ttl * 3 {
        yours(&registry, short).await;
        tokio::time::sleep(ttl / 20).await;
    }
    // A shorter renewal takes nothing off.
    yours(&registry, Lease { ttl: LONG, ..short }).await;
    yours(&registry, short).await;
    assert!(held(&registry, other).await.1 > LONG / 2);
    registry.close().await;
}

async fn replaces_a_view_for_one_of_many(subject: &impl Subject) {
    let mut registries = Vec::new();
    for _ in 0..3 {
        registries.push(opened(subject, "swaps", LONG).await);
    }
    yours(&registries[0], lease("a", 1, b"")).await;
    yours(&registries[1], lease("b", 1, b"")).await;
    let mut revision = 0;
    for round in 0..10_u8 {
        let asked = (0..16_u8).map(|n| {
            let (registry, name) = (&registries[usize::from(n % 3)], ["a", "b"][usize::from(n % 2)]);
            let swap: Request<'_, _> =
                Box::pin(async move { (n, registry.swap(revision, &[round, n], of(name, 1)).await.unwrap()) });
            swap
        });
        let swaps = together(asked.collect()).await;
        let won: Vec<(u8, u64)> = swaps
            .iter()
            .filter_map(|(n, swapped)| if let Swapped::Done(revision) = *swapped { Some((*n, revision)) } else { None })
            .collect();
        let [(winner, now)] = won[..] else { panic!("one wins: {swaps:?}") };
        assert!(now > revision, "revisions ascend: {now} after {revision}");
        for (_, swapped) in swaps {
            assert!(
                matches!(swapped, Swapped::Done(at) | Swapped::Other(at) if at == now),
                "{swapped:?} while {now} is there"
            );
        }
        for registry in &registries {
            let seen = registry.look(revision).await.unwrap();
            assert_eq!((seen.revision, seen.view), (now, Some(vec![round, winner])), "all see what has ended");
            assert_eq!(registry.look(now).await.unwrap().view, None, "nobody asked for what it knows");
        }
        revision = now;
    }
    assert_eq!(registries[0].swap(0, b"", of("a", 1)).await.unwrap(), Swapped::Other(revision));
    for registry in registries {
        registry.close().await;
    }
}

async fn refuses_a_swap_without_a_lease(subject: &impl Subject) {
    let registry = opened(subject, "guarded", LONG).await;
    assert_eq!(registry.swap(0, b"view", of("a", 1)).await.unwrap(), Swapped::NotHeld);
    yours(&registry, lease("a", 1, b"")).await;
    assert_eq!(registry.swap(0, b"view", of("a", 2)).await.unwrap(), Swapped::NotHeld, "another process");
    assert_eq!(registry.look(0).await.unwrap().revision, 0);
    assert!(matches!(registry.swap(0, b"view", of("a", 1)).await.unwrap(), Swapped::Done(_)));
    registry.release(of("a", 1)).await.unwrap();
    let revision = registry.look(0).await.unwrap().revision;
    assert_eq!(registry.swap(revision, b"later", of("a", 1)).await.unwrap(), Swapped::NotHeld);
    assert_eq!(registry.look(0).await.unwrap().view.unwrap(), b"view");
    registry.close().await;
}

async fn keeps_every_byte(subject: &impl Subject) {
    let registry = opened(subject, "bytes", LONG).await;
    let every: Vec<u8> = (0..=255).collect();
    let about = every.repeat(ABOUT_BYTES_MAX / every.len());
    let long = "ä".repeat(NAME_BYTES_MAX / 2);
    let odd = ["%_\\", "a/b", "a b", "'\"`", "..", "{x}", "*", "a\u{0301}", "$1", "🙂", "a\n", &long];
    for name in odd {
        yours(&registry, lease(name, u64::MAX, &about)).await;
    }
    let seen = registry.look(0).await.unwrap();
    let told: BTreeSet<&str> = seen.holders.iter().map(|holder| &*holder.name).collect();
    assert_eq!(told, odd.into_iter().collect());
    assert!(seen.holders.iter().all(|holder| holder.incarnation == u64::MAX && holder.about == about));
    let longest = every.repeat(VIEW_BYTES_MAX / every.len());
    let Swapped::Done(revision) = registry.swap(0, &longest, of("a b", u64::MAX)).await.unwrap() else {
        panic!("it is held")
    };
    assert!(registry.look(0).await.unwrap().view.unwrap() == longest);
    assert!(matches!(registry.swap(revision, b"", of("..", u64::MAX)).await.unwrap(), Swapped::Done(_)));
    assert_eq!(registry.look(0).await.unwrap().view.unwrap(), b"", "an empty view is one");
    for name in odd {
        registry.release(of(name, u64::MAX)).await.unwrap();
    }
    assert!(registry.look(0).await.unwrap().holders.is_empty());
    registry.close().await;
}

async fn keeps_clusters_apart(subject: &impl Subject) {
    let (one, other) = (opened(subject, "apart", LONG).await, opened(subject, "apart/a", LONG).await);
    yours(&one, lease("a", 1, b"")).await;
    yours(&one, lease("a/a", 1, b"")).await;
    assert_eq!(names(&yours(&other, lease("a", 2, b"")).await), [("a", 2, &b""[..])]);
    assert!(matches!(one.swap(0, b"one", of("a", 1)).await.unwrap(), Swapped::Done(_)));
    assert_eq!(other.look(0).await.unwrap().view, None);
    assert!(matches!(other.swap(0, b"other", of("a", 2)).await.unwrap(), Swapped::Done(_)));
    assert_eq!(one.look(0).await.unwrap().view.unwrap(), b"one");
    one.close().await;
    other.close().await;
}

async fn tells_that_something_changed(subject: &impl Subject) {
    let (one, other) = (opened(subject, "bell", LONG).await, opened(subject, "bell", LONG).await);
    let mut stamp = yours(&one, lease("a", 1, b"")).await.stamp;
    for act in 0..4 {
        let wait = async {
            loop {
                timeout(PATIENCE, other.changed(stamp)).await.expect("it is told").unwrap();
                let now = other.look(0).await.unwrap().stamp;
                if now != stamp {
                    return Some(now);
                }
            }
        };
        let cause = async {
            match act {
                0 => drop(yours(&one, lease("b", 1, b"")).await),
                1 => drop(yours(&one, lease("b", 1, b"news")).await),
                2 => assert!(matches!(one.swap(0, b"view", of("b", 1)).await.unwrap(), Swapped::Done(_))),
                _ => one.release(of("b", 1)).await.unwrap(),
            }
            None
        };
        let both: Vec<Request<'_, _>> = vec![Box::pin(wait), Box::pin(cause)];
        stamp = together(both).await.into_iter().flatten().next().expect("it is told");
    }
    // What has changed already is told at once.
    timeout(PATIENCE, other.changed(stamp.wrapping_sub(1))).await.expect("it is told").unwrap();
    one.close().await;
    other.close().await;
}

async fn survives_calls_that_are_given_up(subject: &impl Subject) {
    let registry = opened(subject, "dropped", LONG).await;
    for n in 0..40_u64 {
        // Given up after some moments: it may have been done, or not.
        let asked = lease("a", n, b"");
        let given_up = timeout(Duration::from_micros(50 * n), registry.renew(&asked, 0)).await;
        if !matches!(given_up, Ok(Ok(Renewed::Yours(_)))) {
            yours(&registry, lease("a", n, b"")).await;
        }
        let revision = registry.look(0).await.unwrap().revision;
        let swapped = timeout(Duration::from_micros(50 * n), registry.swap(revision, &[n as u8], of("a", n))).await;
        if swapped.is_err() {
            let seen = registry.look(0).await.unwrap();
            let done = seen.view == Some(vec![n as u8]);
            assert!(done || seen.revision == revision, "its own, or the one before");
        }
        let _ = timeout(Duration::from_micros(50 * n), registry.release(of("a", n))).await;
        registry.release(of("a", n)).await.unwrap();
    }
    assert!(registry.look(0).await.unwrap().holders.is_empty());
    registry.close().await;
}

/// All that may be asked of one that cannot be reached.
async fn all_fail(registry: &impl Registry) {
    let kinds: [Result<(), Trouble>; 5] = [
        registry.renew(&lease("a", 1, b""), 0).await.map(drop),
        registry.release(of("a", 1)).await,
        registry.look(0).await.map(drop),
        registry.swap(0, b"", of("a", 1)).await.map(drop),
        timeout(PATIENCE, registry.changed(0)).await.expect("it does not wait for ever"),
    ];
    for (number, result) in kinds.into_iter().enumerate() {
        assert_eq!(result.map_err(|trouble| trouble.kind), Err(Kind::Away), "call {number}");
    }
}

async fn is_away_before_it_is_open_and_once_it_is_closed(subject: &impl Subject) {
    let registry = subject.registry("closed", LONG);
    all_fail(&registry).await;
    registry.open().await.unwrap();
    yours(&registry, lease("a", 1, b"")).await;
    registry.close().await;
    all_fail(&registry).await;
    registry.open().await.unwrap();
    assert_eq!(registry.look(0).await.unwrap().holders.len(), 1, "a lease outlasts its connection");
    registry.close().await;
}

async fn goes_away_and_comes_back(subject: &impl Subject) {
    let registry = opened(subject, "away", Duration::ZERO).await;
    let seen = yours(&registry, lease("a", 1, b"")).await;
    if !subject.away(true) {
        return;
    }
    let begun = Instant::now();
    all_fail(&registry).await;
    assert!(begun.elapsed() < registry.deadline() * 8 + Duration::from_secs(5), "nothing waits for what is away");
    subject.away(false);
    registry.open().await.unwrap();
    assert_eq!(names(&registry.look(0).await.unwrap()), names(&seen));
    registry.close().await;
}

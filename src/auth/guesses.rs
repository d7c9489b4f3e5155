//! Counts refused logins, so that whoever guesses passwords is answered late, and then not judged any more.
//!
//! *Owns* how many logins were refused lately, by address and by the user name they gave, for all protocols and shards
//! together. *Promises* memory of a fixed size, in which nothing is evicted and counts only fall with time; that nobody
//! is refused because others guessed at the same user name; and that a login which was accepted is accepted again from
//! the same address with the same data, whatever others do there. *Does not* read a clock: time is an argument.
//!
//! **Counting.** Each count is kept as a moment in the future. A refusal moves it on by the window divided by the
//! limit, so its distance from now says how many refusals there were, less those that time has forgiven. The counts
//! form a count-min sketch: four rows of cells, one cell of each chosen by a keyed hash, and the smallest of the four
//! is the count. An attacker does not know the key, so his refusals spread evenly and raise anybody else's count by
//! their number divided by the cells of a row. A table with an entry for each address would have to evict some, and an
//! attacker with many addresses could choose which.
//!
//! **Users.** That logins under a user's name were refused from many addresses says nothing about the next one: it may
//! be the user. So once a name was tried too often, logins under it are delayed if they come from an address where it
//! was not accepted before, and only an address that itself failed at this name is no longer judged. An attacker with
//! many addresses gets a few delayed guesses from each, and nobody can lock a user out.
//!
//! **Successes** reset no count: an attacker who has an account would log in with it between guesses. Counts only fall
//! with time.
//!
//! **Shared addresses.** All clients behind an unlisted proxy, or behind the one address of a network, share a count.
//! Login data that was accepted from there before, identical to the last byte, is judged however many were refused: it
//! is no guess.

use super::origin::Origin;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Cells of a row; a power of two.
const CELLS: usize = 1 << 15;
const ROWS: usize = 4;
const ROW_BITS: u32 = 15;
/// Refusals after which one address counts as guessing at one user, once that user's name was tried too often.
const PAIR_MAX: u32 = 5;
/// Logins that are remembered as accepted, in sets of eight.
const SETS: usize = 1 << 13;
const SET: usize = 8;
/// Sets among which the logins of one address are spread, so that an address with many logins displaces few of others.
const SETS_OF_ADDRESS: u64 = 64;
/// How long an accepted login is remembered.
const REMEMBERED_MS: u64 = 7 * 86_400_000;

/// How many logins may be refused, and what then.
#[derive(Clone, Copy, Debug)]
pub struct GuessLimits {
    /// Of one address in a window; 0: any number.
    pub per_address: u32,
    /// Of one user name in a window; 0: any number.
    pub per_user: u32,
    /// The window.
    pub window: Duration,
    /// How late a login is judged at most.
    pub delay_max: Duration,
}

/// What to do with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weighed {
    /// It is judged.
    Now,
    /// It is judged after this time.
    Late(Duration),
    /// It is not judged; it may be after this time.
    Never(Duration),
}

/// A login, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    address: u64,
    /// The user name, if it gave one, and that together with the address.
    user: Option<(u64, u64)>,
    /// A hash of all of its data.
    whole: u64,
}

/// See the module.
pub(super) struct Guesses {
    limits: GuessLimits,
    hasher: RandomState,
    addresses: Counts,
    users: Counts,
    pairs: Counts,
    accepted: Accepted,
    /// Addresses that the log has already reported.
    told: Accepted,
}

impl Guesses {
    pub(super) fn new(limits: GuessLimits) -> Self {
        let counts = |max: u32| Counts::new(max, limits.window);
        Self {
            hasher: RandomState::new(),
            addresses: counts(limits.per_address),
            users: counts(limits.per_user),
            pairs: counts(PAIR_MAX.min(limits.per_user)),
            accepted: Accepted::default(),
            told: Accepted::default(),
            limits,
        }
    }

    /// What counts of a login.
    pub(super) fn tried(&self, origin: Origin, user: Option<&str>, data: &[u8]) -> Tried {
        // Some webhooks ignore case, so all spellings of a name share one count; for those that do not, this does no
        // harm.
        let user = user.map(|user| user.trim().to_lowercase());
        Tried {
            address: self.hasher.hash_one(("address", origin)),
            user: user
                .map(|user| (self.hasher.hash_one(("user", &user)), self.hasher.hash_one((origin, "user", &user)))),
            whole: self.hasher.hash_one((origin, data)),
        }
    }

    pub(super) fn weigh(&self, tried: &Tried, now_ms: u64) -> Weighed {
        if self.accepted.has(tried.address, tried.whole, now_ms) {
            return Weighed::Now;
        }
        let address = self.addresses.level(tried.address, now_ms);
        if let Some(until) = address.over {
            return Weighed::Never(until);
        }
        let mut late = address.late;
        if let Some((user, pair)) = tried.user
            && !self.accepted.has(tried.address, pair, now_ms)
        {
            let user = self.users.level(user, now_ms);
            match (user.over, self.pairs.level(pair, now_ms).over) {
                (Some(until), Some(until_pair)) => return Weighed::Never(until.min(until_pair)),
                (Some(_), None) => late = 1.0,
                (None, _) => late = late.max(user.late),
            }
        }
        let delay = self.limits.delay_max.mul_f64(late);
        if delay < Duration::from_millis(1) { Weighed::Now } else { Weighed::Late(delay) }
    }

    /// Counts a refused login. Returns whether to log that no more logins of its address are judged.
    pub(super) fn refused(&mut self, tried: &Tried, now_ms: u64) -> bool {
        self.accepted.forget(tried.address, tried.whole);
        if let Some((user, pair)) = tried.user {
            self.users.add(user, now_ms);
            self.pairs.add(pair, now_ms);
        }
        self.addresses.add(tried.address, now_ms);
        let over = self.addresses.level(tried.address, now_ms).over.is_some();
        over && {
            // The same address is reported again after an hour.
            const NEWS_MS: u64 = 3_600_000;
            let known = self.told.has_since(tried.address, tried.address, now_ms.saturating_sub(NEWS_MS));
            self.told.put(tried.address, tried.address, now_ms);
            !known
        }
    }

    pub(super) fn accepted(&mut self, tried: &Tried, now_ms: u64) {
        self.accepted.put(tried.address, tried.whole, now_ms);
        if let Some((_, pair)) = tried.user {
            self.accepted.put(tried.address, pair, now_ms);
        }
    }
}

/// A count-min sketch: how often each was counted, approximately, and never too few.
struct Counts {
    /// Moments, in milliseconds; empty if this limit is off.
    cells: Vec<u64>,
    window_ms: u64,
    /// By how much one refusal moves a cell.
    step_ms: u64,
}

/// A count beside its limit.
struct Level {
    /// How long it is over the limit.
    over: Option<Duration>,
    /// What share of the longest delay applies: 0 up to half of the limit, 1 at the limit.
    late: f64,
}

impl Counts {
    fn new(max: u32, window: Duration) -> Self {
        let window_ms = window.as_millis() as u64;
        // All zero, so that the kernel only provides pages that are written to.
        let cells = if max == 0 { Vec::new() } else { vec![0; ROWS * CELLS] };
        Self { cells, window_ms, step_ms: (window_ms / u64::from(max.max(1))).max(1) }
    }

    fn places(hash: u64) -> impl Iterator<Item = usize> {
        (0..ROWS).map(move |row| row * CELLS + (hash >> (row as u32 * ROW_BITS)) as usize % CELLS)
    }

    fn moment(&self, hash: u64) -> u64 {
        Self::places(hash).filter_map(|place| self.cells.get(place).copied()).min().unwrap_or(0)
    }

    fn level(&self, hash: u64, now_ms: u64) -> Level {
        let (ahead, half) = (self.moment(hash).saturating_sub(now_ms), self.window_ms / 2);
        let free = self.window_ms - self.step_ms;
        let over = (!self.cells.is_empty() && ahead > free).then(|| Duration::from_millis(ahead - free));
        let late = ahead.saturating_sub(half) as f64 / (self.window_ms - half).max(1) as f64;
        Level { over, late: late.min(1.0) }
    }

    fn add(&mut self, hash: u64, now_ms: u64) {
        // Logins that were under way together can exceed the limit at once. They count as one above it, so that nobody
        // waits longer than the window.
        let moment = (self.moment(hash).max(now_ms) + self.step_ms).min(now_ms + self.window_ms);
        for place in Self::places(hash) {
            if let Some(cell) = self.cells.get_mut(place) {
                *cell = (*cell).max(moment);
            }
        }
    }
}

/// Accepted logins, remembered as long as there is room.
#[derive(Default)]
struct Accepted {
    /// Hashes and when they were put there.
    entries: Vec<(u64, u64)>,
}

impl Accepted {
    fn set(address: u64, hash: u64) -> usize {
        let set = address.wrapping_add((hash % SETS_OF_ADDRESS).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (set >> 32) as usize % SETS * SET
    }

    fn has(&self, address: u64, hash: u64, now_ms: u64) -> bool {
        self.has_since(address, hash, now_ms.saturating_sub(REMEMBERED_MS))
    }

    fn has_since(&self, address: u64, hash: u64, since_ms: u64) -> bool {
        let start = Self::set(address, hash);
        let set = self.entries.get(start..start + SET).unwrap_or_default();
        set.iter().any(|&(known, at)| known == hash && at >= since_ms && at > 0)
    }

    fn put(&mut self, address: u64, hash: u64, now_ms: u64) {
        if self.entries.is_empty() {
            self.entries = vec![(0, 0); SETS * SET];
        }
        let start = Self::set(address, hash);
        let Some(set) = self.entries.get_mut(start..start + SET) else { return };
        let oldest = (0..set.len()).min_by_key(|&at| set[at].1).unwrap_or(0);
        let at = set.iter().position(|&(known, _)| known == hash).unwrap_or(oldest);
        // 0 marks an empty entry, so a real one is at least 1.
        set[at] = (hash, now_ms.max(1));
    }

    fn forget(&mut self, address: u64, hash: u64) {
        let start = Self::set(address, hash);
        for entry in self.entries.iter_mut().skip(start).take(SET).filter(|entry| entry.0 == hash) {
            *entry = (0, 0);
        }
    }
}

#[cfg(test)]
#[path = "guesses_tests.rs"]
mod tests;

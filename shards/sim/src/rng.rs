//! Randomness that is the same on every machine: xoshiro256++ seeded through splitmix64.
//!
//! *Owns* one stream of numbers. *Promises* that a seed and a salt always give the same stream.
//! *Does not* resist anybody: nothing here is secret.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The stream of a seed for one purpose: streams of different salts do not shift each other when one of them is
    /// drawn from more often than before.
    pub fn new(seed: u64, salt: &str) -> Self {
        let mut state = seed;
        for byte in salt.bytes() {
            state = splitmix(&mut state) ^ u64::from(byte);
        }
        Self([(); 4].map(|()| splitmix(&mut state)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + ((u128::from(self.bits()) * u128::from(high - low + 1)) >> 64) as u64
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }

    /// One of several, each as likely.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_salt_always_give_the_same_numbers() {
        let draw = |seed, salt| {
            let mut rng = Rng::new(seed, salt);
            [(); 3].map(|()| rng.bits())
        };
        assert_eq!(draw(7, "faults"), draw(7, "faults"));
        assert_ne!(draw(7, "faults"), draw(7, "schedule"));
        assert_ne!(draw(7, "faults"), draw(8, "faults"));
    }

    #[test]
    fn bounds_are_reached_and_never_passed() {
        let mut rng = Rng::new(1, "bounds");
        let drawn: Vec<u64> = (0..1000).map(|_| rng.between(3, 6)).collect();
        assert!((3..=6).all(|number| drawn.contains(&number)));
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
        assert_eq!(rng.below(0), 0);
    }
}

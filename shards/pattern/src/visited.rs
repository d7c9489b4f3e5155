//! Records which states of a search have failed, so that none is tried twice.
//!
//! *Owns* one bit for every state of a search: an instruction, a place in the text, and how far the repetitions around
//! that instruction are. What can still be matched from a state depends on nothing else, except in patterns with back
//! references or lookarounds: for those this is not used. *Promises* to cost nothing until a search has taken more
//! steps than ordinary ones do.

use crate::program::{Inst, Pattern};

/// Most bits of one search: 4 MiB. A search that would need more is not recorded.
const BITS_MAX: usize = 1 << 25;
/// Steps that a search takes before recording begins.
const STEPS_FREE: u64 = 256;

/// How the number of rounds of a repetition is a part of the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    /// The instructions it goes around.
    start: u32,
    end: u32,
    register: u32,
    /// Beyond this number, further rounds make no difference.
    most: u32,
    /// Of `most`.
    bits: u32,
}

/// The repetitions of a program, from the outside to the inside; `None`: its states cannot be numbered like this.
pub(crate) fn rounds(insts: &[Inst]) -> Option<Box<[Rounds]>> {
    if insts.iter().any(|inst| matches!(inst, Inst::Look { .. } | Inst::Again { .. })) {
        return None;
    }
    let loops = insts.iter().enumerate().filter_map(|(start, inst)| match *inst {
        Inst::Loop { register, min, max, end, .. } => {
            let most = if max == u32::MAX { min.saturating_add(1) } else { max };
            Some(Rounds { start: start as u32, end, register, most, bits: u32::BITS - most.leading_zeros() })
        }
        _ => None,
    });
    Some(loops.collect())
}

#[derive(Debug, Default)]
pub(crate) struct Visited {
    bits: Vec<u64>,
    /// Below this many steps left it is used.
    due: u64,
    /// Bits of the repetitions' states.
    width: u32,
    /// Places in the text.
    places: usize,
    /// It was cleared for this search.
    ready: bool,
}

impl Visited {
    /// A new search of a text of `len` units, with so many steps to go.
    pub(crate) fn begin(&mut self, pattern: &Pattern, len: usize, steps: u64) {
        self.ready = false;
        self.due = 0;
        let Some(rounds) = &pattern.rounds else { return };
        self.places = len + 1;
        // Those that are not around each other could share bits; they are few.
        self.width = rounds.iter().map(|rounds| rounds.bits.saturating_add(1)).fold(0, u32::saturating_add);
        let states = pattern.insts.len().saturating_mul(self.places);
        if self.width < usize::BITS - 1 && states.saturating_mul(1 << self.width) <= BITS_MAX {
            self.due = steps.saturating_sub(STEPS_FREE + 8 * self.places as u64);
            #[cfg(test)]
            if pattern.eager {
                self.due = steps;
            }
        }
    }

    #[inline]
    pub(crate) fn is_due(&self, steps: u64) -> bool {
        steps < self.due
    }

    /// Records a state. Returns whether it was recorded before.
    #[cold]
    pub(crate) fn insert(&mut self, pattern: &Pattern, inst: usize, at: usize, registers: &[(u32, usize)]) -> bool {
        if !self.ready {
            self.ready = true;
            let bits = (pattern.insts.len() * self.places) << self.width;
            self.bits.clear();
            self.bits.resize(bits.div_ceil(64), 0);
        }
        let mut state = inst * self.places + at;
        for rounds in pattern.rounds.iter().flatten() {
            let inside = (rounds.start..rounds.end).contains(&(inst as u32));
            let (count, began) = registers[rounds.register as usize];
            let told = if inside { (count.min(rounds.most) as usize) << 1 | usize::from(began == at) } else { 0 };
            state = state << (rounds.bits + 1) | told;
        }
        let (word, bit) = (state / 64, 1 << (state % 64));
        let was = self.bits[word] & bit != 0;
        self.bits[word] |= bit;
        was
    }
}

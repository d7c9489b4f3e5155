//! Runs a pattern.
//!
//! *Owns* backtracking: what can still be tried, and what has to be undone first, on a stack of its own. *Promises* to
//! stop, because each instruction costs a step and the stack is bounded; and that a pattern without lookarounds and
//! back references never takes exponential time: the number of steps is bounded by its states times the length of the
//! text, times the length of its straight parts (`visited.rs`). *Does not* recurse except for lookarounds, which nest
//! no deeper than a pattern has brackets.

use smallvec::{SmallVec, smallvec};
use thiserror::Error;

use crate::fold::canonical;
use crate::program::{Inst, Pattern};
use crate::visited::Visited;

/// Most entries of the stack; beyond that the match ends as if its steps were used up.
const STACK_MAX: usize = 1 << 16;
const NONE: usize = usize::MAX;

/// How many steps are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Instructions that may still be executed.
    pub steps: u64,
}

impl Budget {
    /// So many steps.
    pub fn new(steps: u64) -> Self {
        Self { steps }
    }

    /// Uses up some steps.
    #[inline]
    pub fn spend(&mut self, steps: u64) -> Result<(), Exhausted> {
        let Some(left) = self.steps.checked_sub(steps) else {
            self.steps = 0;
            return Err(Exhausted);
        };
        self.steps = left;
        Ok(())
    }
}

/// The budget is used up, and it is not known whether there is a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("took too many steps")]
pub struct Exhausted;

/// A text, as code units.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// All of it is ASCII.
    Ascii(&'a [u8]),
    /// Anything else.
    Utf16(&'a [u16]),
}

impl Input<'_> {
    /// How many units.
    pub fn len(self) -> usize {
        match self {
            Self::Ascii(bytes) => bytes.len(),
            Self::Utf16(units) => units.len(),
        }
    }

    /// None at all.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn unit(self, at: usize) -> Option<u32> {
        match self {
            Self::Ascii(bytes) => bytes.get(at).map(|byte| u32::from(*byte)),
            Self::Utf16(units) => units.get(at).map(|unit| u32::from(*unit)),
        }
    }

    /// The character at `at`, and where the next one is.
    #[inline]
    pub(crate) fn next(self, at: usize, unicode: bool) -> Option<(u32, usize)> {
        let unit = self.unit(at)?;
        if unicode
            && (0xd800..0xdc00).contains(&unit)
            && let Some(low @ 0xdc00..0xe000) = self.unit(at + 1)
        {
            return Some((join(unit, low), at + 2));
        }
        Some((unit, at + 1))
    }

    /// The character before `at`, and where it begins.
    #[inline]
    fn previous(self, at: usize, unicode: bool) -> Option<(u32, usize)> {
        let unit = self.unit(at.checked_sub(1)?)?;
        if unicode
            && (0xdc00..0xe000).contains(&unit)
            && at >= 2
            && let Some(high @ 0xd800..0xdc00) = self.unit(at - 2)
        {
            return Some((join(high, unit), at - 2));
        }
        Some((unit, at - 1))
    }

    #[inline]
    fn read(self, at: usize, unicode: bool, back: bool) -> Option<(u32, usize)> {
        if back { self.previous(at, unicode) } else { self.next(at, unicode) }
    }
}

fn join(high: u32, low: u32) -> u32 {
    0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
}

/// Where something stands, in code units; end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first unit.
    pub start: usize,
    /// Behind the last unit.
    pub end: usize,
}

/// A match and its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    ends: SmallVec<[usize; 8]>,
}

impl Match {
    /// Where the group matched; 0 is the whole. `None` if it took no part.
    pub fn group(&self, group: usize) -> Option<Span> {
        let (start, end) = (*self.ends.get(group * 2)?, *self.ends.get(group * 2 + 1)?);
        (start != NONE && end != NONE).then_some(Span { start, end })
    }

    /// The whole.
    pub fn whole(&self) -> Span {
        Span { start: self.ends[0], end: self.ends[1] }
    }
}

/// Memory for matching, to be reused.
#[derive(Debug, Default)]
pub struct Scratch {
    stack: Vec<Entry>,
    visited: Visited,
}

pub(crate) fn search(
    pattern: &Pattern,
    input: Input<'_>,
    start: usize,
    budget: &mut Budget,
    scratch: &mut Scratch,
) -> Result<Option<Match>, Exhausted> {
    let unicode = pattern.flags.unicode;
    // With a leading `^` there is only one place to try.
    let anchored = pattern.flags.sticky || matches!(pattern.insts.get(1), Some(Inst::LineStart { multiline: false }));
    scratch.stack.clear();
    scratch.visited.begin(pattern, input.len(), budget.steps);
    let mut machine = Machine {
        pattern,
        input,
        ends: smallvec![NONE; pattern.groups as usize * 2],
        registers: smallvec![(0, NONE); pattern.registers as usize],
        stack: &mut scratch.stack,
        visited: &mut scratch.visited,
    };
    let mut at = start;
    while at <= input.len() {
        if machine.run(0, at, budget)?.is_some() {
            return Ok(Some(Match { ends: machine.ends }));
        }
        if anchored {
            break;
        }
        machine.ends.fill(NONE);
        let tried = machine.tried_until(at);
        at = input.next(tried, unicode).map_or(input.len() + 1, |(_, next)| next);
    }
    Ok(None)
}

/// An entry of the stack: something to undo or to try.
#[derive(Debug)]
enum Entry {
    Try {
        inst: u32,
        at: usize,
    },
    /// Try a run again with one unit less, down to `low` units.
    Shorter {
        inst: u32,
        from: usize,
        count: usize,
        low: usize,
        back: bool,
    },
    End {
        end: u32,
        was: usize,
    },
    Register {
        register: u32,
        was: (u32, usize),
    },
}

struct Machine<'a> {
    pattern: &'a Pattern,
    input: Input<'a>,
    ends: SmallVec<[usize; 8]>,
    /// Rounds done, and where the last one began.
    registers: SmallVec<[(u32, usize); 4]>,
    stack: &'a mut Vec<Entry>,
    visited: &'a mut Visited,
}

impl Machine<'_> {
    /// How far a failed search from `at` has also covered the places after `at`: a pattern that begins with a run of
    /// one class has tried every place in that run.
    fn tried_until(&self, at: usize) -> usize {
        let Some(&Inst::Run { class, fold, back: false, max: u32::MAX, .. }) = self.pattern.insts.get(1) else {
            return at;
        };
        let mut end = at;
        while let Some((unit, after)) = self.input.next(end, false)
            && self.is_in(class, fold, unit)
        {
            end = after;
        }
        end
    }

    /// Whether this state was already tried without success.
    #[inline]
    fn was_here(&mut self, inst: usize, at: usize, budget: Budget) -> bool {
        self.visited.is_due(budget.steps) && self.visited.insert(self.pattern, inst, at, &self.registers)
    }

    /// Runs from `inst` to `Found`; gives the position there. On failure everything is as it was.
    fn run(&mut self, inst: u32, at: usize, budget: &mut Budget) -> Result<Option<usize>, Exhausted> {
        let base = self.stack.len();
        let (mut next, mut at) = (inst as usize, at);
        loop {
            budget.spend(1)?;
            if self.stack.len() - base > STACK_MAX {
                return Err(Exhausted);
            }
            let here = next;
            next += 1;
            let went = match &self.pattern.insts[here] {
                Inst::Found => {
                    // Alternatives are dropped; what has to be undone stays on the stack for the code around the
                    // lookaround.
                    let mut kept = base;
                    for index in base..self.stack.len() {
                        if matches!(self.stack[index], Entry::End { .. } | Entry::Register { .. }) {
                            self.stack.swap(kept, index);
                            kept += 1;
                        }
                    }
                    self.stack.truncate(kept);
                    return Ok(Some(at));
                }
                Inst::Jump(to) => {
                    next = *to as usize;
                    true
                }
                Inst::Split { first, second } => {
                    self.stack.push(Entry::Try { inst: *second, at });
                    next = *first as usize;
                    true
                }
                Inst::Look { negative, end } => {
                    let found = self.run(next as u32, at, budget)?.is_some();
                    next = *end as usize;
                    if found && *negative {
                        // Also undoes what the lookaround captured.
                        false
                    } else {
                        found != *negative
                    }
                }
                Inst::Loop { .. } if self.was_here(here, at, *budget) => false,
                Inst::Loop { register, min, max, greedy, end } => {
                    let rounds = self.registers[*register as usize].0;
                    if rounds >= *max {
                        next = *end as usize;
                    } else if rounds >= *min {
                        if *greedy {
                            self.stack.push(Entry::Try { inst: *end, at });
                        } else {
                            self.stack.push(Entry::Try { inst: next as u32, at });
                            next = *end as usize;
                        }
                    }
                    true
                }
                Inst::RoundEnd { register, min, start } => {
                    let (rounds, began) = self.registers[*register as usize];
                    next = *start as usize;
                    began != at || rounds <= *min
                }
                Inst::Run { class, fold, back, min, max } => {
                    self.run_of(next, *class, *fold, *back, (*min, *max), &mut at, budget)?
                }
                Inst::Again { groups, fold, back } => self.again(groups, *fold, *back, &mut at, budget)?,
                inst => self.simple(inst, &mut at),
            };
            if !went {
                match self.undo(base, budget)? {
                    Some((inst, position)) => (next, at) = (inst, position),
                    None => return Ok(None),
                }
            }
        }
    }

    /// Goes back to the latest alternative.
    fn undo(&mut self, base: usize, budget: &mut Budget) -> Result<Option<(usize, usize)>, Exhausted> {
        while self.stack.len() > base {
            budget.spend(1)?;
            match self.stack.last_mut() {
                Some(Entry::Shorter { inst, from, count, low, back }) if *count > *low => {
                    *count -= 1;
                    let at = if *back { *from - *count } else { *from + *count };
                    let inst = *inst as usize;
                    if self.was_here(inst, at, *budget) {
                        continue;
                    }
                    return Ok(Some((inst, at)));
                }
                _ => {}
            }
            match self.stack.pop() {
                Some(Entry::Try { inst, at }) => {
                    if !self.was_here(inst as usize, at, *budget) {
                        return Ok(Some((inst as usize, at)));
                    }
                }
                Some(Entry::End { end, was }) => self.ends[end as usize] = was,
                Some(Entry::Register { register, was }) => self.registers[register as usize] = was,
                Some(Entry::Shorter { .. }) | None => {}
            }
        }
        Ok(None)
    }

    fn simple(&mut self, inst: &Inst, at: &mut usize) -> bool {
        let unicode = self.pattern.flags.unicode;
        match inst {
            Inst::Char { unit, fold, back } => match self.input.read(*at, unicode, *back) {
                Some((read, next)) => {
                    *at = next;
                    *unit == if *fold { canonical(read, unicode) } else { read }
                }
                None => false,
            },
            Inst::Class { class, fold, back } => match self.input.read(*at, unicode, *back) {
                Some((read, next)) => {
                    *at = next;
                    self.is_in(*class, *fold, read)
                }
                None => false,
            },
            Inst::Save(end) => {
                self.save(*end, *at);
                true
            }
            Inst::LineStart { multiline } => {
                *at == 0 || *multiline && self.input.unit(*at - 1).is_some_and(is_line_end)
            }
            Inst::LineEnd { multiline } => {
                *at == self.input.len() || *multiline && self.input.unit(*at).is_some_and(is_line_end)
            }
            Inst::Boundary { negative, fold } => {
                let word = |unit: Option<u32>| unit.is_some_and(|unit| is_word(unit, *fold && unicode));
                let before = word(at.checked_sub(1).and_then(|before| self.input.unit(before)));
                (before != word(self.input.unit(*at))) != *negative
            }
            Inst::Reset { register } => {
                self.set(*register, (0, NONE));
                true
            }
            Inst::Round { register, groups } => {
                let rounds = self.registers[*register as usize].0;
                self.set(*register, (rounds.saturating_add(1), *at));
                for end in groups.0 * 2..groups.1 * 2 {
                    if self.ends[end as usize] != NONE {
                        self.save(end, NONE);
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn is_in(&self, class: u32, fold: bool, unit: u32) -> bool {
        let unit = if fold { canonical(unit, self.pattern.flags.unicode) } else { unit };
        self.pattern.classes[class as usize].contains(unit)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one instruction")]
    fn run_of(
        &mut self,
        next: usize,
        class: u32,
        fold: bool,
        back: bool,
        (min, max): (u32, u32),
        at: &mut usize,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let from = *at;
        let mut count = 0_usize;
        while count < max as usize {
            match self.input.read(*at, false, back) {
                Some((unit, after)) if self.is_in(class, fold, unit) => *at = after,
                _ => break,
            }
            count += 1;
        }
        budget.spend(count as u64 / 4)?;
        let low = min as usize;
        if count > low {
            self.stack.push(Entry::Shorter { inst: next as u32, from, count, low, back });
        }
        Ok(count >= low)
    }

    fn save(&mut self, end: u32, at: usize) {
        let was = std::mem::replace(&mut self.ends[end as usize], at);
        self.stack.push(Entry::End { end, was });
    }

    fn set(&mut self, register: u32, to: (u32, usize)) {
        let was = std::mem::replace(&mut self.registers[register as usize], to);
        self.stack.push(Entry::Register { register, was });
    }

    fn again(
        &self,
        groups: &[u32],
        fold: bool,
        back: bool,
        at: &mut usize,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        let span = groups.iter().find_map(|group| {
            let (start, end) = (self.ends[*group as usize * 2], self.ends[*group as usize * 2 + 1]);
            (start != NONE && end != NONE).then_some((start, end))
        });
        // A group that took no part counts as empty, which matches anywhere.
        let Some((start, end)) = span else { return Ok(true) };
        let length = end - start;
        budget.spend(length as u64 / 4)?;
        let from = if back { at.checked_sub(length) } else { Some(*at) };
        let Some(from) = from else { return Ok(false) };
        let unicode = self.pattern.flags.unicode;
        let same = (0..length).all(|offset| match (self.input.unit(start + offset), self.input.unit(from + offset)) {
            (Some(one), Some(other)) => one == other || fold && canonical(one, unicode) == canonical(other, unicode),
            _ => false,
        });
        *at = if back { from } else { from + length };
        Ok(same)
    }
}

fn is_line_end(unit: u32) -> bool {
    matches!(unit, 0x0a | 0x0d | 0x2028 | 0x2029)
}

fn is_word(unit: u32, long_s: bool) -> bool {
    matches!(unit, 0x30..=0x39 | 0x41..=0x5a | 0x5f | 0x61..=0x7a) || long_s && matches!(unit, 0x17f | 0x212a)
}

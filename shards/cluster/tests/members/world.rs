//! Processes, a bus, a registry and storage in one thread: everything that happens has its moment, drawn from a seed.

use crate::Planted;
use crate::outside::{Fences, Registry, Rng};
use crate::process::{Core, Process};
use bytes::Bytes;
use deepstream_cluster::{Answer, Ask, Charter, ForCore, Frame, LinkSettings, NoFrame, Node, Note, Said, Settings};
use deepstream_engine::{Nanos, Ticket, View};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MS;
pub(crate) const TTL: u64 = 3 * SECOND;

pub(crate) enum Happens {
    Tick { at: usize },
    Frame { to: Box<[u8]>, bytes: Bytes },
    Asked { of: usize, ask: Ask, lost: bool },
    Answered { of: usize, ticket: Ticket, answer: Answer },
    Told { of: usize, core: usize, said: ForCore },
    Yielded { of: usize, core: usize, epoch: u64 },
    Resumed { of: usize },
}

/// How bad the outside is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) failing: u64,
    pub(crate) late_ms: u64,
    pub(crate) registry_away: bool,
}

pub(crate) struct World {
    pub(crate) real: u64,
    pub(crate) rng: Rng,
    pub(crate) processes: Vec<Process>,
    pub(crate) weather: Weather,
    /// From whom to whom nothing comes through until when.
    pub(crate) cuts: BTreeMap<(usize, usize), u64>,
    pub(crate) registry: Registry,
    fences: Fences,
    queue: BinaryHeap<(Reverse<(u64, u64)>, usize)>,
    happenings: Vec<Option<Happens>>,
    planted: Planted,
    /// What operators were told, and by whom.
    pub(crate) notes: Vec<(usize, Note)>,
    /// How often the registry was asked, and how often to write a charter.
    pub(crate) asked: (usize, usize),
    /// What first cores were told of links.
    pub(crate) links: Vec<(usize, ForCore)>,
    /// What was found to be wrong.
    pub(crate) wrong: Option<String>,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Planted) -> Self {
        Self {
            real: SECOND,
            rng: Rng::new(seed),
            processes: Vec::new(),
            weather: Weather::default(),
            cuts: BTreeMap::new(),
            registry: Registry::new(planted),
            fences: Fences::new(),
            queue: BinaryHeap::new(),
            happenings: Vec::new(),
            planted,
            notes: Vec::new(),
            asked: (0, 0),
            links: Vec::new(),
            wrong: None,
        }
    }

    pub(crate) fn start(&mut self, name: &str) {
        let at = self.processes.len();
        let cores = self.rng.between(1, 3) as u16;
        let incarnation = self.rng.number();
        let settings = Settings {
            cluster: "here".into(),
            name: name.into(),
            incarnation,
            address: [at as u8].into(),
            cores,
            rules: 0,
            ttl_ns: TTL,
            // Wall clocks are an hour apart.
            unix_ms: 1_700_000_000_000 + self.rng.below(3_600_000) + self.real / MS,
            seed: [self.rng.number(), self.rng.number()],
            link: LinkSettings::default(),
        };
        let rate = self.rng.between(80, 120);
        self.processes.push(Process {
            name: name.into(),
            incarnation,
            node: Node::new(Nanos(0), settings),
            cores: (0..cores).map(|_| Core::new()).collect(),
            born: self.real,
            rate,
            alive: true,
            is_ready: false,
            is_leaving: false,
            paused_until: 0,
            tick_at: u64::MAX,
        });
        self.drain(at);
    }

    pub(crate) fn at(&mut self, real: u64, happens: Happens) {
        self.happenings.push(Some(happens));
        let number = self.happenings.len() as u64;
        self.queue.push((Reverse((real, number)), self.happenings.len() - 1));
    }

    pub(crate) fn run_until(&mut self, end: u64) {
        while self.wrong.is_none()
            && let Some(&(Reverse((real, _)), at)) = self.queue.peek()
            && real <= end
        {
            self.queue.pop();
            self.real = self.real.max(real);
            if let Some(happens) = self.happenings[at].take() {
                self.happened(happens);
            }
        }
        self.real = self.real.max(end);
    }

    /// Who is paused finds it when it goes on.
    fn waits(&self, of: usize) -> Option<u64> {
        let process = &self.processes[of];
        (process.paused_until > self.real).then_some(process.paused_until)
    }

    fn happened(&mut self, happens: Happens) {
        let of = match &happens {
            Happens::Tick { at: of }
            | Happens::Answered { of, .. }
            | Happens::Told { of, .. }
            | Happens::Yielded { of, .. }
            | Happens::Resumed { of } => Some(*of),
            Happens::Frame { to, .. } => Some(usize::from(to[0])),
            Happens::Asked { .. } => None,
        };
        if let Some(of) = of {
            if !self.processes[of].alive {
                return;
            }
            if let Some(until) = self.waits(of) {
                return self.at(until, happens);
            }
        }
        match happens {
            Happens::Tick { at } => {
                self.processes[at].tick_at = u64::MAX;
                self.feed(at, Node::tick);
            }
            Happens::Frame { to, bytes } => {
                let bytes = self.tampered(usize::from(to[0]), bytes);
                self.feed(usize::from(to[0]), |node, now| {
                    // There are two clusters for a while if a registry that loses all is written to again by who knew nothing.
                    assert!(matches!(node.heard(now, &bytes), Ok(()) | Err(NoFrame::Foreign)), "a node writes frames");
                });
            }
            Happens::Asked { of, ask, lost } => self.carry_out(of, &ask, lost),
            Happens::Answered { of, ticket, answer } => self.feed(of, |node, now| node.answered(now, ticket, answer)),
            Happens::Told { of, core, said } => self.told(of, core, &said),
            Happens::Yielded { of, core, epoch } => {
                self.feed(of, |node, now| node.yielded(now, core as u16, epoch));
            }
            Happens::Resumed { of } => self.feed(of, Node::tick),
        }
    }

    fn tampered(&self, to: usize, bytes: Bytes) -> Bytes {
        if self.planted != Planted::ClaimBesideOwner {
            return bytes;
        }
        let mut frame = Frame::read(&bytes).expect("a node writes frames");
        if let Said::Beat { yielded, .. } = &mut frame.said {
            *yielded = self.processes[to].node.standing().charter;
        }
        let mut forged = Vec::new();
        frame.write(&mut forged);
        forged.into()
    }

    pub(crate) fn feed(&mut self, of: usize, input: impl FnOnce(&mut Node, Nanos)) {
        let process = &mut self.processes[of];
        let now = process.now(self.real);
        input(&mut process.node, now);
        self.drain(of);
    }

    fn drain(&mut self, of: usize) {
        while let Some(said) = self.processes[of].node.for_cores() {
            for core in 0..self.processes[of].cores.len() {
                let late = self.rng.below(if self.weather.late_ms > 0 { 30 * MS } else { MS });
                let told_at = self.processes[of].cores[core].told_at.max(self.real + late);
                self.processes[of].cores[core].told_at = told_at;
                self.at(told_at, Happens::Told { of, core, said: said.clone() });
            }
        }
        for ask in self.processes[of].node.asks() {
            self.asked.0 += usize::from(!matches!(ask, Ask::Claim { .. }));
            self.asked.1 += usize::from(matches!(ask, Ask::Swap { .. }));
            let late = self.rng.below((self.weather.late_ms + 1) * MS);
            let lost = self.rng.chance(self.weather.failing);
            self.at(self.real + MS + late, Happens::Asked { of, ask, lost });
        }
        let now = self.processes[of].now(self.real);
        let mut frame = Vec::new();
        while let Some(to) = self.processes[of].node.next_frame(now, &mut frame) {
            let bytes = Bytes::from(std::mem::take(&mut frame));
            let is_cut = self.cuts.get(&(of, usize::from(to[0]))).is_some_and(|&until| until > self.real);
            if is_cut || self.rng.chance(self.weather.lost) {
                continue;
            }
            for _ in 0..=u64::from(self.rng.chance(self.weather.repeated)) {
                let late = MS / 5 + self.rng.below(MS + self.weather.late_ms * MS / 10);
                self.at(self.real + late, Happens::Frame { to: to.clone(), bytes: bytes.clone() });
            }
        }
        let notes = self.processes[of].node.notes();
        let must_end = notes.contains(&Note::OtherCluster) || notes.contains(&Note::NumberTaken);
        let has_stopped = notes.contains(&Note::TwoClusters);
        self.notes.extend(notes.into_iter().map(|note| (of, note)));
        if must_end {
            // It ends, and whoever looks after it starts it again.
            self.processes[of].alive = false;
            let name = self.processes[of].name.clone();
            return self.start(&name);
        }
        self.processes[of].alive &= !has_stopped;
        let process = &self.processes[of];
        let tick_at = process.real(process.node.next_deadline()).max(self.real + 1000);
        if tick_at < process.tick_at {
            self.processes[of].tick_at = tick_at;
            self.at(tick_at, Happens::Tick { at: of });
        }
    }

    /// Registry and storage do what a process asks, whether it still lives or not.
    fn carry_out(&mut self, of: usize, ask: &Ask, lost: bool) {
        let away = self.weather.registry_away && !matches!(ask, Ask::Claim { .. });
        let is_lost = away || lost && self.rng.chance(50);
        let ticket = match ask {
            Ask::Renew { ticket, .. } | Ask::Swap { ticket, .. } | Ask::Claim { ticket, .. } => Some(*ticket),
            Ask::Release { .. } => None,
        };
        let mut answer = Some(Answer::Failed);
        if !is_lost {
            let done = if let Ask::Claim { slots, generation, .. } = ask {
                Some(Answer::Claimed { late: self.claim(of, slots, *generation) })
            } else {
                self.registry.carry_out(self.real, ask)
            };
            if !lost {
                answer = done;
            }
        }
        let late = self.rng.below((self.weather.late_ms + 1) * MS);
        if let (Some(ticket), Some(answer), false) = (ticket, answer, lost && self.rng.chance(50)) {
            self.at(self.real + MS + late, Happens::Answered { of, ticket, answer });
        }
    }

    fn claim(&mut self, of: usize, slots: &[u16], generation: u64) -> Vec<u16> {
        let late = self.fences.claim(slots, generation);
        for (at, other) in self.processes.iter().enumerate().filter(|(at, _)| *at != of) {
            let serving = other.serving(self.real);
            let is_served = |slot: &&u16| serving[usize::from(**slot) / 64] >> (**slot % 64) & 1 == 1;
            if let Some(slot) = slots.iter().filter(|slot| !late.contains(slot)).find(is_served) {
                self.wrong = Some(format!("{of} claims slot {slot} beside {at}, which answers for it"));
            }
        }
        late
    }

    fn told(&mut self, of: usize, core: usize, said: &ForCore) {
        let mut said = said.clone();
        if let ForCore::Leased { until, .. } = &mut said {
            match self.planted {
                Planted::LeaseNeverEnds => *until = Nanos(u64::MAX),
                Planted::LeaseFromTheAnswer => *until = self.processes[of].now(self.real).after(TTL / 3 * 2),
                _ => {}
            }
        }
        if core == 0 && matches!(said, ForCore::Restarted { .. } | ForCore::Reached { .. }) {
            self.links.push((of, said.clone()));
        }
        let process = &mut self.processes[of];
        let adopted = process.cores[core].heard(process.incarnation, &said);
        if let Some(epoch) = adopted {
            self.feed(of, |node, now| node.adopted(now, core as u16, epoch));
            // What it has to store first takes its time.
            let stored = self.real + self.rng.below(200 * MS);
            self.at(stored, Happens::Yielded { of, core, epoch });
            let process = &mut self.processes[of];
            if !process.is_ready && process.cores.iter().all(|core| core.view.is_some()) {
                process.is_ready = true;
                self.feed(of, Node::ready);
            }
        }
        self.look_at_trust(of);
    }

    /// Nobody else answers for what this process answers for.
    fn look_at_trust(&mut self, of: usize) {
        let own = self.processes[of].serving(self.real);
        for (at, other) in self.processes.iter().enumerate().filter(|(at, _)| *at != of) {
            let both = other.serving(self.real).iter().zip(own).position(|(a, b)| a & b != 0);
            if let Some(word) = both {
                self.wrong = Some(format!("{of} and {at} answer for a slot of {} to {}", word * 64, word * 64 + 63));
            }
        }
    }

    pub(crate) fn charter(&self) -> Option<Charter> {
        self.registry.charter().and_then(|bytes| Charter::read(bytes))
    }

    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|&at| self.processes[at].alive).collect()
    }

    pub(crate) fn pause(&mut self, of: usize, ns: u64) {
        let until = self.real + ns;
        self.processes[of].paused_until = until;
        self.at(until, Happens::Resumed { of });
    }

    /// The claims of another cluster on the same storage.
    pub(crate) fn claimed_by_others(&mut self, slots: &[u16], generation: u64) {
        self.fences.claim(slots, generation);
    }

    /// Everybody goes by the registry's view, and each slot is served by whom it names.
    pub(crate) fn look_at_rest(&mut self) {
        let Some(charter) = self.charter() else {
            self.wrong.get_or_insert("no charter".into());
            return;
        };
        let view = &charter.view;
        let mut wrong = Vec::new();
        let living: Vec<u64> = self.alive().iter().map(|&at| self.processes[at].incarnation).collect();
        if view.members().len() != living.len() {
            wrong.push(format!("{} members, {} alive", view.members().len(), living.len()));
        }
        for at in self.alive() {
            let process = &self.processes[at];
            let standing = process.node.standing();
            let serves: u32 = process.serving(self.real).iter().map(|word| word.count_ones()).sum();
            let member = view.members().iter().find(|member| member.incarnation == process.incarnation);
            let has =
                (0..View::SLOTS as u16).filter(|&slot| Some(view.node_of(slot)) == member.map(|member| member.node));
            let has = has.count();
            let epochs = process.cores.iter().map(|core| core.view.as_ref().map_or(0, |view| view.epoch()));
            if standing.charter != charter.fingerprint()
                || standing.epoch != view.epoch()
                || epochs.clone().any(|epoch| epoch != view.epoch())
            {
                wrong.push(format!(
                    "{at} has {} {:?}, not {}",
                    standing.epoch,
                    epochs.collect::<Vec<_>>(),
                    view.epoch()
                ));
            }
            if serves as usize != has || (has == 0) != process.is_leaving {
                wrong.push(format!("{at} serves {serves} of {has} slots: {standing:?}"));
            }
        }
        if !wrong.is_empty() {
            self.wrong.get_or_insert(wrong.join("; "));
        }
    }
}

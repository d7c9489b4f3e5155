//! One generator thread: its connections, and the load they make.
//!
//! *Owns* an epoll set and every connection of its topics. *Promises* that threads share nothing per message.
//! *Does not* decide when anything begins: the conductor does, through [`Control`].

use crate::clock::{Clock, MILLISECOND_NS, SECOND_NS};
use crate::connection::Connection;
use crate::control::Control;
use crate::dialect::deepstream;
use crate::payload::{Payload, Stamp};
use crate::plan::Plan;
use crate::poll::Poll;
use crate::role::{Around, Role};
use crate::scenario::{Closed, Kind, Pace};
use crate::schedule::{Schedule, Timing, Window};
use crate::tally::{Tally, record};
use crate::under_way::UnderWay;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a thread is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) control: &'a Control,
    pub(crate) clock: Clock,
    pub(crate) address: SocketAddr,
    /// Whether it asks for news again and again, or sleeps until there are some: it spins if it has a CPU of its own.
    pub(crate) spin: bool,
    /// Its number.
    pub(crate) thread: usize,
}

struct Member {
    connection: Connection,
    role: Role,
    opened_at: u64,
    is_ready: bool,
    wants_write: bool,
}

struct Load<'a> {
    task: Task<'a>,
    poll: Poll,
    members: Vec<Member>,
    unopened: VecDeque<Role>,
    round: usize,
    ready: usize,
    under_way: Vec<UnderWay>,
    timing: Timing,
    tally: Tally,
    buffer: Vec<u8>,
    tokens: Vec<(usize, bool)>,
}

const BUFFER_BYTES: usize = 128 << 10;
/// Bytes that may wait in one publisher's socket before it holds back; an open loop then counts the wait.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// A closed loop that heard nothing for so long gives up what is under way.
const STALL_NS: u64 = SECOND_NS;
/// After the last message, how long nothing may arrive before what is missing counts as lost.
const SILENCE_NS: u64 = SECOND_NS;

/// What a thread says that stopped because of others.
pub(crate) const STOPPED: &str = "stopped";

/// Plays a thread's part and returns what it counted.
pub(crate) fn play(task: Task<'_>) -> Result<Tally, String> {
    let scenario = &task.plan.scenario;
    let publishers = scenario.publishers;
    let mut load = Load {
        task,
        poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
        members: Vec::new(),
        unopened: task.plan.roles(task.thread, task.control.threads()).into(),
        round: 0,
        ready: 0,
        under_way: (0..publishers).map(|publisher| scenario.under_way(publisher)).collect(),
        timing: Timing::default(),
        tally: Tally::new(publishers),
        buffer: vec![0; BUFFER_BYTES],
        tokens: Vec::new(),
    };
    let done = load.open().and_then(|()| load.make());
    if done.is_err() {
        task.control.abort();
    }
    done.map(|()| load.tally)
}

impl Load<'_> {
    /// Opens connections until the conductor begins the load.
    fn open(&mut self) -> Result<(), String> {
        let Task { control, plan, thread, .. } = self.task;
        loop {
            if control.is_aborted() {
                return Err(STOPPED.to_owned());
            }
            if control.round() != self.round {
                self.round = control.round();
                self.members.clear();
                self.unopened = plan.roles(thread, control.threads()).into();
                self.ready = 0;
                self.tally = Tally::new(plan.scenario.publishers);
            }
            self.open_some()?;
            self.turn(MILLISECOND_NS)?;
            let complaints = self.tally.faults();
            if let Some(what) = complaints.keys().next() {
                return Err(format!("while connections were opened: {what}"));
            }
            // A connection that still writes the records it is going to read is not ready.
            let ready = if self.ready > 0 && self.stores()? { self.ready - 1 } else { self.ready };
            control.report(thread, self.round, ready, 0);
            if let Some(timing) = control.timing() {
                self.timing = timing;
                return Ok(());
            }
        }
    }

    fn open_some(&mut self) -> Result<(), String> {
        let Task { control, plan, clock, address, thread, .. } = self.task;
        while self.members.len() < control.share(thread)
            && self.members.len() - self.ready < plan.scenario.opening_max
            && let Some(role) = self.unopened.pop_front()
        {
            let opened_at = clock.now();
            let failed = |error| format!("cannot connect to {address}: {error}");
            let connection = Connection::open(address, plan.dialect, plan.membership(&role)).map_err(failed)?;
            if self.is_stalled(&role) {
                connection.shrink().map_err(failed)?;
            }
            self.poll.add(&connection.stream, self.members.len()).map_err(failed)?;
            self.members.push(Member { connection, role, opened_at, is_ready: false, wants_write: false });
        }
        Ok(())
    }

    fn is_stalled(&self, role: &Role) -> bool {
        matches!(role, Role::Subscriber { index, .. } if self.task.plan.scenario.is_stalled(*index))
    }

    /// Writes the records that are going to be read. Whether there is more to come.
    fn stores(&mut self) -> Result<bool, String> {
        const UNDER_WAY_MAX: u32 = 256;
        let plan = self.task.plan;
        if plan.scenario.message != Kind::RecordRead {
            return Ok(false);
        }
        let mut unfinished = false;
        for token in 0..self.members.len() {
            let member = &mut self.members[token];
            let Role::Publisher { index, sent, stored, .. } = &mut member.role else { continue };
            let mut payload = plan.payload();
            let records = plan.scenario.records;
            while member.is_ready && *stored < records && *sent < records && *sent - *stored < UNDER_WAY_MAX {
                let stamp = Stamp { at: 0, publisher: *index as u32, number: *sent };
                let (name, letters) = (plan.record(*index, *sent), stamp.letters());
                let correlation = &letters[..crate::payload::TIME_LEN];
                deepstream::store(name.as_bytes(), payload.stamped(stamp), correlation, &mut member.connection.out);
                *sent += 1;
            }
            unfinished |= *stored < records;
            if *stored == records {
                // Reads begin with the first.
                *sent = 0;
            }
            self.flush(token)?;
        }
        Ok(unfinished)
    }

    /// Makes the load, and waits for the last of it to arrive.
    fn make(&mut self) -> Result<(), String> {
        let Task { clock, plan, .. } = self.task;
        let publishers = self.publishers();
        let mut payload = plan.payload();
        let share = publishers.len() as f64 / plan.scenario.publishers.max(1) as f64;
        let mut schedule = match plan.scenario.pace {
            Pace::Open(open) if share > 0.0 => Some(Schedule::new(self.timing.start, open.rate * share)),
            _ => None,
        };
        let mut moved_at = self.timing.start;
        clock.wait_until(self.timing.start);
        loop {
            let now = clock.now();
            if now >= self.timing.until {
                break;
            }
            let mut moved = match (&mut schedule, plan.scenario.pace) {
                (Some(schedule), _) => self.send_due(schedule, &publishers, &mut payload)?,
                (None, Pace::Closed(closed)) => self.send_room(closed, &publishers, &mut payload)?,
                (None, Pace::Open(_)) => false,
            };
            let due = schedule.as_ref().map_or(MILLISECOND_NS, |schedule| schedule.due_at().saturating_sub(now));
            moved |= self.turn(due.min(MILLISECOND_NS))?;
            if moved {
                moved_at = clock.now();
                self.tally.busy_ns += if self.timing.measures(now) { moved_at - now } else { 0 };
            } else if schedule.is_none() && now - moved_at > STALL_NS {
                self.forgive(&publishers);
                moved_at = now;
            }
            self.report();
        }
        self.drain(&publishers)
    }

    fn report(&self) {
        self.task.control.report(self.task.thread, self.round, self.ready, self.tally.delivered);
    }

    /// Tokens of this thread's publishers.
    fn publishers(&self) -> Vec<usize> {
        let is_publisher = |token: &usize| matches!(self.members[*token].role, Role::Publisher { .. });
        (0..self.members.len()).filter(is_publisher).collect()
    }

    fn send_due(&mut self, schedule: &mut Schedule, tokens: &[usize], payload: &mut Payload) -> Result<bool, String> {
        const BURST_MAX: usize = 256;
        let now = self.task.clock.now();
        let mut moved = false;
        for _ in 0..BURST_MAX {
            let token = tokens[(schedule.sent() % tokens.len() as u64) as usize];
            if self.members[token].connection.waiting() > WAITING_BYTES_MAX {
                break;
            }
            let Some(due) = schedule.take(now) else { break };
            if self.timing.measures(due) {
                record(&mut self.tally.lag, now - due);
            }
            self.compose(token, due, payload);
            self.flush(token)?;
            moved = true;
        }
        Ok(moved)
    }

    fn send_room(&mut self, closed: Closed, tokens: &[usize], payload: &mut Payload) -> Result<bool, String> {
        let mut moved = false;
        for &token in tokens {
            let Role::Publisher { index, sent, .. } = self.members[token].role else { continue };
            let mut room = Window::from(closed).room(u64::from(sent), self.under_way[index].settled());
            while room > 0 && self.members[token].connection.waiting() <= WAITING_BYTES_MAX {
                let batch = closed.batch.unwrap_or(room);
                let at = self.task.clock.now();
                (0..batch).for_each(|_| self.compose(token, at, payload));
                self.flush(token)?;
                room -= batch;
                moved = true;
            }
        }
        Ok(moved)
    }

    fn compose(&mut self, token: usize, at: u64, payload: &mut Payload) {
        let Self { members, tally, timing, task, .. } = self;
        let Member { connection, role, .. } = &mut members[token];
        let Role::Publisher { index, sent, version, asked_at, .. } = role else { return };
        let stamp = Stamp { at, publisher: *index as u32, number: *sent };
        *version = version.wrapping_add(1);
        *sent += 1;
        if !asked_at.is_empty() {
            let record = stamp.number as usize % asked_at.len();
            asked_at[record] = at;
        }
        task.plan.compose(payload, *index, *version, stamp, &mut connection.out);
        tally.sent += u64::from(timing.measures(at));
    }

    /// What is under way is given up: a closed loop would wait for it for ever.
    fn forgive(&mut self, tokens: &[usize]) {
        self.tally.stalls += 1;
        for &token in tokens {
            if let Role::Publisher { index, sent, .. } = self.members[token].role {
                self.under_way[index].give_up(sent);
            }
        }
    }

    fn drain(&mut self, tokens: &[usize]) -> Result<(), String> {
        let Task { clock, plan, .. } = self.task;
        let sent = |this: &Self, token: &usize| match this.members[*token].role {
            Role::Publisher { index, sent, .. } => (index, sent),
            _ => (0, 0),
        };
        let missing = |this: &Self| {
            let behind = |(index, sent): (usize, u32)| this.under_way[index].misses(sent);
            tokens.iter().any(|token| behind(sent(this, token)))
        };
        let mut moved_at = clock.now();
        while missing(self) && clock.now() - moved_at < SILENCE_NS {
            if self.turn(MILLISECOND_NS)? {
                moved_at = clock.now();
            }
        }
        for token in tokens {
            let (index, sent) = sent(self, token);
            self.tally.sent_by[index] = sent;
        }
        let Self { members, tally, .. } = self;
        let sent_by = tally.sent_by.clone();
        for member in members {
            member.role.audit(plan, &sent_by, tally);
        }
        Ok(())
    }

    /// Takes in what came, waiting for it for `timeout_ns` unless this thread spins. Whether there was anything.
    fn turn(&mut self, timeout_ns: u64) -> Result<bool, String> {
        let mut tokens = std::mem::take(&mut self.tokens);
        let timeout = if self.task.spin { 0 } else { timeout_ns };
        self.poll.wait(Some(timeout), &mut tokens).map_err(|error| format!("epoll: {error}"))?;
        for &(token, _) in &tokens {
            self.serve(token)?;
        }
        let moved = !tokens.is_empty();
        self.tokens = tokens;
        Ok(moved)
    }

    fn serve(&mut self, token: usize) -> Result<(), String> {
        let Self { members, task, under_way, ready, timing, tally, buffer, .. } = self;
        let Task { plan, clock, .. } = *task;
        let Some(member) = members.get_mut(token) else { return Ok(()) };
        let before = *ready;
        if let Some(count) = member.connection.read(buffer) {
            let now = clock.now();
            let mut around = Around { plan, under_way, ready, timing: *timing, tally, now };
            let Member { connection, role, .. } = member;
            connection
                .received(&buffer[..count], &mut |incoming, out: &mut Vec<u8>| role.told(incoming, out, &mut around));
            if *ready > before {
                member.is_ready = true;
                record(&mut tally.opening, now - member.opened_at);
            }
        }
        let leaves = member.connection.is_closed() || member.is_ready && *ready > before && self.stalls(token);
        if leaves {
            let _ = self.poll.remove(&self.members[token].connection.stream);
            return Ok(());
        }
        self.flush(token)
    }

    fn stalls(&self, token: usize) -> bool {
        self.is_stalled(&self.members[token].role)
    }

    /// One write. A connection that breaks is noticed by its next read.
    fn flush(&mut self, token: usize) -> Result<(), String> {
        let member = &mut self.members[token];
        if member.connection.is_closed() || (member.connection.out.is_empty() && !member.wants_write) {
            return Ok(());
        }
        let more = member.connection.flush().unwrap_or(false);
        if more != member.wants_write {
            member.wants_write = more;
            let result = self.poll.want(&member.connection.stream, token, more);
            result.map_err(|error| format!("epoll: {error}"))?;
        }
        Ok(())
    }
}

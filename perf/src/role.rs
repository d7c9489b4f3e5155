//! The role of a connection in a scenario, and how it handles what it receives.

use crate::audit::Stream;
use crate::dialect::{Call, Incoming};
use crate::payload::read_time;
use crate::plan::Plan;
use crate::scenario::{Kind, Scenario};
use crate::schedule::Timing;
use crate::tally::{Tally, record};
use crate::under_way::UnderWay;

/// One connection's part.
#[derive(Debug)]
pub(crate) enum Role {
    /// Sends to its topic, and hears its answers.
    Publisher {
        /// Its number.
        index: usize,
        /// Messages it sent.
        sent: u32,
        /// Version of its record when it joined.
        version: i32,
        /// Answers.
        heard: Stream,
        /// Where records are read: when each of them was last asked for.
        asked_at: Vec<u64>,
        /// Where records are read: how many of them are stored.
        stored: u32,
    },
    /// Receives its topic: one stream per publisher of the topic.
    Subscriber {
        /// Its number.
        index: usize,
        /// By publisher, those of this topic only.
        heard: Vec<Stream>,
    },
    /// Does nothing.
    Idle,
}

/// What a part sees around it when something comes in.
pub(crate) struct Around<'a> {
    /// Names and sizes.
    pub(crate) plan: &'a Plan,
    /// By publisher: a closed loop goes on with what arrives.
    pub(crate) under_way: &'a mut [UnderWay],
    /// Connections that are ready.
    pub(crate) ready: &'a mut usize,
    /// When is measured.
    pub(crate) timing: Timing,
    /// Counts.
    pub(crate) tally: &'a mut Tally,
    /// When it came.
    pub(crate) now: u64,
}

impl Role {
    /// A publisher that has sent nothing.
    pub(crate) fn publisher(index: usize, scenario: &Scenario) -> Self {
        let records = if scenario.message == Kind::RecordRead { scenario.records as usize } else { 0 };
        Self::Publisher { index, sent: 0, version: 0, heard: Stream::default(), asked_at: vec![0; records], stored: 0 }
    }

    /// A subscriber of a topic with so many publishers.
    pub(crate) fn subscriber(index: usize, publishers: usize) -> Self {
        Self::Subscriber { index, heard: vec![Stream::default(); publishers] }
    }

    /// Something came in.
    pub(crate) fn told(&mut self, incoming: Incoming<'_>, out: &mut Vec<u8>, around: &mut Around<'_>) {
        match incoming {
            Incoming::Ready(current) => {
                *around.ready += 1;
                if let Self::Publisher { version, .. } = self {
                    *version = current;
                }
            }
            Incoming::Delivery(data, correlation) => self.delivered(data, correlation, out, around),
            Incoming::Acknowledged(correlation) => self.acknowledged(correlation, around),
            Incoming::Refused(what) => around.tally.complain(what),
            Incoming::Closed => around.tally.closed += 1,
        }
    }

    fn delivered(&mut self, data: &[u8], correlation: Option<&[u8]>, out: &mut Vec<u8>, around: &mut Around<'_>) {
        let Some(stamp) = around.plan.stamp_of(data) else {
            around.tally.foreign += 1;
            return;
        };
        let publisher = stamp.publisher as usize;
        let Scenario { topics, message, .. } = around.plan.scenario;
        let mut sent_at = stamp.at;
        match self {
            Self::Subscriber { index, heard } => {
                heard[publisher / topics].arrived(stamp.number);
                if around.plan.scenario.answers() {
                    let is_call = message == Kind::Rpc;
                    let topic = if is_call { around.plan.topic(*index) } else { around.plan.back(*index) };
                    let call = Call { topic: topic.as_bytes(), data, correlation };
                    return around.plan.dialect.answer(&call, out);
                }
            }
            Self::Publisher { asked_at, .. } if message == Kind::RecordRead => {
                // What is read was written long ago.
                sent_at = asked_at[stamp.number as usize % asked_at.len()];
            }
            Self::Publisher { heard, .. } => heard.arrived(stamp.number),
            Self::Idle => around.tally.foreign += 1,
        }
        if around.timing.measures(around.now) {
            around.tally.delivered += 1;
        }
        if around.timing.measures(sent_at) {
            record(&mut around.tally.latency, around.now.saturating_sub(sent_at));
        }
        around.under_way[publisher].delivered();
    }

    fn acknowledged(&mut self, correlation: &[u8], around: &mut Around<'_>) {
        let (Self::Publisher { index, stored, .. }, Some(at)) = (self, read_time(correlation)) else {
            around.tally.foreign += 1;
            return;
        };
        if around.plan.scenario.message == Kind::RecordRead {
            *stored += 1;
            return;
        }
        if around.timing.measures(at) {
            record(&mut around.tally.acknowledged, around.now.saturating_sub(at));
        }
        around.under_way[*index].acknowledged();
    }

    /// Adds to the tally what never came, came twice or came late.
    pub(crate) fn audit(&self, plan: &Plan, sent_by: &[u32], tally: &mut Tally) {
        let mut count = |stream: &Stream, sent: u32| {
            tally.lost += stream.lost(sent);
            tally.duplicated += stream.duplicated;
            tally.reordered += stream.reordered;
        };
        let Scenario { topics, publishers, message, .. } = plan.scenario;
        match self {
            Self::Publisher { index, heard, .. } if plan.scenario.answers() && message != Kind::RecordRead => {
                count(heard, sent_by[*index]);
            }
            Self::Subscriber { index, heard } if !plan.scenario.is_stalled(*index) => {
                let publishers = (index % topics..publishers).step_by(topics);
                heard.iter().zip(publishers).for_each(|(stream, publisher)| count(stream, sent_by[publisher]));
            }
            _ => {}
        }
    }
}

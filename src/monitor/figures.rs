//! THE LIST of figures: name, kind, unit and help of each, in the order in which they are told.
//!
//! *Promises* that no field of what the engine and the services count is missing: it would not compile.

use super::{Figure, Kind, Reading, Unit, Value};
use crate::auth::Counters as Auth;
use crate::log::Counters as Log;
use crate::service::process::Usage;
use crate::storage::Counters as Storage;
use deepstream_engine::{Census, Counters};
use hdrhistogram::Histogram;

/// What all listeners together have, and have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Sockets that are listened on.
    pub listeners: u64,
    /// Connections that are open.
    pub open_connections: u64,
    /// How many may be open.
    pub connections_max: u64,
    /// Connections refused for want of file descriptors.
    pub no_descriptor: u64,
}

/// Declares the figures of a struct of numbers, and a function that reads them: all of one kind, or each with its own.
macro_rules! figures {
    ($(#[$about:meta])* $vis:vis $read:ident of $type:ident as $kind:ident: $($name:ident $unit:ident $help:literal)*) => {
        figures! { $(#[$about])* $vis $read of $type: $($name $kind $unit $help)* }
    };
    ($(#[$about:meta])* $vis:vis $read:ident of $type:ident: $($name:ident $kind:ident $unit:ident $help:literal)*) => {
        $(#[$about])*
        $vis fn $read(of: &$type, to: &mut Vec<Reading>) {
            static FIGURES: &[Figure] = &[
                $(Figure { name: stringify!($name), kind: Kind::$kind, unit: Unit::$unit, help: $help }),*
            ];
            let $type { $($name),* } = *of;
            let values = [$($name as u64),*];
            let reading = |(figure, value)| Reading { figure, value: Value::Number(value) };
            to.extend(FIGURES.iter().zip(values).map(reading));
        }
    };
}

figures! {
    held of Census as Gauge:
    connections Items "Connections of this shard."
    remote_connections Items "Connections of other shards that have spoken to this one."
    edge_names Items "Names that connections of this shard subscribe to."
    edge_members Items "Subscriptions of the connections of this shard."
    owned_names Items "Names that this shard owns and knows something of."
    bulk_requests Items "Messages with many names that wait for some of their owners."
    calls Items "Remote procedure calls that are not answered yet."
    callers Items "Connections that provide a procedure, call one or are called."
    everyone Items "Who watches the presence of everybody, shards that have such, and users online whose names this shard owns, together."
    client_ids Items "Client ids whose names this shard owns and that a connection has."
    patterns Items "Different patterns that somebody listens to."
    listeners Items "Patterns of all listeners together."
    provided_names Items "Names that a listener provides."
    asked_names Items "Names for which a listener is asked."
    listen_work Items "Names that are still to be matched with patterns."
    timers Items "Timers of work that is under way."
    rule_lookups Items "Messages, names and connections whose rules wait for other records."
    parked_messages Items "Messages that wait for what they need."
    parked_bytes Bytes "Bytes of the messages that wait."
    pending_loads Items "Records that storage was asked for."
    pending_write_acks Items "Writers that wait to be told that their write is stored."
    dirty_records Items "Records that storage does not have yet as they are."
    unstored_answers Items "Messages about records of which something is told once storage has the record."
    resident_records Items "Records whose values are in memory."
    resident_bytes Bytes "Bytes of the values in memory."
    outbox_bytes Bytes "Bytes that wait for the sockets of connections."
    packets Items "Packets that wait for room on their way to other shards."
    held_back Items "Connections that are not read because another shard has too much to do."
    withheld Items "Answers that wait at their owners until their reader has taken earlier ones."
    held_bytes Bytes "Bytes that all connections of this shard hold together."
    asked_of_nodes Items "Requests to other nodes that are not over."
    held_requests Items "Messages that wait for the next owner of their name."
}

figures! {
    done of Counters as Counter:
    connected Items "Connections accepted."
    refused_connections Items "Connections refused because of their number."
    logins Items "Logins accepted."
    refused_logins Items "Logins refused."
    received Items "Messages of clients that are logged in."
    sent Items "Messages put into outboxes, one for each who is sent it."
    sent_bytes Bytes "Bytes of the messages put into outboxes."
    hops Items "Packets sent to other shards."
    slow_consumers Items "Connections closed because they read too slowly."
    heartbeats_missed Items "Connections closed because nothing was heard of them."
    authentication_timeouts Items "Connections closed because they did not log in in time."
    evicted Items "Record values dropped from memory to keep within its limit."
    loads Items "Records read from storage."
    stores Items "Records handed to storage."
    rule_failures Items "Permission rules that failed, which denied what they were asked for."
    shadow_judged Items "What candidate rules were asked beside those in force."
    shadow_would_allow Items "What candidate rules would allow and those in force do not."
    shadow_would_deny Items "What candidate rules would deny and those in force allow."
    shadow_would_fail Items "What candidate rules would fail at."
    shadow_undecided Items "What candidate rules would have had to look for."
}

figures! {
    /// What storage did.
    pub storage of Storage as Counter:
    commits Items "Commits to the database, of one batch or several."
    syncs Items "Times files were synced for the sake of durability."
    batches Items "Batches in the commits."
    records Items "Records in the batches."
    loads Items "Records looked up."
    claims Items "Claims of slots, made in a cluster only."
    deposed Items "Records not written because another node has claimed their slots."
    reopens Items "Times the database came back after a failure."
}

figures! {
    /// What authentication has in hand and did.
    pub auth of Auth:
    under_way Gauge Items "Logins that wait for their verdict."
    accepted Counter Items "Logins let in; those that nobody has to judge are counted by shards alone."
    refused Counter Items "Logins refused."
    unjudged Counter Items "Logins that nobody could judge."
    barred Counter Items "Logins not judged because too many like them were refused."
    called_off Counter Items "Logins that nobody waited for any more."
    crowded_out Counter Items "Logins for which there was no room among those under way."
}

figures! {
    /// What the listeners have and did.
    pub listeners of Listeners:
    listeners Gauge Items "Sockets that are listened on, one a shard and port."
    open_connections Gauge Items "Connections that are open."
    connections_max Gauge Items "Connections that may be open, with the file descriptors there are."
    no_descriptor Counter Items "Connections refused for want of file descriptors."
}

figures! {
    /// What the process uses.
    pub process of Usage:
    resident_bytes Gauge Bytes "Memory of the process that is really there."
    threads Gauge Items "Threads of the process."
    open_files Gauge Items "Open files of the process, sockets among them."
    cpu_ns Counter Nanoseconds "Time that all threads together have spent on CPUs."
}

figures! {
    /// What became of log lines.
    pub log of Log as Counter:
    lines Items "Log lines written."
    warnings Items "Warnings among them."
    errors Items "Errors among them."
    dropped_lines Items "Log lines dropped because their reader is too slow."
}

static SOCKETS: Figure =
    Figure { name: "sockets", kind: Kind::Gauge, unit: Unit::Items, help: "Open sockets of this shard." };
static TURNS: Figure = Figure {
    name: "turn_ns",
    kind: Kind::Histogram,
    unit: Unit::Nanoseconds,
    help: "How long turns took that had something to do, of which one in many is measured.",
};

/// What a shard holds, and has done.
pub fn shard(census: &Census, counters: &Counters, to: &mut Vec<Reading>) {
    held(census, to);
    done(counters, to);
}

/// The sockets of a core.
pub fn sockets(count: usize, to: &mut Vec<Reading>) {
    to.push(Reading { figure: &SOCKETS, value: Value::Number(count as u64) });
}

/// The turns of a core.
pub fn turns(measured: &Histogram<u64>, to: &mut Vec<Reading>) {
    to.push(Reading { figure: &TURNS, value: Value::Spread(Box::new(measured.clone())) });
}

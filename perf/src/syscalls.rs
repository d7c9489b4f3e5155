//! How many system calls a process makes, counted by `perf stat` from outside.
//!
//! *Promises* to count only when asked: every call then costs a little more, which is in the other figures of that run.
//! *Does not* need the process to cooperate. Without the tool, or the right to use it, it says so once and counts nothing.

use crate::clock::MILLISECOND_NS;
use std::process::{Child, Command, Stdio};
use std::sync::Once;

/// A count under way.
#[derive(Debug)]
pub(crate) struct Count {
    child: Child,
    seconds: f64,
}

/// `perf` attaches within this time; the count ends before the load does.
const MARGIN_NS: u64 = 200 * MILLISECOND_NS;
const EVENT: &str = "raw_syscalls:sys_enter";

impl Count {
    /// Counts for a little less than `ns`.
    pub(crate) fn begin(pid: u32, ns: u64) -> Option<Self> {
        let seconds = ns.checked_sub(2 * MARGIN_NS)? as f64 / 1e9;
        let child = Command::new("perf")
            .args(["stat", "-x,", "-e", EVENT, "-p", &pid.to_string(), "--", "sleep", &seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        child.map(|child| Self { child, seconds }).ok()
    }

    /// Calls per second. It has ended by now, or does so at once.
    pub(crate) fn end(self) -> Option<f64> {
        let output = self.child.wait_with_output().ok()?;
        let found = count(&String::from_utf8_lossy(&output.stderr));
        found.map(|calls| calls / self.seconds)
    }
}

/// Says once that nothing can be counted.
pub(crate) fn missing() {
    static SAID: Once = Once::new();
    SAID.call_once(|| eprintln!("system calls are not counted: it takes perf, and the right to trace {EVENT}"));
}

fn count(table: &str) -> Option<f64> {
    table.lines().find(|line| line.contains(EVENT))?.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_from_the_table_and_a_refusal_is_none() {
        assert_eq!(count("144,,raw_syscalls:sys_enter,1305059,100.00,,\n"), Some(144.0));
        assert_eq!(count("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        assert_eq!(count("event syntax error"), None);
    }
}

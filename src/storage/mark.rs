//! *Owns* what a server, or the nodes of a cluster in turns, write into their store about themselves, so that another one
//! which is started on the same store by mistake can tell: JSON, that people can read. *Promises* to call a server gone only if its process was on this
//! machine, among the processes that can be seen from here, and is no longer there. *Does not* know who reads it.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};
use std::fs::{read_link, read_to_string};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// As whom it enters the store: drawn when it starts.
    pub(super) holder: u64,
    /// Its `serverName`.
    server: String,
    host: String,
    pid: u32,
    /// When its process started, in ticks of the machine since that was booted: another process may get its number.
    started: u64,
    /// Drawn by the kernel when the machine was booted.
    boot: String,
    /// Whose process numbers it counts by: those in a container begin anew.
    namespace: String,
    /// Counted up once a second.
    pub(super) beat: u64,
    /// Whether it has ended in order.
    #[serde(default)]
    pub(super) left: bool,
    /// The cluster that the store belongs to. Then all else is about the node that wrote this last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    /// By which names are spread over slots in a cluster. It stays with the records, whoever has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<[u64; 2]>,
    /// Whether those to whom the store belonged before are still being put out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) clearing: bool,
}

impl Mark {
    /// That of this process.
    pub(super) fn own(server: &str, holder: u64) -> Self {
        let text = |path| read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let namespace = read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
        let pid = std::process::id();
        Self {
            holder,
            server: server.to_owned(),
            host: text("/proc/sys/kernel/hostname"),
            pid,
            started: started(pid).unwrap_or_default(),
            boot: text("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.unwrap_or_default(),
            beat: 0,
            left: false,
            cluster: None,
            seed: None,
            clearing: false,
        }
    }

    /// This one, counted up after the last.
    pub(super) fn after(&self, last: &Self) -> Self {
        Self { beat: last.beat + 1, seed: last.seed, ..self.clone() }
    }

    /// Whether whoever has this one belongs to the owner of the other: it is the same server, or a node of the same cluster.
    pub(super) fn is_kin(&self, other: &Self) -> bool {
        match (&self.cluster, &other.cluster) {
            (Some(own), Some(theirs)) => own == theirs,
            (None, None) => self.holder == other.holder,
            _ => false,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        // Numbers and texts can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether `own`, on the same machine, sees that its process is no longer there.
    pub(super) fn is_gone(&self, own: &Self) -> bool {
        let known = self.cluster.is_none() && !own.boot.is_empty() && !own.namespace.is_empty() && self.started != 0;
        if !known || (&self.boot, &self.namespace) != (&own.boot, &own.namespace) {
            return false;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return false };
        match test_kill_process(pid) {
            Err(Errno::SRCH) => true,
            // It may be there and not be shown in /proc.
            _ => {
                read_to_string(format!("/proc/{}/stat", self.pid)).is_ok_and(|stat| alive(&stat) != Some(self.started))
            }
        }
    }

    /// Who it is, in words.
    pub(super) fn words(&self) -> String {
        let Self { server, host, pid, .. } = self;
        match &self.cluster {
            None => format!("the server {server} on {host} (process {pid})"),
            Some(cluster) => format!("the cluster {cluster}, of which the server {server} on {host} is a node,"),
        }
    }
}

/// When a process started, if it still runs.
fn started(pid: u32) -> Option<u64> {
    alive(&read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// When the process of this `stat` started, unless it has ended and only waits to be reaped.
fn alive(stat: &str) -> Option<u64> {
    // The name of the program, in parentheses, may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if ["Z", "X"].contains(&state) { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_gone_once_it_has_ended_and_not_while_it_may_be_there() {
        let own = Mark::own("a", 1);
        assert!(own.started > 0 && !own.boot.is_empty() && !own.namespace.is_empty(), "{own:?}");
        assert!(!own.is_gone(&own));
        let again = Mark { started: own.started + 1, ..own.clone() };
        assert!(again.is_gone(&own), "the number belongs to another process");

        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let theirs = Mark { pid: child.id(), started: started(child.id()).unwrap(), ..own.clone() };
        assert!(!theirs.is_gone(&own), "it runs");
        child.kill().unwrap();
        // It has ended, and is not reaped yet.
        while !theirs.is_gone(&own) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(theirs.is_gone(&own), "it was reaped");
        let elsewhere = Mark { boot: "another".to_owned(), ..theirs.clone() };
        assert!(!elsewhere.is_gone(&own), "on another machine it may be there");
        let contained = Mark { namespace: "pid:[1]".to_owned(), ..theirs };
        assert!(!contained.is_gone(&own), "in another container, too");
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let own = Mark { beat: 7, left: true, ..Mark::own("a \"b\"\n", u64::MAX >> 1) };
        assert_eq!(Mark::read(&own.bytes()), Some(own));
        assert_eq!(Mark::read(b"{}"), None);
        assert_eq!(alive("7 (a) Z b) S 1 1 1 0 -1 4 9 0 9 0 4 1 0 0 20 0 1 0 75 1 2 3"), Some(75));
        assert_eq!(alive("7 (cat) Z 1 1 1 0 -1 4 9 0 9 0 4 1 0 0 20 0 1 0 75 1 2 3"), None);
    }
}

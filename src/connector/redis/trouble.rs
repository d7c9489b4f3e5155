//! *Owns* how failures of Redis are classified and worded. *Promises* a sentence with what to do, that only failures which
//! waiting cannot cure are called lasting, and that no value and no password is in it. *Does not* wait.

use crate::storage::{Kind, Trouble};
use redis::{ErrorKind, RedisError};

/// What a user of an access list must be allowed to do; `docs/storage.md` has the whole line.
const RIGHTS: &str =
    "let its user do +@read +@write +@scripting +@connection +info +time +config|get on ~* (ACL SETUSER)";
/// The same of a registry or a bus.
const RIGHTS_OF_CLUSTER: &str =
    "let its user do +@read +@write +@scripting +@pubsub +@connection +info +time on ~* and &* (ACL SETUSER)";
const MEMORY: &str = "raise its maxmemory, or remove records";
const LOG: &str = "see the log of Redis";

/// There is no connection.
pub(super) fn away() -> Trouble {
    Trouble::new(Kind::Away, "the connection was closed", LOG)
}

/// Classifies a failure, and puts it into words.
pub(super) fn trouble(error: &RedisError) -> Trouble {
    if error.is_timeout() {
        return Trouble::new(Kind::Away, "no answer in time", "see whether it is overloaded, or behind a firewall");
    }
    if error.is_io_error() || error.is_connection_dropped() {
        let hint = "start Redis there, or correct host, port and tls of its options";
        return Trouble::new(Kind::Away, error.to_string(), hint);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => return refused("it does not accept the password"),
        ErrorKind::RESP3NotSupported => return too_old("below 6", "6.2"),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            return Trouble::new(Kind::Away, "it answers like no Redis", "correct host and port of its options");
        }
        _ => {}
    }
    said(error.code().unwrap_or("ERR"), error.detail().unwrap_or(error.category()))
}

/// An error that Redis answered with.
fn said(code: &str, detail: &str) -> Trouble {
    // The rest may repeat what was sent.
    let told = detail.split(", with args beginning with").next().unwrap_or_default();
    let what = format!("{code} {told}");
    // Redis before 7 puts the reason why a script ended into the text.
    let is = |reason: &str| code == reason || detail.contains(&format!("-{reason} "));
    if is("NOSCRIPT") {
        Trouble::new(Kind::Changed, what, "")
    } else if is("LOADING") {
        Trouble::new(Kind::Away, what, "wait until it has loaded its data")
    } else if is("READONLY") {
        Trouble::new(Kind::Away, what, "it is a replica: write host and port of the server that takes writes")
    } else if ["MASTERDOWN", "CLUSTERDOWN"].into_iter().any(is) {
        Trouble::new(Kind::Away, what, LOG)
    } else if is("OOM") {
        Trouble::new(Kind::Busy, what, MEMORY)
    } else if is("MISCONF") {
        Trouble::new(Kind::Busy, what, "it cannot write to its disk: free some space, and see its log")
    } else if ["BUSY", "TRYAGAIN", "NOREPLICAS"].into_iter().any(is) {
        Trouble::new(Kind::Busy, what, LOG)
    } else if ["WRONGPASS", "NOAUTH"].into_iter().any(is) {
        refused(&what)
    } else if is("NOPERM") || detail.contains("ACL failure") || detail.contains("can't run this command") {
        Trouble::new(Kind::Busy, what, RIGHTS)
    } else if code == "ERR" {
        Trouble::new(Kind::Lasting, what, LOG)
    } else {
        Trouble::new(Kind::Busy, what, LOG)
    }
}

fn refused(what: &str) -> Trouble {
    Trouble::new(Kind::Busy, what, "correct username and password of its options")
}

/// A server that lacks what is needed.
pub(super) fn too_old(version: &str, least: &str) -> Trouble {
    Trouble::new(
        Kind::Lasting,
        format!("its version is {version}"),
        format!("use Redis {least}, Valkey, or a later one"),
    )
}

/// A failure when it is opened: what an administrator has to mend then ends the start, and is not waited for.
pub(super) fn of_start(trouble: Trouble) -> Trouble {
    let passes = [MEMORY, LOG].contains(&&*trouble.hint);
    Trouble { kind: if trouble.kind == Kind::Busy && !passes { Kind::Lasting } else { trouble.kind }, ..trouble }
}

/// A failure of a registry or a bus, which need other rights than a store.
pub(super) fn of_cluster(trouble: Trouble) -> Trouble {
    if trouble.hint == RIGHTS { Trouble { hint: RIGHTS_OF_CLUSTER.into(), ..trouble } } else { trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_is_classified_and_repeats_nothing_that_was_sent() {
        for (code, detail, kind) in [
            ("NOSCRIPT", "No matching script. Please use EVAL.", Kind::Changed),
            ("LOADING", "Redis is loading the dataset in memory", Kind::Away),
            ("READONLY", "You can't write against a read only replica.", Kind::Away),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", Kind::Busy),
            ("ERR", "Error running script: @user_script: 96: -OOM command not allowed when used memory", Kind::Busy),
            ("NOPERM", "User default has no permissions to run the 'mget' command", Kind::Busy),
            ("ERR", "unknown command 'MGOT', with args beginning with: 'hunter2'", Kind::Lasting),
        ] {
            let trouble = said(code, detail);
            assert_eq!(trouble.kind, kind, "{detail}");
            assert!(!trouble.words().contains("hunter2"));
        }
        assert_eq!(of_start(said("NOPERM", "")).kind, Kind::Lasting);
        assert_eq!(of_start(said("OOM", "")).kind, Kind::Busy);
        assert_eq!(of_start(said("WRONGPASS", "")).kind, Kind::Lasting);
    }
}

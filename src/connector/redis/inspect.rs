//! *Owns* what is noticed of a Redis server when it is opened. *Promises* that whoever relies on it is told once, in words,
//! when it may lose records, and why. *Does not* change its settings.

use super::client::Role;
use super::guards::text;
use super::link::Link;
use super::trouble::too_old;
use super::{EVENT, Redis};
use crate::config::Redis as Settings;
use crate::log::{Level, note};
use crate::storage::{Kind, Trouble};
use redis::{Value, cmd};

/// The largest text that Redis takes, unless it is configured otherwise.
pub(super) const VALUE_BYTES_MAX: usize = 512 << 20;
/// The oldest server that is tested.
const VERSION_MIN: (u32, u32) = (6, 2);
/// The oldest one whose scripts may say that they go on while memory is full.
const MEMBER_VERSION_MIN: (u32, u32) = (7, 0);

/// What a server says of itself.
#[derive(Default)]
struct Facts<'f> {
    info: &'f str,
    /// When it writes its log of changes to the disk; `None`: it does not tell.
    appendfsync: Option<&'f str>,
    /// When it writes all records to the disk.
    save: Option<&'f str>,
    /// Whether another server may be what takes writes next time.
    is_watched: bool,
    /// After how many seconds records are forgotten.
    ttl: Option<u32>,
}

impl<'f> Facts<'f> {
    fn of(&self, name: &str) -> &'f str {
        let value = |line: &'f str| line.strip_prefix(name)?.strip_prefix(':');
        self.info.lines().find_map(value).map_or("", str::trim)
    }
}

/// Asks a server, warns of what it may lose, and gives the largest text that it takes.
pub(super) async fn inspect(redis: &Redis) -> Result<usize, Trouble> {
    let info = text(&redis.client.ask(Role::Writes, &cmd("INFO")).await?).unwrap_or_default();
    let mut told: [Option<String>; 3] = Default::default();
    for (name, told) in ["appendfsync", "save", "proto-max-bulk-len"].iter().zip(&mut told) {
        // Those who rent servers are often not allowed to ask.
        let answer = redis.client.ask(Role::Writes, cmd("CONFIG").arg("GET").arg(name)).await;
        *told = match answer {
            Err(trouble) if trouble.kind == Kind::Away => return Err(trouble),
            Err(_) => None,
            Ok(answer) => setting(&answer),
        };
    }
    let [appendfsync, save, bulk] = &told;
    let (ttl, is_watched) = (redis.settings.ttl, !redis.settings.sentinels.is_empty());
    let facts = Facts { info: &info, appendfsync: appendfsync.as_deref(), save: save.as_deref(), is_watched, ttl };
    let warnings = judge(&facts)?;
    // Only at the first time: it comes back in the same shape, or else its administrator knows.
    if !redis.guards.is_known() {
        for warning in warnings {
            note(Level::Warn, EVENT, &format!("{}: {warning}", crate::storage::Settings::place(&redis.settings)));
        }
    }
    Ok(bulk.as_ref().and_then(|bytes| bytes.parse().ok()).unwrap_or(VALUE_BYTES_MAX))
}

/// The value of a setting: an answer has its name before it.
fn setting(answer: &Value) -> Option<String> {
    match answer {
        Value::Map(entries) => entries.first().and_then(|(_, value)| text(value)),
        Value::Array(items) => items.get(1).and_then(text),
        _ => None,
    }
}

/// Whether it can be used as what keeps or connects the members of a cluster. What keeps them must not be dropped by the way.
pub(super) async fn member(settings: &Settings, link: &Link) -> Result<(), Trouble> {
    let info = text(&link.ask(&cmd("INFO")).await?).unwrap_or_default();
    member_of(&Facts { info: &info, is_watched: !settings.sentinels.is_empty(), ..Facts::default() })
}

fn member_of(facts: &Facts<'_>) -> Result<(), Trouble> {
    usable(facts, MEMBER_VERSION_MIN)?;
    let policy = facts.of("maxmemory_policy");
    if policy.starts_with("allkeys") && facts.of("maxmemory") != "0" {
        let what = format!("it drops whatever it holds when its memory is full (maxmemory-policy {policy})");
        return Err(Trouble::new(Kind::Lasting, what, "set its maxmemory-policy to noeviction"));
    }
    Ok(())
}

fn usable(facts: &Facts<'_>, (major, minor): (u32, u32)) -> Result<(), Trouble> {
    let version = facts.of("redis_version");
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if number < (major, minor) {
        return Err(too_old(version, &format!("{major}.{minor}")));
    }
    if facts.of("loading") == "1" {
        return Err(Trouble::new(Kind::Away, "it is loading its data", "wait until it has loaded them"));
    }
    if facts.of("role") == "slave" && facts.is_watched {
        return Err(Trouble::new(
            Kind::Away,
            "it has become a replica",
            "wait until its sentinels have agreed on another",
        ));
    }
    if facts.of("role") == "slave" {
        let hint = "write host and port of the server that takes writes";
        return Err(Trouble::new(Kind::Lasting, "it is a replica, which takes no writes", hint));
    }
    Ok(())
}

/// What may be lost, in words; or why it cannot be used.
fn judge(facts: &Facts<'_>) -> Result<Vec<String>, Trouble> {
    usable(facts, VERSION_MIN)?;
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    match (facts.of("aof_enabled"), facts.appendfsync) {
        ("1", Some("always")) => {}
        ("1", Some("everysec")) => warn(
            "up to two seconds of acknowledged writes are lost when its machine fails (appendfsync everysec); appendfsync always \
             keeps them"
                .to_owned(),
        ),
        ("1", Some(_)) => warn(
            "acknowledged writes that its operating system has not yet written are lost when its machine fails (appendfsync no); \
             appendfsync always keeps them"
                .to_owned(),
        ),
        ("1", None) => warn(
            "it does not tell when it writes to its disk (CONFIG is refused): with anything but appendfsync always, acknowledged \
             writes can be lost when its machine fails"
                .to_owned(),
        ),
        _ if facts.save == Some("") => warn(
            "it keeps nothing on its disk: all records are lost when it ends; appendonly yes with appendfsync always keeps them"
                .to_owned(),
        ),
        _ => warn(
            "what was acknowledged since its last snapshot is lost when it ends (appendonly no); appendonly yes with appendfsync \
             always keeps it"
                .to_owned(),
        ),
    }
    let policy = facts.of("maxmemory_policy");
    let drops = policy.starts_with("allkeys") || (policy.starts_with("volatile") && facts.ttl.is_some());
    if drops && facts.of("maxmemory") != "0" {
        warn(format!(
            "it drops records when its memory is full (maxmemory-policy {policy}); noeviction refuses writes"
        ));
    }
    if let Some(seconds) = facts.ttl {
        warn(format!("a record is forgotten {seconds} seconds after it was last written (ttl)"));
    }
    if !["", "0"].contains(&facts.of("connected_slaves")) {
        warn("when one of its replicas takes over, the last acknowledged writes can be lost".to_owned());
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: &str = "redis_version:7.0.15\r\nloading:0\r\nrole:master\r\nconnected_slaves:0\r\naof_enabled:1\r\nmaxmemory:0\r\n\
                        maxmemory_policy:allkeys-lru\r\n";

    #[test]
    fn a_server_that_loses_nothing_is_not_warned_of_and_each_other_in_words() {
        fn facts(info: &str) -> Facts<'_> {
            Facts { info, appendfsync: Some("always"), ..Facts::default() }
        }
        assert_eq!(judge(&facts(SAFE)), Ok(vec![]));
        let changed = |from: &str, to: &str| {
            assert!(SAFE.contains(from), "{from}");
            SAFE.replace(from, to)
        };
        let (off, limited) = (changed("aof_enabled:1", "aof_enabled:0"), changed("maxmemory:0", "maxmemory:9"));
        let replicas = changed("slaves:0", "slaves:2");
        for (facts, words) in [
            (facts(&off), "last snapshot"),
            (Facts { save: Some(""), ..facts(&off) }, "keeps nothing"),
            (Facts { appendfsync: Some("everysec"), ..facts(SAFE) }, "two seconds"),
            (Facts { appendfsync: Some("no"), ..facts(SAFE) }, "appendfsync no"),
            (Facts { appendfsync: None, ..facts(SAFE) }, "CONFIG is refused"),
            (facts(&limited), "drops records"),
            (Facts { ttl: Some(60), ..facts(SAFE) }, "forgotten 60 seconds"),
            (facts(&replicas), "replicas"),
        ] {
            let told = judge(&facts).expect(words);
            assert!(told.len() == 1 && told[0].contains(words), "{words}: {told:?}");
        }
        for (from, to, kind, words) in [
            ("7.0.15", "6.0.16", Kind::Lasting, "6.0.16"),
            ("role:master", "role:slave", Kind::Lasting, "replica"),
            ("loading:0", "loading:1", Kind::Away, "loading"),
        ] {
            let info = changed(from, to);
            let refusal = judge(&facts(&info)).expect_err(words);
            assert!(refusal.kind == kind && refusal.what.contains(words), "{refusal:?}");
        }
        let replica = changed("role:master", "role:slave");
        let refusal = judge(&Facts { is_watched: true, ..facts(&replica) }).expect_err("it is a replica");
        assert_eq!(refusal.kind, Kind::Away, "another one takes writes");
        assert_eq!(member_of(&facts(SAFE)), Ok(()));
        for (info, words) in [(&limited, "drops whatever"), (&changed("7.0.15", "6.2.6"), "6.2.6")] {
            let refusal = member_of(&facts(info)).expect_err(words);
            assert!(refusal.kind == Kind::Lasting && refusal.what.contains(words), "{refusal:?}");
        }
    }
}

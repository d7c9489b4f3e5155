//! *Owns* how the server that takes writes is found where sentinels watch over several. *Promises* that they are asked anew whenever a
//! connection is made, each in turn until one answers. *Does not* believe that it is there: whoever connects sees what it is.
//!
//! What a server had acknowledged and its replica had not yet received is lost when that takes over: records, and the guards of writers
//! and slots too. So every writer enters again, and claims are made anew.

use super::link::Link;
use super::trouble;
use crate::config::Redis as Settings;
use crate::storage::{Kind, Trouble};
use redis::{Value, cmd};
use std::time::Duration;

/// One that does not answer must not keep from asking the next.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// The settings with host and port of the server that takes writes now.
pub(super) async fn settled(settings: &Settings) -> Result<Settings, Trouble> {
    let (Some(name), false) = (&settings.watched_as, settings.sentinels.is_empty()) else {
        return Ok(settings.clone());
    };
    let mut failed = trouble::away();
    for (host, port) in &settings.sentinels {
        match ask(settings, host, *port, name).await {
            Ok((host, port)) => return Ok(Settings { host, port, ..settings.clone() }),
            Err(trouble) => {
                failed = Trouble { what: format!("the sentinel at {host}:{port}: {}", trouble.what), ..trouble }
            }
        }
    }
    Err(failed)
}

async fn ask(settings: &Settings, host: &str, port: u16, name: &str) -> Result<(String, u16), Trouble> {
    let sentinel = Settings {
        host: host.to_owned(),
        port,
        username: settings.sentinel_username.clone(),
        password: settings.sentinel_password.clone(),
        connect_timeout: settings.connect_timeout.min(ANSWERED_WITHIN),
        command_timeout: settings.command_timeout.min(ANSWERED_WITHIN),
        ..Settings::default()
    };
    let link = Link::connect_to(&sentinel, |_| ()).await?;
    let question = link.ask(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name)).await;
    let address = match question.map_err(trouble::of_start)? {
        Value::Array(parts) => parts,
        Value::Nil => {
            let what = format!("it watches over no {name}");
            return Err(Trouble::new(Kind::Lasting, what, "correct name of its options"));
        }
        _ => return Err(super::guards::strange()),
    };
    let [host, port] = &address[..] else { return Err(super::guards::strange()) };
    let (host, port) = (super::guards::text(host), super::guards::text(port).and_then(|port| port.parse().ok()));
    host.zip(port).ok_or_else(super::guards::strange)
}

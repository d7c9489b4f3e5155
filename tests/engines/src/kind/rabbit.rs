//! RabbitMQ, and the daemon by which Erlang's nodes find each other: its own, so that none is left behind.

use super::{Plan, Site, write};
use crate::engine::Credentials;
use crate::node::{Node, Recipe};
use crate::program::{at, on_path};
use std::path::PathBuf;

/// Debian's program on the path changes the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// The first bytes of a client.
const GREETING: &str = "AMQP\0\0\t\u{1}";

/// Two schedulers, none of which turns in circles while there is nothing to do: others want the machine.
const IDLE: &str = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none";

pub(crate) fn plan(site: &Site<'_>) -> Result<Plan, String> {
    let address = site.options.address;
    let finder = finder(site)?;
    let (room, port, distribution) = (site.room("rabbit")?, site.port()?, site.port()?);
    let secured = site.certificates.map(|_| site.port()).transpose()?;
    let mut ours = vec![("listeners.tcp.1", format!("{address}:{port}")), ("loopback_users", "none".to_owned())];
    if let (Some(files), Some(port)) = (site.certificates, secured) {
        ours.extend([
            ("listeners.ssl.1", format!("{address}:{port}")),
            ("ssl_options.cacertfile", files.authority.display().to_string()),
            ("ssl_options.certfile", files.certificate.display().to_string()),
            ("ssl_options.keyfile", files.key.display().to_string()),
            ("ssl_options.verify", "verify_none".to_owned()),
            ("ssl_options.fail_if_no_peer_cert", "false".to_owned()),
        ]);
    }
    let lines = site.options.over(&ours).into_iter().map(|(key, value)| format!("{key} = {value}\n"));
    let settings = write(room.join("rabbitmq.conf"), &lines.collect::<String>())?;
    let plugins = write(room.join("plugins"), "[].\n")?;
    let none = write(room.join("environment"), "")?;
    let inside = |name: &str| room.join(name).display().to_string();
    let program = at("rabbitmq-server", [PathBuf::from(PROGRAM)].into_iter())?;
    let serves = |node: &Node| node.ask(GREETING).starts_with('\u{1}');
    let recipe = Recipe {
        environment: vec![
            ("HOME", room.display().to_string()),
            ("ERL_EPMD_ADDRESS", address.to_string()),
            ("ERL_EPMD_PORT", finder.port.to_string()),
            ("RABBITMQ_NODENAME", "rabbit@localhost".to_owned()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
            ("RABBITMQ_LOG_BASE", inside("log")),
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_PID_FILE", inside("pid")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", plugins.display().to_string()),
            ("RABBITMQ_CONFIG_FILE", settings.display().to_string()),
            ("RABBITMQ_CONF_ENV_FILE", none.display().to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", format!("-kernel inet_dist_use_interface {{127,0,0,1}} {IDLE}")),
            // In place of its script, which would stand between us and its signals; it reads nothing all the same.
            ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
            ("RABBITMQ_SERVER_START_ARGS", "-noinput".to_owned()),
        ],
        secured,
        ..Recipe::new("rabbit", program, port, serves)
    };
    let credentials = Credentials { user: "guest".to_owned(), password: "guest".to_owned() };
    Ok(Plan { recipes: vec![finder, recipe], main: 1, credentials: Some(credentials), ..Plan::none() })
}

fn finder(site: &Site<'_>) -> Result<Recipe, String> {
    let port = site.port()?;
    site.room("epmd")?;
    let arguments = ["-address", &site.options.address.to_string(), "-port", &port.to_string()];
    let arguments = arguments.map(str::to_owned).to_vec();
    Ok(Recipe { arguments, ..Recipe::new("epmd", on_path("epmd")?, port, |_| true) })
}

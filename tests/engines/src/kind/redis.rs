//! Redis, and Valkey, which is configured and spoken to in the same words.

use super::{Plan, Site, write};
use crate::node::{Node, Recipe};
use crate::program::{at, on_path, tools};
use rustix::process::Signal;
use std::path::PathBuf;

pub(crate) fn plan(site: &Site<'_>) -> Result<Plan, String> {
    Ok(Plan::one(server(site, "redis", on_path("redis-server")?, &[])?))
}

pub(crate) fn valkey(site: &Site<'_>) -> Result<Plan, String> {
    let program = at("valkey-server", [tools().join("valkey/valkey-server")].into_iter())?;
    Ok(Plan::one(server(site, "valkey", program, &[])?))
}

/// A server that keeps nothing, reads a file of settings, and may rewrite it.
pub(crate) fn server(
    site: &Site<'_>,
    name: &'static str,
    program: PathBuf,
    more: &[(&'static str, String)],
) -> Result<Recipe, String> {
    let (room, port) = (site.room(name)?, site.port()?);
    let secured = site.certificates.map(|_| site.port()).transpose()?;
    let mut ours = vec![
        ("port", port.to_string()),
        ("bind", site.options.address.to_string()),
        ("dir", room.display().to_string()),
        ("protected-mode", "no".to_owned()),
        ("save", "\"\"".to_owned()),
        ("appendonly", "no".to_owned()),
    ];
    if let (Some(files), Some(port)) = (site.certificates, secured) {
        ours.extend([
            ("tls-port", port.to_string()),
            ("tls-cert-file", files.certificate.display().to_string()),
            ("tls-key-file", files.key.display().to_string()),
            ("tls-ca-cert-file", files.authority.display().to_string()),
            ("tls-auth-clients", "no".to_owned()),
        ]);
    }
    ours.extend(more.iter().cloned());
    let lines = site.options.over(&ours).into_iter().map(|(key, value)| format!("{key} {value}\n"));
    let file = write(room.join("redis.conf"), &lines.collect::<String>())?;
    Ok(Recipe {
        name,
        program,
        arguments: vec![file.display().to_string()],
        environment: Vec::new(),
        port,
        secured,
        others: Vec::new(),
        unprivileged: false,
        death: "KILL",
        orderly: Signal::TERM,
        serves,
    })
}

/// A server that wants a password serves, too.
fn serves(node: &Node) -> bool {
    let answer = node.ask("PING\r\n");
    ["+PONG", "-NOAUTH"].iter().any(|begin| answer.starts_with(begin))
}

//! Redis, and Valkey, which is configured and spoken to in the same words.

use super::{Plan, Site, write};
use crate::node::{Node, Recipe};
use crate::process::run;
use crate::program::{at, on_path, tools};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const CLIENT: &str = "redis-cli";
/// What sentinels call a master in every example.
const MASTER: &str = "mymaster";

pub(crate) fn plan(site: &Site<'_>) -> Result<Plan, String> {
    Ok(Plan::one(server(site, "redis", on_path("redis-server")?, &[])?))
}

pub(crate) fn valkey(site: &Site<'_>) -> Result<Plan, String> {
    if site.certificates.is_some() {
        return Err("this build of valkey has no TLS".to_owned());
    }
    let program = at("valkey-server", [tools().join("valkey/valkey-server")].into_iter())?;
    Ok(Plan::one(server(site, "valkey", program, &[])?))
}

/// Three masters that share the slots, none of which has a replica.
pub(crate) fn cluster(site: &Site<'_>) -> Result<Plan, String> {
    without_password(site)?;
    on_path(CLIENT)?;
    let mut recipes = Vec::new();
    for name in ["redis-1", "redis-2", "redis-3"] {
        let bus = site.port()?;
        let more = [
            ("cluster-enabled", "yes".to_owned()),
            ("cluster-port", bus.to_string()),
            ("cluster-node-timeout", "2000".to_owned()),
        ];
        let server = server(site, name, on_path("redis-server")?, &more)?;
        recipes.push(Recipe { others: vec![bus], ..server });
    }
    let settled = |nodes: &[Node]| nodes.iter().all(|node| node.ask("CLUSTER INFO\r\n").contains("cluster_state:ok"));
    Ok(Plan { recipes, founded: share_slots, settled, ..Plan::none() })
}

fn share_slots(nodes: &[Node]) -> Result<(), String> {
    let mut client = Command::new(on_path(CLIENT)?);
    client.args(["--cluster", "create"]).stdin(Stdio::null());
    client.args(nodes.iter().map(|node| format!("{}:{}", node.address(), node.port())));
    client.args(["--cluster-replicas", "0", "--cluster-yes"]);
    run(client).map(|_| ())
}

/// A master, its replica, and a sentinel that puts one in the other's place within seconds.
pub(crate) fn sentinel(site: &Site<'_>) -> Result<Plan, String> {
    without_password(site)?;
    if site.certificates.is_some() {
        return Err("a sentinel names one port of each server: there is none with TLS here".to_owned());
    }
    let program = on_path("redis-server")?;
    let master = server(site, "master", program.clone(), &[("repl-diskless-sync-delay", "0".to_owned())])?;
    let address = site.options.address;
    let of = [("replicaof", format!("{address} {}", master.port)), ("repl-diskless-sync-delay", "0".to_owned())];
    let replica = server(site, "replica", program.clone(), &of)?;
    let (room, port) = (site.room("sentinel")?, site.port()?);
    let lines = [
        format!("port {port}\nbind {address}\ndir {}\nprotected-mode no\n", room.display()),
        format!("sentinel monitor {MASTER} {address} {} 1\n", master.port),
        format!("sentinel down-after-milliseconds {MASTER} 500\n"),
        format!("sentinel failover-timeout {MASTER} 2000\n"),
    ];
    let file = write(room.join("sentinel.conf"), &lines.concat())?;
    let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
    let sentinel = Recipe { arguments, ..Recipe::new("sentinel", program, port, serves) };
    Ok(Plan { recipes: vec![master, replica, sentinel], main: 2, settled: one_leads, ..Plan::none() })
}

/// Whether one server is the master, the other follows it, and the sentinel knows both.
fn one_leads(nodes: &[Node]) -> bool {
    let (servers, sentinel) = nodes.split_at(2);
    let leads = |node: &&Node| {
        let said = node.ask("INFO replication\r\n");
        said.contains("role:master") && said.contains("state=online")
    };
    let mut leaders = servers.iter().filter(leads);
    let (Some(leader), None) = (leaders.next(), leaders.next()) else { return false };
    let named = sentinel[0].ask(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}\r\n"));
    let known = sentinel[0].ask(&format!("SENTINEL MASTER {MASTER}\r\n"));
    named.contains(&format!("\r\n{}\r\n", leader.port())) && known.contains("num-slaves\r\n$1\r\n1\r\n")
}

fn without_password(site: &Site<'_>) -> Result<(), String> {
    let named = site.options.setting("requirepass").map(|_| "several servers of Redis are started without requirepass");
    named.map_or(Ok(()), |words| Err(words.to_owned()))
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
    Ok(Recipe { arguments: vec![file.display().to_string()], secured, ..Recipe::new(name, program, port, serves) })
}

/// A server that wants a password serves, too.
fn serves(node: &Node) -> bool {
    let answer = node.ask("PING\r\n");
    ["+PONG", "-NOAUTH"].iter().any(|begin| answer.starts_with(begin))
}

//! etcd: one server, or three that vote.

use super::{Plan, Site};
use crate::node::{Node, Recipe};
use crate::program::on_path;

pub(crate) fn one(site: &Site<'_>) -> Result<Plan, String> {
    plan(site, &["etcd"], &[])
}

/// They hold elections quickly: tests wait for them.
pub(crate) fn three(site: &Site<'_>) -> Result<Plan, String> {
    let quick = [("heartbeat-interval", "50".to_owned()), ("election-timeout", "500".to_owned())];
    plan(site, &["etcd-1", "etcd-2", "etcd-3"], &quick)
}

fn plan(site: &Site<'_>, names: &[&'static str], more: &[(&'static str, String)]) -> Result<Plan, String> {
    let (program, address) = (on_path("etcd")?, site.options.address);
    let peers = names.iter().map(|&name| Ok((name, site.port()?))).collect::<Result<Vec<_>, String>>()?;
    let cluster: Vec<String> = peers.iter().map(|(name, port)| format!("{name}=http://{address}:{port}")).collect();
    let mut recipes = Vec::new();
    for &(name, peer) in &peers {
        let (room, port) = (site.room(name)?, site.port()?);
        let mut clients = format!("http://{address}:{port}");
        let secured = site.certificates.map(|_| site.port()).transpose()?;
        let mut ours = vec![
            ("name", name.to_owned()),
            ("data-dir", room.join("data").display().to_string()),
            ("listen-peer-urls", format!("http://{address}:{peer}")),
            ("initial-advertise-peer-urls", format!("http://{address}:{peer}")),
            ("initial-cluster", cluster.join(",")),
            ("initial-cluster-token", format!("engines-{}", peers[0].1)),
        ];
        if let (Some(files), Some(port)) = (site.certificates, secured) {
            clients = format!("{clients},https://{address}:{port}");
            ours.push(("cert-file", files.certificate.display().to_string()));
            ours.push(("key-file", files.key.display().to_string()));
            // With it, it lets no client in that has no certificate.
            if site.options.setting("client-cert-auth").is_some() {
                ours.push(("trusted-ca-file", files.authority.display().to_string()));
            }
        }
        ours.push(("listen-client-urls", clients.clone()));
        ours.push(("advertise-client-urls", clients));
        ours.extend(more.iter().cloned());
        let serves = |node: &Node| health(node).starts_with("HTTP/1");
        recipes.push(Recipe {
            arguments: site.options.over(&ours).iter().map(|(key, value)| format!("--{key}={value}")).collect(),
            secured,
            others: vec![peer],
            ..Recipe::new(name, program.clone(), port, serves)
        });
    }
    // One of three does not serve: it takes a majority.
    let settled = |nodes: &[Node]| nodes.iter().all(|node| health(node).contains("\"health\":\"true\""));
    Ok(Plan { recipes, together: true, settled, ..Plan::none() })
}

fn health(node: &Node) -> String {
    node.ask("GET /health HTTP/1.0\r\n\r\n")
}

//! NATS, without streams on disk.

use super::{Plan, Site, write};
use crate::node::{Node, Recipe};
use crate::program::on_path;

pub(crate) fn plan(site: &Site<'_>) -> Result<Plan, String> {
    let (room, port) = (site.room("nats")?, site.port()?);
    let mut ours =
        vec![("listen", format!("\"{}:{port}\"", site.options.address)), ("server_name", format!("\"nats-{port}\""))];
    if let Some(files) = site.certificates {
        let [certificate, key] = [&files.certificate, &files.key].map(|file| file.display());
        ours.push(("tls", format!("{{ cert_file: \"{certificate}\", key_file: \"{key}\" }}")));
    }
    let lines = site.options.over(&ours).into_iter().map(|(key, value)| format!("{key}: {value}\n"));
    let file = write(room.join("nats.conf"), &lines.collect::<String>())?;
    let serves = |node: &Node| node.ask("").starts_with("INFO ");
    Ok(Plan::one(Recipe {
        arguments: vec!["-c".to_owned(), file.display().to_string()],
        // It speaks first, and then wants TLS.
        secured: site.certificates.map(|_| port),
        ..Recipe::new("nats", on_path("nats-server")?, port, serves)
    }))
}

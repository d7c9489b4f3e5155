//! NATS, without streams on disk.

use super::{Plan, Site, write};
use crate::node::Recipe;
use crate::program::on_path;
use rustix::process::Signal;

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
    Ok(Plan::one(Recipe {
        name: "nats",
        program: on_path("nats-server")?,
        arguments: vec!["-c".to_owned(), file.display().to_string()],
        environment: Vec::new(),
        port,
        // It speaks first, and then wants TLS.
        secured: site.certificates.map(|_| port),
        others: Vec::new(),
        unprivileged: false,
        death: "KILL",
        orderly: Signal::TERM,
        serves: |node| node.ask("").starts_with("INFO "),
    }))
}

//! PostgreSQL: not as root, which it refuses, and not durable, as nobody cuts the power.

use super::{Plan, Site, write};
use crate::engine::Credentials;
use crate::node::{Node, Recipe, we_are_root};
use crate::process::{NOBODY, bound_to_us, run};
use crate::program::{at, on_path};
use rustix::process::Signal;
use std::fs::{Permissions, copy, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian keeps the programs of each release in a directory of its own, off the path.
const RELEASES: &str = "/usr/lib/postgresql";
const USER: &str = "keeper";
/// Whatever quotes it must quote it well.
const PASSWORD: &str = r#"it's "secret"; \"#;
const DATA: &str = "data";

pub(crate) fn plan(site: &Site<'_>) -> Result<Plan, String> {
    let programs = programs()?;
    let (room, port) = (site.room("postgres")?, site.port()?);
    let data = room.join(DATA);
    let mut ours = vec![
        ("listen_addresses", site.options.address.to_string()),
        ("port", port.to_string()),
        ("unix_socket_directories", room.display().to_string()),
        ("fsync", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("max_connections", "40".to_owned()),
        ("shared_buffers", "16MB".to_owned()),
    ];
    let password = write(room.join("password"), PASSWORD)?;
    let mut theirs = vec![room.clone(), password.clone()];
    if let Some(files) = site.certificates {
        let own = |from: &Path, name: &str| {
            let to = room.join(name);
            let copied = copy(from, &to).and_then(|_| set_permissions(&to, Permissions::from_mode(0o600)));
            copied.map(|()| to).map_err(|error| format!("{}: {error}", from.display()))
        };
        let files = [
            ("ssl_cert_file", own(&files.certificate, "server.pem")?),
            ("ssl_key_file", own(&files.key, "server.key")?),
            ("ssl_ca_file", own(&files.authority, "ca.pem")?),
        ];
        ours.push(("ssl", "on".to_owned()));
        ours.extend(files.iter().map(|(key, file)| (*key, file.display().to_string())));
        theirs.extend(files.into_iter().map(|(_, file)| file));
    }
    if we_are_root() {
        for file in theirs {
            let owned = chown(&file, Some(NOBODY), Some(NOBODY));
            owned.map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    let mut made = bound_to_us(&at("initdb", [programs.join("initdb")].into_iter())?, we_are_root(), "KILL");
    made.arg("-D").arg(&data).args(["-U", USER, "-A", "scram-sha-256", "--pwfile"]).arg(&password);
    made.args(["-E", "UTF8", "--locale", "C", "--no-sync"]).current_dir(&room);
    run(made)?;
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    for (key, value) in site.options.over(&ours) {
        arguments.extend(["-c".to_owned(), format!("{key}={value}")]);
    }
    let program = at("postgres", [programs.join("postgres")].into_iter())?;
    let recipe = Recipe {
        arguments,
        secured: site.certificates.map(|_| port),
        unprivileged: true,
        // At once, but it gives its segment of shared memory back.
        death: "QUIT",
        orderly: Signal::INT,
        ..Recipe::new("postgres", program, port, serves)
    };
    let credentials = Credentials { user: USER.to_owned(), password: PASSWORD.to_owned() };
    Ok(Plan { discarded, credentials: Some(credentials), tools: Some(programs), ..Plan::one(recipe) })
}

/// Where the newest release has its programs.
fn programs() -> Result<PathBuf, String> {
    let releases = std::fs::read_dir(RELEASES).into_iter().flatten().flatten();
    let newest = releases.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let debian = newest.map(|release| Path::new(RELEASES).join(release.to_string()).join("bin"));
    let on_path = || on_path("postgres").ok()?.parent().map(Path::to_owned);
    let found = debian.filter(|folder| folder.join("postgres").is_file()).or_else(on_path);
    found.ok_or_else(|| "postgres is missing; scripts/install-engines installs it".to_owned())
}

fn serves(node: &Node) -> bool {
    let Ok(programs) = programs() else { return false };
    let mut asked = Command::new(programs.join("pg_isready"));
    asked.args(["-q", "-h", &node.address().to_string(), "-p", &node.port().to_string()]);
    asked.stdin(Stdio::null());
    run(asked).is_ok()
}

/// What marks its data as in use is a segment of shared memory, which outlives a server that was killed.
fn discarded(nodes: &[Node]) {
    for node in nodes {
        let lock = std::fs::read_to_string(node.directory().join(DATA).join("postmaster.pid")).unwrap_or_default();
        let segment = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(segment) = segment {
            let mut removed = Command::new("ipcrm");
            removed.args(["-m", segment]);
            // It may be gone already.
            let _ = run(removed);
        }
    }
}

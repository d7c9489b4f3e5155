//! A PostgreSQL server of this test's own: data directory, port, and a user that is not root, as it insists on. Fast, not
//! durable: nobody cuts the power.

use crate::contract::{Detour, Subject};
use crate::gate::Gate;
use deepstream::config;
use deepstream::connector::postgres::Postgres;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

/// `nobody` everywhere.
const NOBODY: u32 = 65534;

/// How values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    Text,
    Jsonb,
}

pub(crate) struct Server {
    directory: PathBuf,
    port: u16,
    values: Values,
    process: Mutex<Option<Child>>,
}

/// Debian keeps the programs of each release in a directory of its own, off the path.
fn program(name: &str) -> Command {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = releases.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max();
    let path = newest.map_or_else(|| name.into(), |release| format!("/usr/lib/postgresql/{release}/bin/{name}"));
    let mut command = Command::new(path);
    if rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Server {
    pub(crate) fn start(values: Values) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory =
            std::env::temp_dir().join(format!("deepstream-stores-{}-{port}-{values:?}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        if rustix::process::getuid().is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Self { directory, port, values, process: Mutex::new(None) };
        let data = server.data();
        let options = ["-U", "keeper", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync"];
        let made = program("initdb").arg("-D").arg(&data).args(options).current_dir(&server.directory).status();
        assert!(made.expect("PostgreSQL is installed").success());
        server.launch();
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A driver that takes it to be at another port.
    pub(crate) fn driver_at(&self, port: u16) -> Postgres {
        Postgres::new(config::Postgres {
            host: "127.0.0.1".to_owned(),
            port,
            user: "keeper".to_owned(),
            database: Some("postgres".to_owned()),
            jsonb: self.values == Values::Jsonb,
            ..config::Postgres::default()
        })
    }

    fn launch(&self) {
        let mut command = program("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(Path::new(&self.directory));
        command.args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-F"]).current_dir(&self.directory);
        *self.process.lock().unwrap() = Some(command.spawn().unwrap());
    }

    fn end(&self) {
        let Some(mut process) = self.process.lock().unwrap().take() else { return };
        let pid = rustix::process::Pid::from_child(&process);
        // Immediately: connections break, as they do when a machine fails.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Subject for Server {
    type Driver = Postgres;

    fn driver(&self) -> Postgres {
        self.driver_at(self.port)
    }

    fn detour(&self) -> Option<(Postgres, Box<dyn Detour>)> {
        let gate = Gate::before(self.port);
        Some((self.driver_at(gate.port()), Box::new(gate)))
    }

    fn away(&self, away: bool) -> bool {
        if away {
            self.end();
        } else {
            self.launch();
        }
        true
    }
}

//! The players, that is what is measured: our server, the relay, and other servers if they are installed.
//!
//! *Owns* starting each of them alone, bound to its CPUs, and ending it. *Promises* that whatever was started is gone
//! when its [`Target`] is dropped. *Does not* install anything: what is absent is skipped, aloud.

use crate::cpulist::{self, Cores};
use crate::dialect::Dialect;
use crate::given::give;
use crate::plan::Plan;
use crate::scenario::{Door, Kind, Profile, Scenario, Storage};
use serde_yaml::{Mapping, Value};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    /// The floor.
    Relay,
    /// Our server, from this file.
    Server(PathBuf),
    /// `redis-server`.
    Redis,
    /// `nats-server`.
    Nats,
    /// `mosquitto`.
    Mosquitto,
    /// A server of deepstream's protocol that runs already. Without a process id its CPU time is not known.
    Other { name: String, address: SocketAddr, pid: Option<u32> },
}

/// A player that serves.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Dialect,
    /// Whose CPU time counts.
    pub(crate) pid: Option<u32>,
    child: Option<Child>,
    folder: Option<PathBuf>,
    /// Keeps its port from others who choose one.
    _reservation: Option<UdpSocket>,
}

/// How players are started.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) cores: Cores,
    /// Where configurations and data are kept while they are needed.
    pub(crate) folder: PathBuf,
    /// Whether system calls are counted.
    pub(crate) syscalls: bool,
}

/// Begins the names of every topic.
pub(crate) const PREFIX: &str = "perf";

/// A server's permission rules, beside its configuration.
const RULES: &str = "permissions.yml";

const START_TIMEOUT: Duration = Duration::from_secs(10);

impl Player {
    /// As in tables and files.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Relay => "relay",
            Self::Server(_) => "deepstream",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
            Self::Other { name, .. } => name,
        }
    }

    /// Reads `name=host:port` or `name=host:port,pid`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not name=host:port or name=host:port,pid");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (address, pid) = rest.split_once(',').map_or((rest, None), |(address, pid)| (address, Some(pid)));
        let address =
            std::net::ToSocketAddrs::to_socket_addrs(address).map_err(|error| format!("{text:?}: {error}"))?;
        let address = address.into_iter().find(SocketAddr::is_ipv4).ok_or_else(wrong)?;
        let pid = pid.map(str::parse).transpose().map_err(|_| wrong())?;
        Ok(Self::Other { name: name.to_owned(), address, pid })
    }

    /// Why it cannot take part in anything.
    pub(crate) fn absence(&self) -> Option<String> {
        let program = self.program()?;
        let found = program.components().count() > 1 && program.exists()
            || std::env::var_os("PATH").is_some_and(|paths| {
                std::env::split_paths(&paths).chain(["/usr/sbin".into()]).any(|path| path.join(&program).exists())
            });
        (!found).then(|| format!("{} is not installed", program.display()))
    }

    fn program(&self) -> Option<PathBuf> {
        Some(match self {
            Self::Relay | Self::Other { .. } => return None,
            Self::Server(path) => path.clone(),
            Self::Redis => "redis-server".into(),
            Self::Nats => "nats-server".into(),
            Self::Mosquitto => "mosquitto".into(),
        })
    }

    /// Whether a scenario is one for it.
    pub(crate) fn plays(&self, scenario: &Scenario) -> bool {
        match self {
            Self::Relay => scenario.floor.is_none(),
            Self::Server(_) | Self::Other { .. } => true,
            Self::Mosquitto if scenario.door == Door::Mqtt => true,
            Self::Redis | Self::Nats | Self::Mosquitto => {
                let plain = scenario.message == Kind::Event && scenario.door == Door::Binary;
                // They know no rules: what they do without is pairs-pipelined.
                plain && scenario.profile == Profile::Eco && scenario.reopened == 0 && scenario.rules.is_empty()
            }
        }
    }

    /// Starts it for a scenario.
    pub(crate) fn start(&self, scenario: &Scenario, stage: &Stage) -> Result<Target, String> {
        if let Self::Other { address, pid, .. } = *self {
            return Ok(Target {
                address,
                dialect: Dialect::of(scenario.door),
                pid,
                child: None,
                folder: None,
                _reservation: None,
            });
        }
        let folder = stage.folder.join(format!("{}-{}", self.name(), std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (address, reservation) = free_address()?;
        let (command, dialect) = self.command(scenario, &stage.cores, &folder, address)?;
        let child = spawn(command, &stage.cores.server, &folder);
        let mut target =
            Target { address, dialect, pid: None, child: None, folder: Some(folder), _reservation: Some(reservation) };
        let child = child.map_err(|error| format!("cannot start {}: {error}", self.name()))?;
        target.pid = Some(child.id());
        target.child = Some(child);
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline || target.is_dead() {
                return Err(format!("{} does not serve: {}", self.name(), target.last_words()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if matches!(self, Self::Server(_)) {
            give(scenario, address)?;
        }
        Ok(target)
    }

    fn command(
        &self,
        scenario: &Scenario,
        cores: &Cores,
        folder: &Path,
        address: SocketAddr,
    ) -> Result<(Command, Dialect), String> {
        let port = address.port().to_string();
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let words = |program: &Path, words: &[&str]| {
            let mut command = Command::new(program);
            command.args(words);
            command
        };
        let program = self.program().unwrap_or_default();
        Ok(match self {
            Self::Server(_) => {
                let file = folder.join("config.yml");
                fs::write(&file, configuration(scenario, cores, folder, address.port())?).map_err(failed)?;
                let rules = serde_yaml::to_string(&scenario.rules).map_err(|error| error.to_string())?;
                fs::write(folder.join(RULES), rules).map_err(failed)?;
                (words(&program, &["start", "-c", &file.to_string_lossy()]), Dialect::of(scenario.door))
            }
            Self::Redis => {
                let flags = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
                let mut command = words(&program, &flags);
                command.args(["--maxclients", "100000", "--client-output-buffer-limit", "pubsub 0 0 0"]);
                (command, Dialect::Resp)
            }
            Self::Nats => (words(&program, &["-a", "127.0.0.1", "-p", &port]), Dialect::Nats),
            Self::Mosquitto => {
                let file = folder.join("mosquitto.conf");
                let lines = format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n");
                fs::write(&file, lines).map_err(failed)?;
                (words(&program, &["-c", &file.to_string_lossy()]), Dialect::Mqtt)
            }
            Self::Relay | Self::Other { .. } => {
                let own = std::env::current_exe().map_err(failed)?;
                let spin = if scenario.profile == Profile::Spin { "--spin" } else { "--sleep" };
                let message_bytes = Plan::frame_bytes(scenario, PREFIX);
                (words(&own, &["relay", &address.to_string(), spin]), Dialect::Relay { message_bytes })
            }
        })
    }
}

/// The server's configuration for a scenario.
fn configuration(scenario: &Scenario, cores: &Cores, folder: &Path, port: u16) -> Result<String, String> {
    let text = |text: &str| Value::String(text.to_owned());
    let map = |pairs: Vec<(&str, Value)>| {
        Value::Mapping(pairs.into_iter().map(|(key, value)| (Value::String(key.to_owned()), value)).collect())
    };
    let profile = if scenario.profile == Profile::Spin { "spin" } else { "eco" };
    let mut placed = vec![("latencyProfile", text(profile))];
    if cores.server.is_empty() || scenario.shards.is_some() {
        placed.extend([("count", Value::from(scenario.shards.unwrap_or(1))), ("pin", Value::from(false))]);
    } else {
        let list = cpulist::format(&cores.server);
        placed.extend([("shards", text(&list)), ("services", text(&list)), ("allowOverlap", Value::from(true))]);
    }
    let durability = if scenario.storage == Storage::Always { "always" } else { "none" };
    let directory = folder.join("data");
    let storage = match scenario.storage {
        Storage::Memory => map(vec![("type", text("memory"))]),
        Storage::Always | Storage::None => {
            let options = vec![("directory", text(&directory.to_string_lossy())), ("durability", text(durability))];
            map(vec![("type", text("default")), ("options", map(options))])
        }
    };
    let listen = |host, port| map(vec![("host", text(host)), ("port", Value::from(port))]);
    let of_type = |name, options| map(vec![("type", text(name)), ("options", options)]);
    // MQTT has a port of its own, which is the one that is measured.
    let (http, endpoints) = match scenario.door {
        Door::Mqtt => {
            (listen("127.0.0.2", port ^ 1), Some(Value::Sequence(vec![of_type("mqtt", listen("127.0.0.1", port))])))
        }
        _ => (listen("127.0.0.1", port), None),
    };
    let features = if scenario.message == Kind::Rpc { vec![("rpc", Value::from(true))] } else { vec![] };
    let permission = if scenario.rules.is_empty() {
        map(vec![("type", text("none"))])
    } else {
        of_type("config", map(vec![("permissions", text(&format!("fileLoad({RULES})")))]))
    };
    let mut whole = map(vec![
        ("logLevel", text("WARN")),
        ("httpServer", of_type("default", http)),
        ("auth", Value::Sequence(vec![map(vec![("type", text("none"))])])),
        ("permission", permission),
        ("enabledFeatures", map(features)),
        ("cores", map(placed)),
        ("storage", storage),
    ]);
    if let (Some(endpoints), Value::Mapping(whole)) = (endpoints, &mut whole) {
        whole.insert(text("connectionEndpoints"), endpoints);
    }
    merge(&mut whole, &scenario.config);
    serde_yaml::to_string(&whole).map_err(|error| error.to_string())
}

fn merge(into: &mut Value, from: &Mapping) {
    let Value::Mapping(into) = into else { return };
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(old @ Value::Mapping(_)), Value::Mapping(new)) => merge(old, new),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// A port for one player, and what keeps it: its UDP namesake, bound until the player is gone. It lies below the ports
/// that the kernel hands out by itself, among them those of the load's own connections.
fn free_address() -> Result<(SocketAddr, UdpSocket), String> {
    let first = 10_000 + u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    for port in first..=u16::MAX {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(reservation) = UdpSocket::bind(address) else { continue };
        if TcpListener::bind(address).is_ok() {
            return Ok((address, reservation));
        }
    }
    Err("no port is free".to_owned())
}

/// Starts a process that inherits the CPUs of the thread that starts it.
fn spawn(mut command: Command, cpus: &[usize], folder: &Path) -> Result<Child, String> {
    let log = File::create(folder.join("log")).map_err(|error| error.to_string())?;
    let both = log.try_clone().map_err(|error| error.to_string())?;
    command.current_dir(folder).stdin(Stdio::null()).stdout(both).stderr(log);
    std::thread::scope(|scope| {
        let spawner = scope.spawn(|| {
            cpulist::pin(cpus)?;
            command.spawn().map_err(|error| error.to_string())
        });
        spawner.join().unwrap_or_else(|_| Err("the thread that starts it failed".to_owned()))
    })
}

impl Target {
    /// Whether what was started has ended.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let log = self.folder.as_ref().and_then(|folder| fs::read_to_string(folder.join("log")).ok());
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.as_slice() {
            [] => "it says nothing".to_owned(),
            lines => lines[lines.len().saturating_sub(3)..].join(" / "),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;

    #[test]
    fn a_scenario_has_the_last_word_in_the_configuration() {
        let text = "name: x\nabout: y\nshows: rate\nidle_connections: 1\nconfig: {cores: {latencyProfile: balanced}, limits: {nameBytesMax: 7}}\n";
        let scenario = read(text).expect("right");
        let cores = Cores { server: vec![0, 1], generator: vec![] };
        let written = configuration(&scenario, &cores, Path::new("/x"), 7000).expect("writable");
        let config: Value = serde_yaml::from_str(&written).expect("readable");
        assert_eq!(config["cores"]["latencyProfile"], "balanced");
        assert_eq!(config["cores"]["shards"], "0,1");
        assert_eq!(config["limits"]["nameBytesMax"], 7);
        assert_eq!(config["httpServer"]["options"]["port"], 7000);
    }

    #[test]
    fn the_port_that_is_measured_is_that_of_the_door() {
        let cores = Cores { server: vec![], generator: vec![] };
        let text = "name: x\nabout: y\nshows: rate\nidle_connections: 1\ndoor: mqtt\n";
        let written = configuration(&read(text).expect("right"), &cores, Path::new("/x"), 7000).expect("writable");
        let config: Value = serde_yaml::from_str(&written).expect("readable");
        assert_eq!(config["connectionEndpoints"][0]["type"], "mqtt");
        assert_eq!(config["connectionEndpoints"][0]["options"]["port"], 7000);
        assert_ne!(config["httpServer"]["options"]["port"], 7000);
    }

    #[test]
    fn rules_are_in_force_where_there_are_any() {
        let cores = Cores { server: vec![], generator: vec![] };
        let kind = |rules: &str| {
            let text = format!("name: x\nabout: y\nshows: rate\nidle_connections: 1\n{rules}");
            let written = configuration(&read(&text).expect("right"), &cores, Path::new("/x"), 7000).expect("writable");
            let config: Value = serde_yaml::from_str(&written).expect("readable");
            config["permission"].clone()
        };
        assert_eq!(kind("")["type"], "none");
        let permission = kind("rules: {event: {'*': {publish: true}}}\n");
        assert_eq!(
            (&permission["type"], &permission["options"]["permissions"]),
            (&Value::from("config"), &Value::from("fileLoad(permissions.yml)"))
        );
    }

    #[test]
    fn no_port_is_given_twice() {
        let (first, _held) = free_address().expect("a port");
        let (second, _kept) = free_address().expect("a port");
        assert_ne!(first, second);
    }

    #[test]
    fn shards_of_a_number_share_the_cpus() {
        let text = "name: x\nabout: y\nshows: rate\nidle_connections: 1\nshards: 16\n";
        let cores = Cores { server: vec![0], generator: vec![1] };
        let written = configuration(&read(text).expect("right"), &cores, Path::new("/x"), 7000).expect("writable");
        let config: Value = serde_yaml::from_str(&written).expect("readable");
        assert_eq!((&config["cores"]["count"], &config["cores"]["pin"]), (&Value::from(16), &Value::from(false)));
        assert!(config["cores"].get("shards").is_none());
    }

    #[test]
    fn other_servers_are_named_with_their_address() {
        let other = Player::parse("node=127.0.0.1:6020,17").expect("right");
        let address = "127.0.0.1:6020".parse().expect("an address");
        assert_eq!(other, Player::Other { name: "node".to_owned(), address, pid: Some(17) });
        for wrong in ["127.0.0.1:6020", "node=nowhere", "node=127.0.0.1:6020,x"] {
            assert!(Player::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_installed_is_absent() {
        assert!(Player::Server("/nowhere/deepstream".into()).absence().is_some());
        assert_eq!(Player::Relay.absence(), None);
    }
}

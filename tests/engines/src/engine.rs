//! A server, or the servers that are one together.

use crate::home;
use crate::kind::{Kind, Plan, Site};
use crate::node::{Fault, Node, Recipe};
use crate::options::Options;
use crate::process::until;
use crate::tls::Certificates;
use std::mem::take;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How often other ports are tried when somebody else was quicker.
const ATTEMPTS: usize = 3;

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// A user who may do everything.
    pub user: String,
    /// Their password.
    pub password: String,
}

/// A database or bus of a test's own. Dropped, it ends and its files are removed.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    directory: PathBuf,
    nodes: Vec<Node>,
    plan: Plan,
    certificates: Option<Certificates>,
}

/// Starts an engine, and returns when it serves.
pub fn start(kind: Kind, options: &Options) -> Result<Engine, String> {
    start_watched(kind, options, |_| ())
}

/// The engine of this kind that all tests of a process share. It ends with the process; each test takes names of its own in it, and
/// none stops, freezes or fills it.
pub fn shared(kind: Kind) -> Result<&'static Engine, String> {
    static SHARED: [OnceLock<Result<Engine, String>>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
    SHARED[kind as usize].get_or_init(|| start(kind, &Options::default())).as_ref().map_err(Clone::clone)
}

/// As `start`; `planned` sees the processes before they are started.
fn start_watched(kind: Kind, options: &Options, mut planned: impl FnMut(&[Node])) -> Result<Engine, String> {
    let mut taken = Vec::new();
    for _ in 0..ATTEMPTS {
        let directory = home::directory(kind.name())?;
        let engine = Engine::new(kind, directory, options)?;
        planned(&engine.nodes);
        match engine.begin() {
            Ok(()) => return Ok(engine),
            Err(Fault::Taken(words)) => taken.push(words),
            Err(Fault::Other(words)) => return Err(format!("{}: {words}", kind.name())),
        }
    }
    Err(format!("{}: somebody else took each of its ports:\n{}", kind.name(), taken.join("\n")))
}

impl Engine {
    fn new(kind: Kind, directory: PathBuf, options: &Options) -> Result<Self, String> {
        // Whatever goes wrong from here on, the directory goes with the engine.
        let mut engine = Self { kind, directory, nodes: Vec::new(), plan: Plan::none(), certificates: None };
        if options.tls {
            engine.certificates = Some(Certificates::new(&engine.directory, options.address)?);
        }
        let site = Site { directory: &engine.directory, options, certificates: engine.certificates.as_ref() };
        let mut plan = kind.plan(&site)?;
        let node = |recipe: Recipe| Node::new(options.address, site.directory.join(recipe.name), recipe);
        engine.nodes = take(&mut plan.recipes).into_iter().map(node).collect();
        engine.plan = plan;
        Ok(engine)
    }

    fn begin(&self) -> Result<(), Fault> {
        self.spawn_all()?;
        (self.plan.founded)(&self.nodes).map_err(Fault::Other)?;
        self.wait_until_settled().map_err(Fault::Other)
    }

    fn spawn_all(&self) -> Result<(), Fault> {
        let stopped: Vec<&Node> = self.nodes.iter().filter(|node| node.pid().is_none()).collect();
        if self.plan.together {
            // Some wait for each other.
            stopped.iter().try_for_each(|node| node.spawn().map_err(Fault::Other))?;
            return stopped.iter().try_for_each(|node| node.wait_for_service());
        }
        stopped.iter().try_for_each(|node| {
            node.spawn().map_err(Fault::Other)?;
            node.wait_for_service()
        })
    }

    fn wait_until_settled(&self) -> Result<(), String> {
        let settled = until("its processes are one", || (self.plan.settled)(&self.nodes));
        settled.map_err(|error| format!("{error}\n{}", self.log()))
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process to which clients connect first.
    pub fn main(&self) -> &Node {
        &self.nodes[self.plan.main]
    }

    /// All of its processes, each of which can be killed, frozen and started again by itself.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The process of this name.
    pub fn node(&self, name: &str) -> Result<&Node, String> {
        let found = self.nodes.iter().find(|node| node.name() == name);
        found.ok_or_else(|| format!("{} has no process {name}", self.kind.name()))
    }

    /// The address it binds to.
    pub fn address(&self) -> IpAddr {
        self.main().address()
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.main().port()
    }

    /// Where clients connect to each of its processes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Node::port).collect()
    }

    /// Where clients connect with TLS, if it was asked for.
    pub fn secured(&self) -> Option<u16> {
        self.main().secured()
    }

    /// Its certificate and the authority's, if it speaks TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Who is let in, if not everybody is.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.plan.credentials.as_ref()
    }

    /// The directory of all its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process to which clients connect first, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.main().pid()
    }

    /// Where its programs are, such as its client for the command line, if not on the path.
    pub fn tools(&self) -> Option<&Path> {
        self.plan.tools.as_deref()
    }

    /// What its processes said.
    pub fn log(&self) -> String {
        let logs = self.nodes.iter().map(|node| format!("--- {}\n{}", node.name(), node.log()));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// Ends it at once, as if its machine had failed; what it wrote stays.
    pub fn kill(&self) -> Result<(), String> {
        self.nodes.iter().rev().try_for_each(Node::kill)
    }

    /// Ends it in order; what it wrote stays.
    pub fn end(&self) -> Result<(), String> {
        self.nodes.iter().rev().try_for_each(Node::end)
    }

    /// Stops it, as a debugger would: its connections stay open and nothing answers.
    pub fn freeze(&self) -> Result<(), String> {
        self.nodes.iter().try_for_each(Node::freeze)
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.nodes.iter().for_each(Node::thaw);
    }

    /// Starts what does not run of it, at its ports and with what it wrote, and waits until it serves.
    pub fn launch(&self) -> Result<(), String> {
        self.spawn_all().map_err(Fault::words)?;
        self.wait_until_settled()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let ended = self.kill();
        (self.plan.discarded)(&self.nodes);
        // What could not be ended or removed now, the guard of the directory sees to.
        let removed = std::fs::remove_dir_all(&self.directory);
        if let Err(error) = ended.and(removed.map_err(|error| error.to_string())) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPTS, Kind, Options, start, start_watched};
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn a_foreign_listener_on_the_port_is_noticed_and_another_port_taken() {
        let mut foreign = Vec::new();
        let engine = start_watched(Kind::Redis, &Options::default(), |nodes| {
            if foreign.is_empty() {
                foreign.push(nodes[0].port());
                let listener = TcpListener::bind((nodes[0].address(), nodes[0].port())).unwrap();
                // It speaks as the engine would.
                thread::spawn(move || {
                    for stream in listener.incoming() {
                        stream.unwrap().write_all(b"+PONG\r\n").unwrap();
                    }
                });
            }
        });
        let engine = engine.unwrap();
        assert_ne!(engine.port(), foreign[0]);
        assert_eq!(engine.main().ask("PING\r\n"), "+PONG\r\n");
    }

    #[test]
    fn whoever_is_at_every_port_is_named() {
        let mut foreign = Vec::new();
        let engine = start_watched(Kind::Redis, &Options::default(), |nodes| {
            foreign.push(TcpListener::bind(("0.0.0.0", nodes[0].port())).unwrap());
        });
        let error = engine.unwrap_err();
        assert_eq!(foreign.len(), ATTEMPTS);
        let us = format!("process {} (", std::process::id());
        assert_eq!(error.matches(&us).count(), ATTEMPTS, "{error}");
    }

    #[test]
    fn whoever_takes_the_port_while_an_engine_is_down_is_named() {
        let engine = start(Kind::Redis, &Options::default()).unwrap();
        engine.kill().unwrap();
        let foreign = TcpListener::bind((engine.address(), engine.port())).unwrap();
        let error = engine.launch().unwrap_err();
        assert!(error.contains(&format!("process {} (", std::process::id())), "{error}");
        drop(foreign);
        engine.launch().unwrap();
    }
}

//! One process of an engine.

use crate::process::{PATIENCE, Process, bound_to_us, spawn, wait_for_more};
use crate::proof::{Listener, anybody, listener};
use rustix::process::Signal;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much of a log is shown where something failed.
const LOG_BYTES_SHOWN: usize = 8192;
/// How long a server that stands still may keep us waiting for one answer.
const ANSWER: Duration = Duration::from_secs(2);

/// What a kind says of a process that it wants started.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where clients connect.
    pub(crate) port: u16,
    /// Where they connect with TLS, if that is another port.
    pub(crate) secured: Option<u16>,
    /// Other ports at which it must be the one that listens.
    pub(crate) others: Vec<u16>,
    /// Whether it refuses to run as root.
    pub(crate) unprivileged: bool,
    /// What the kernel sends it when this process is gone.
    pub(crate) death: &'static str,
    /// What asks it to end in order.
    pub(crate) orderly: Signal,
    /// Whether it serves; asked again until it does.
    pub(crate) serves: fn(&Node) -> bool,
}

impl Recipe {
    /// What most have: one port, no wishes, and no way to go but at once.
    pub(crate) fn new(name: &'static str, program: PathBuf, port: u16, serves: fn(&Node) -> bool) -> Self {
        Self {
            name,
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            port,
            secured: None,
            others: Vec::new(),
            unprivileged: false,
            death: "KILL",
            orderly: Signal::TERM,
            serves,
        }
    }
}

/// Why a process did not begin to serve.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Somebody else is at one of its ports.
    Taken(String),
    Other(String),
}

impl Fault {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Taken(words) | Self::Other(words) => words,
        }
    }
}

/// One process of an engine: most engines have one.
#[derive(Debug)]
pub struct Node {
    address: IpAddr,
    directory: PathBuf,
    recipe: Recipe,
    process: Mutex<Option<Process>>,
}

impl Node {
    pub(crate) fn new(address: IpAddr, directory: PathBuf, recipe: Recipe) -> Self {
        Self { address, directory, recipe, process: Mutex::new(None) }
    }

    /// What it is within its engine: `master`, `sentinel`, …
    pub fn name(&self) -> &'static str {
        self.recipe.name
    }

    /// The address it binds to.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.recipe.port
    }

    /// Where clients connect with TLS, if the engine was asked for it: for some kinds that is the same port.
    pub fn secured(&self) -> Option<u16> {
        self.recipe.secured
    }

    /// Its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// The end of what it said since it was first started.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_BYTES_SHOWN)..]).into_owned()
    }

    /// Ends it at once, as if its machine had failed; what it wrote stays.
    pub fn kill(&self) -> Result<(), String> {
        self.process().take().map_or(Ok(()), Process::kill)
    }

    /// Ends it in order; what it wrote stays.
    pub fn end(&self) -> Result<(), String> {
        self.process().take().map_or(Ok(()), |process| process.end(self.recipe.orderly))
    }

    /// Stops it, as a debugger would: its connections stay open and nothing answers.
    pub fn freeze(&self) -> Result<(), String> {
        self.process().as_ref().ok_or_else(|| format!("{} does not run", self.name()))?.freeze()
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        if let Some(process) = self.process().as_ref() {
            process.thaw();
        }
    }

    /// Starts it again, at its port and with what it wrote, and waits until it serves.
    pub fn launch(&self) -> Result<(), String> {
        self.spawn().and_then(|()| self.wait_for_service().map_err(Fault::words))
    }

    pub(crate) fn spawn(&self) -> Result<(), String> {
        let mut process = self.process();
        if process.is_some() {
            return Err(format!("{} runs already", self.name()));
        }
        let log = || OpenOptions::new().create(true).append(true).open(self.log_file());
        let log = log().and_then(|out| Ok((out, log()?))).map_err(|error| error.to_string());
        let (out, err): (File, File) = log?;
        let recipe = &self.recipe;
        let mut command = bound_to_us(&recipe.program, recipe.unprivileged && we_are_root(), recipe.death);
        command.args(&recipe.arguments).envs(recipe.environment.iter().cloned());
        command.current_dir(&self.directory).stdout(out).stderr(err);
        // In a group of its own: what is typed at the terminal is not meant for it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        *process = Some(Process::new(spawn(command)?));
        Ok(())
    }

    /// Waits until its own process listens at each of its ports, and serves. If it does not come to that, it is ended.
    pub(crate) fn wait_for_service(&self) -> Result<(), Fault> {
        let (begin, mut unproved) = (Instant::now(), self.all_ports());
        let fault = loop {
            match self.look(&mut unproved) {
                Ok(true) => return Ok(()),
                Ok(false) if begin.elapsed() < PATIENCE => wait_for_more(begin),
                Ok(false) => break Fault::Other(format!("it does not serve after {} s", PATIENCE.as_secs())),
                Err(fault) => break fault,
            }
        };
        let log = self.log();
        // The first fault is the one to be told.
        let _ = self.kill();
        let told = |words: String| format!("{} at port {}: {words}\n{log}", self.name(), self.port());
        Err(match fault {
            Fault::Taken(words) => Fault::Taken(told(words)),
            Fault::Other(words) => Fault::Other(told(words)),
        })
    }

    /// Whether it serves. Ports at which it was seen to listen are struck from the list.
    fn look(&self, unproved: &mut Vec<u16>) -> Result<bool, Fault> {
        let mut process = self.process();
        let process = process.as_mut().ok_or_else(|| Fault::Other("it was ended".to_owned()))?;
        // In this order: one that found its port taken has ended because of that.
        let ended = process.ended();
        let taken = |by: String, port: u16| Fault::Taken(format!("{by} listens at its port {port}"));
        while let Some(&port) = unproved.last() {
            match listener(self.address, port, process.pid()) {
                Listener::Own => unproved.pop(),
                Listener::Foreign(by) => return Err(taken(by, port)),
                Listener::Nobody => break,
            };
        }
        if let Some(how) = ended {
            let by = self.all_ports().into_iter().find_map(|port| Some((anybody(self.address, port)?, port)));
            return Err(by.map_or(Fault::Other(format!("it ended with {how}")), |(by, port)| taken(by, port)));
        }
        Ok(unproved.is_empty() && (self.recipe.serves)(self))
    }

    fn all_ports(&self) -> Vec<u16> {
        let recipe = &self.recipe;
        [recipe.port].into_iter().chain(recipe.secured).chain(recipe.others.iter().copied()).collect()
    }

    /// Says something at its port, and gives what it answers, as far as that comes in one piece; nothing if it does not.
    pub(crate) fn ask(&self, question: &str) -> String {
        let answer = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((self.address, self.port())), ANSWER)?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(question.as_bytes())?;
            let mut answer = vec![0; 16 * 1024];
            let len = stream.read(&mut answer)?;
            answer.truncate(len);
            Ok(answer)
        };
        answer().map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn log_file(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn we_are_root() -> bool {
    rustix::process::getuid().is_root()
}

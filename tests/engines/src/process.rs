//! Processes that end with this one, and signals to a process and all that it started.

use crate::proof::{state, tree};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Only what never happens takes this long: on a machine with ten times the work it can do, all that should happen does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

type Order = (Command, Sender<io::Result<Child>>);

/// The thread that starts all processes. The kernel tells a process that its parent died when the *thread* that started it ends,
/// and threads of tests end long before their process.
static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in orders {
            // Whoever asked waits for the answer.
            let _ = answer.send(command.spawn());
        }
    });
    sender
});

/// A command under `setpriv`, which has the kernel send it a signal as soon as this process is gone.
pub(crate) fn bound_to_us(program: &std::path::Path, unprivileged: bool, death: &str) -> Command {
    let mut command = Command::new("setpriv");
    if unprivileged {
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    }
    command.args(["--pdeathsig", death, "--"]).arg(program).stdin(Stdio::null());
    command
}

/// `nobody` everywhere.
pub(crate) const NOBODY: u32 = 65_534;

/// Starts it from the thread that lives as long as this process does.
pub(crate) fn spawn(command: Command) -> Result<Child, String> {
    let words = format!("{command:?}");
    let (answer, answers) = channel();
    SPAWNER.send((command, answer)).map_err(|_| "the thread that starts processes is gone")?;
    let spawned = answers.recv().map_err(|_| "the thread that starts processes is gone")?;
    spawned.map_err(|error| format!("{words}: {error}"))
}

/// Runs it to its end; what it wrote is the error if it failed.
pub(crate) fn run(mut command: Command) -> Result<Output, String> {
    let words = format!("{command:?}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(command)?.wait_with_output().map_err(|error| format!("{words}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Err(format!("{words} ended with {}:\n{out}{err}", output.status))
}

/// Waits until the condition holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) -> Result<(), String> {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > PATIENCE {
            return Err(format!("waited {} s in vain until {what}", PATIENCE.as_secs()));
        }
        wait_for_more(begin);
    }
    Ok(())
}

/// A pause before one looks again at what one has been waiting for since then: the longer that is, the longer, as looking costs the
/// machine what it is waited for needs.
pub(crate) fn wait_for_more(begin: Instant) {
    thread::sleep((begin.elapsed() / 8).clamp(Duration::from_millis(2), Duration::from_millis(100)));
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn new(child: Child) -> Self {
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Stops it and all that it started, as a debugger would: connections stay open, nothing answers.
    pub(crate) fn freeze(&self) -> Result<(), String> {
        until("the processes stand still", || {
            let moving: Vec<u32> =
                tree(self.pid()).into_iter().filter(|&pid| is(pid, |now| !"TZX".contains(now))).collect();
            for &pid in &moving {
                signal(pid, Signal::STOP);
            }
            moving.is_empty()
        })
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        for pid in tree(self.pid()) {
            signal(pid, Signal::CONT);
        }
    }

    /// Asks it to end, and waits until it and all that it started are gone.
    pub(crate) fn end(mut self, orderly: Signal) -> Result<(), String> {
        let family = tree(self.pid());
        self.thaw();
        signal(self.pid(), orderly);
        let ended = until("the server has ended", || self.ended().is_some());
        ended.and_then(|()| gone(&family)).or_else(|_| self.kill())
    }

    /// Ends it and all that it started at once, as if the machine had failed.
    pub(crate) fn kill(mut self) -> Result<(), String> {
        // What stands still starts nothing more.
        let frozen = self.freeze();
        let family = tree(self.pid());
        for &pid in &family {
            signal(pid, Signal::KILL);
        }
        let ended = self.child.wait().map(|_| ()).map_err(|error| error.to_string());
        frozen.and(ended).and(gone(&family))
    }
}

/// Waits for processes of which some are nobody's children any more.
fn gone(family: &[u32]) -> Result<(), String> {
    until("the processes are gone", || !family.iter().any(|&pid| is(pid, |now| !"ZX".contains(now))))
}

fn is(pid: u32, condition: impl Fn(char) -> bool) -> bool {
    state(pid).is_some_and(|(now, _)| condition(now))
}

fn signal(pid: u32, signal: Signal) {
    // One that has ended meanwhile needs none.
    let _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, signal));
}

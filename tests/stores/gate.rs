//! A proxy between a driver and its database. It can hold all answers back until a transaction was sent to its end, and it
//! can hold back what connections send, and send it on when they are long gone.

use crate::contract::{Detour, PATIENCE};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

#[derive(Default)]
struct Latch {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

/// A connection.
struct Line {
    client: TcpStream,
    server: TcpStream,
    /// What the client has sent and the server does not get yet, if it is held back.
    held: Mutex<Option<Vec<u8>>>,
    /// Whether the server has ended it.
    ended: Mutex<bool>,
    end: Condvar,
    /// What a commit ends with.
    last: &'static [u8],
}

#[derive(Clone)]
pub(crate) struct Gate {
    port: u16,
    latch: Arc<Latch>,
    lines: Arc<Mutex<Vec<Arc<Line>>>>,
}

impl Gate {
    /// Before the server at this port. Its threads end with their connections, the one that accepts them with the process.
    /// `last` is what a commit ends with.
    pub(crate) fn before(server: u16, last: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, latch) = (listener.local_addr().unwrap().port(), Arc::<Latch>::default());
        let gate = Self { port, latch: Arc::clone(&latch), lines: Arc::default() };
        let lines = Arc::clone(&gate.lines);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // It may not be there yet.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (held, ended, end) = (Mutex::default(), Mutex::default(), Condvar::new());
                let line = Arc::new(Line { client, server, held, ended, end, last });
                lines.lock().unwrap().push(Arc::clone(&line));
                let (asked, told, asking) = (Arc::clone(&latch), Arc::clone(&latch), Arc::clone(&line));
                thread::spawn(move || asking.ask(&asked));
                thread::spawn(move || line.tell(&told));
            }
        });
        gate
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From here on nothing is answered until the next transaction was sent to its end.
    pub(crate) fn shut(&self) {
        *self.latch.is_shut.lock().unwrap() = true;
    }
}

impl Latch {
    fn hear(&self, said: &[u8], last: &[u8]) {
        if said.windows(last.len()).any(|text| text == last) {
            *self.is_shut.lock().unwrap() = false;
            self.opened.notify_all();
        }
    }

    fn wait(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        let _open = self.opened.wait_while(is_shut, |is_shut| *is_shut).unwrap();
    }
}

impl Line {
    /// Passes on what the client sends. The latch is shown what came last, and so much of what came before it that an end which
    /// came in two parts is seen, and none twice.
    fn ask(&self, latch: &Latch) {
        let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = (&self.client).read(&mut bytes) {
            seen.drain(..seen.len().saturating_sub(self.last.len() - 1));
            seen.extend_from_slice(&bytes[..count]);
            latch.hear(&seen, self.last);
            let mut held = self.held.lock().unwrap();
            if let Some(held) = &mut *held {
                held.extend_from_slice(&bytes[..count]);
            } else if (&self.server).write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        if self.held.lock().unwrap().is_none() {
            let _ = self.server.shutdown(Shutdown::Both);
        }
    }

    /// Passes on what the server answers. What a client that is gone does not take is read nevertheless.
    fn tell(&self, latch: &Latch) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = (&self.server).read(&mut bytes) {
            latch.wait();
            let _ = (&self.client).write_all(&bytes[..count]);
        }
        let _ = self.client.shutdown(Shutdown::Both);
        *self.ended.lock().unwrap() = true;
        self.end.notify_all();
    }
}

impl Detour for Gate {
    fn hold(&self) {
        for line in &*self.lines.lock().unwrap() {
            *line.held.lock().unwrap() = Some(Vec::new());
        }
    }

    fn holds(&self) -> bool {
        let ends = |line: &Line| {
            let held = line.held.lock().unwrap();
            held.as_deref().is_some_and(|held| held.windows(line.last.len()).any(|text| text == line.last))
        };
        self.lines.lock().unwrap().iter().any(|line| ends(line))
    }

    fn cut(&self) {
        for line in &*self.lines.lock().unwrap() {
            line.client.shutdown(Shutdown::Both).unwrap();
        }
    }

    fn release(&self) {
        for line in &*self.lines.lock().unwrap() {
            let Some(held) = line.held.lock().unwrap().take() else { continue };
            (&line.server).write_all(&held).unwrap();
            line.server.shutdown(Shutdown::Write).unwrap();
            let ended = line.ended.lock().unwrap();
            let (ended, _) = line.end.wait_timeout_while(ended, PATIENCE, |ended| !*ended).unwrap();
            assert!(*ended, "the server ends the connection after all that it was sent");
        }
    }
}

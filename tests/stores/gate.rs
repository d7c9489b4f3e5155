//! A proxy between a driver and its database that holds all answers back until a transaction was sent to its end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Ends a transaction.
const END: &[u8] = b"COMMIT";

#[derive(Default)]
struct Latch {
    is_shut: Mutex<bool>,
    opened: Condvar,
}

pub(crate) struct Gate {
    port: u16,
    latch: Arc<Latch>,
}

impl Gate {
    /// Before the server at this port. Its threads end with their connections, the one that accepts them with the process.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, latch) = (listener.local_addr().unwrap().port(), Arc::<Latch>::default());
        let gate = Self { port, latch: Arc::clone(&latch) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // It may not be there yet.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (asking, answered) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let latches = [(); 2].map(|()| Arc::clone(&latch));
                let [asked, told] = latches;
                thread::spawn(move || pass(asking, server, |bytes| asked.hear(bytes)));
                thread::spawn(move || pass(answered, client, |_| told.wait()));
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
    fn hear(&self, said: &[u8]) {
        if said.windows(END.len()).any(|text| text == END) {
            *self.is_shut.lock().unwrap() = false;
            self.opened.notify_all();
        }
    }

    fn wait(&self) {
        let is_shut = self.is_shut.lock().unwrap();
        let _open = self.opened.wait_while(is_shut, |is_shut| *is_shut).unwrap();
    }
}

/// Passes on what comes from one to the other. What `before` is shown is what came last, and so much of what came before it that
/// an end which came in two parts is seen, and none twice.
fn pass(mut from: TcpStream, mut to: TcpStream, before: impl Fn(&[u8])) {
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        seen.drain(..seen.len().saturating_sub(END.len() - 1));
        seen.extend_from_slice(&bytes[..count]);
        before(&seen);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

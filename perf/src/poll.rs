//! epoll, level-triggered, with the few calls the harness needs.

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// A set of sockets, each with a token of the caller's.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

const EVENTS_PER_WAIT: usize = 512;

impl Poll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_PER_WAIT) })
    }

    /// Adds a socket: it is reported when it can be read.
    pub(crate) fn add(&self, socket: &impl AsFd, token: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token as u64), epoll::EventFlags::IN)?)
    }

    /// Whether it is also reported when it can be written.
    pub(crate) fn want(&self, socket: &impl AsFd, token: usize, write: bool) -> io::Result<()> {
        let write = if write { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(token as u64);
        Ok(epoll::modify(&self.epoll, socket, data, epoll::EventFlags::IN | write)?)
    }

    /// Takes a socket out.
    pub(crate) fn remove(&self, socket: &impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits up to `timeout_ns` (`None`: for ever) and gives the tokens that are ready and whether to write.
    pub(crate) fn wait(&mut self, timeout_ns: Option<u64>, ready: &mut Vec<(usize, bool)>) -> io::Result<()> {
        const SECOND_NS: u64 = 1_000_000_000;
        ready.clear();
        let timeout =
            timeout_ns.map(|ns| Timespec { tv_sec: (ns / SECOND_NS) as i64, tv_nsec: (ns % SECOND_NS) as i64 });
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // `data` and `flags` are copied out: the kernel packs the struct.
        for event in &self.events {
            let (data, flags) = (event.data, event.flags);
            ready.push((data.u64() as usize, flags.contains(epoll::EventFlags::OUT)));
        }
        Ok(())
    }
}

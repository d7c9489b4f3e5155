//! *Owns* the bus, and what waits to be sent and to be heard. *Promises* that the bus is opened whenever it is away, under the number
//! that the node has; and that no more waits than [`WAITING_MAX`] either way. *Does not* send anything twice: links do.

use super::{FRAME_BYTES_MAX, Report, words};
use crate::bus::{Address, Bus};
use crate::service::bell::Bell;
use crate::storage::{Health, Kept, Kind, Trouble, first_of};
use bytes::Bytes;
use deepstream_cluster::Frame;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::Notify;

/// Packets that wait, each way.
const WAITING_MAX: usize = 256;
/// The longest pause between two tries to open the bus.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Post<B> {
    bus: B,
    bell: Arc<Bell>,
    health: Health,
    own: Cell<Option<Address>>,
    /// As whom it was opened last.
    opened: Cell<Option<Address>>,
    /// The node has a number, or another one.
    numbered: Notify,
    inbox: RefCell<VecDeque<Bytes>>,
    outbox: RefCell<VecDeque<(Address, Bytes)>>,
    has_room: Notify,
    has_mail: Notify,
}

impl<B: Bus> Post<B> {
    pub(super) fn new(bus: B, bell: Arc<Bell>) -> Self {
        Self {
            bus,
            bell,
            health: Health::new(),
            own: Cell::new(None),
            opened: Cell::new(None),
            numbered: Notify::new(),
            inbox: RefCell::default(),
            outbox: RefCell::default(),
            has_room: Notify::new(),
            has_mail: Notify::new(),
        }
    }

    /// The node is reached here from now on.
    pub(super) fn move_to(&self, own: Address) {
        if self.own.replace(Some(own)) != Some(own) {
            self.numbered.notify_one();
        }
    }

    /// The next packet that came.
    pub(super) fn next(&self) -> Option<Bytes> {
        let packet = self.inbox.borrow_mut().pop_front()?;
        self.has_room.notify_one();
        Some(packet)
    }

    pub(super) fn has_come(&self) -> bool {
        !self.inbox.borrow().is_empty()
    }

    /// Whether something can be sent. If not, the bell rings once there is room.
    pub(super) fn can_send(&self) -> bool {
        self.outbox.borrow().len() < WAITING_MAX
    }

    pub(super) fn put(&self, to: Address, packet: Bytes) {
        self.outbox.borrow_mut().push_back((to, packet));
        self.has_mail.notify_one();
    }

    /// Opens the bus once the node has a number, and receives. Never ends.
    pub(super) async fn receive(self: Rc<Self>, patience: Duration, report: mpsc::Sender<Report>) {
        while self.own.get().is_none() {
            self.numbered.notified().await;
        }
        let kept = Kept {
            place: self.bus.place(),
            event: words::EVENT,
            meanwhile: "What is for other nodes waits",
            retry_max: RETRY_MAX,
        };
        let opened = kept.first(patience, async || self.open().await).await;
        // This only fails if the start has given up.
        let _ = report.send(opened.map_or_else(Report::Failed, |()| Report::Joined));
        loop {
            if let Ok(opening) = self.health.now() {
                let moved = async {
                    while self.own.get() == self.opened.get() {
                        self.numbered.notified().await;
                    }
                    Trouble::new(Kind::Away, "this node has another number now", "")
                };
                let away = first_of(self.health.away(), moved);
                let why = first_of(self.take(), away).await;
                self.health.report(opening, &why);
            }
            kept.again(&self.health, async || self.open().await).await;
        }
    }

    async fn open(&self) -> Result<(), Trouble> {
        let Some(own) = self.own.get() else { return Ok(()) };
        self.bus.open(own).await?;
        let (takes, most) = (self.bus.packet_bytes_max(), FRAME_BYTES_MAX + Frame::OVERHEAD_BYTES_MAX);
        if takes < most {
            let hint = format!("configure it to take messages of at least {most} bytes");
            return Err(Trouble::new(Kind::Lasting, format!("it takes packets of {takes} bytes only"), hint));
        }
        self.opened.set(Some(own));
        Ok(())
    }

    /// Receives until that fails.
    async fn take(&self) -> Trouble {
        loop {
            while self.inbox.borrow().len() >= WAITING_MAX {
                self.has_room.notified().await;
            }
            match self.bus.receive().await {
                Ok(packet) => {
                    self.inbox.borrow_mut().push_back(packet);
                    self.bell.ring();
                }
                Err(why) => return why,
            }
        }
    }

    /// Sends what waits. Never ends.
    pub(super) async fn send(self: Rc<Self>) {
        let mut said = None;
        loop {
            let next = self.outbox.borrow_mut().pop_front();
            let Some((to, packet)) = next else {
                self.has_mail.notified().await;
                continue;
            };
            // What cannot be sent is lost, as it may be anywhere on a bus.
            if let (Some(_), Ok(opening)) = (self.opened.get(), self.health.now()) {
                match self.bus.send(to, packet).await {
                    Ok(()) => said = None,
                    Err(why) if why.kind == Kind::Away => self.health.report(opening, &why),
                    Err(why) => {
                        if said.as_ref() != Some(&why) {
                            words::refused(&self.bus.place(), &why);
                        }
                        said = Some(why);
                    }
                }
            }
            if self.outbox.borrow().len() + 1 == WAITING_MAX {
                self.bell.ring();
            }
        }
    }

    pub(super) async fn close(&self) {
        self.bus.close().await;
    }
}

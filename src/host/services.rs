//! The services beside the cores: storage, authentication, and readers of figures.
//!
//! *Owns* how they are started, from the configuration and from what the embedding program brings, and the order in
//! which they end. *Promises* that each ends before the services that it depends on. *Does not* know what they do.

use super::bell::Waker;
use super::descriptors::{self, Descriptors};
use super::error::StartError;
use crate::auth::{self, Auth, Method, StorageBell};
use crate::config::{Config, Placement};
use crate::log::{self, Level, note};
use crate::monitor::{self, Figures, Read};
use crate::service::{self, Thread, process};
use crate::storage::{self, Driver, OpenError, Storage};
use deepstream_engine::Packet;
use deepstream_mesh::Port;
use std::collections::HashMap;
use std::sync::Arc;

/// Opens a store that the program brings; with what it is.
type Open = Box<dyn FnOnce(storage::Options) -> Result<(Storage, String), OpenError> + Send>;

/// What the embedding program brings beside the configuration.
#[derive(Default)]
pub struct Members {
    store: Option<Open>,
    methods: HashMap<String, Arc<dyn Method>>,
    readers: Vec<monitor::Start>,
    /// What happens when another server has taken the store over.
    deposed: Option<storage::Deposed>,
}

impl Members {
    /// Keeps records, in the place of what is configured.
    pub fn storage(&mut self, driver: impl Driver) {
        self.store = Some(Box::new(|options| {
            let what = driver.place();
            Ok((storage::start(driver, options)?, what))
        }));
    }

    /// Judges logins, where `Config::auth` has [`AuthMethod::member`](auth::AuthMethod::member) of this name.
    pub fn authentication(&mut self, name: &str, method: impl Method) {
        self.methods.insert(name.to_owned(), Arc::new(method));
    }

    /// Is told if another server takes the store over.
    pub fn deposed(&mut self, told: impl Fn(&str) + Send + Sync + 'static) {
        self.deposed = Some(Arc::new(told));
    }

    /// Shows figures.
    pub fn reader(&mut self, reader: impl monitor::Reader) {
        self.readers.push(monitor::starting(reader));
    }
}

/// What a core has of them: its client of storage, if there is any, and of authentication.
pub(super) type Clients = (Option<storage::Client>, auth::Client);

/// See the module. Fields are dropped in this order.
pub(super) struct Services {
    /// Those that do not run yet.
    waiting: Vec<monitor::Start>,
    readers: Vec<Thread>,
    auth: Option<Arc<Auth>>,
    storage: Option<Storage>,
}

impl Services {
    /// Starts all of them but the readers. Gives what each core has of them.
    pub(super) fn start(
        config: &Config,
        placement: &Placement,
        wakers: &[service::Waker],
        members: Members,
    ) -> Result<(Self, Vec<Clients>), StartError> {
        let Members { store, methods, readers, deposed } = members;
        let bell = StorageBell::default();
        let mut storage = open_storage(config, placement, wakers.to_vec(), &bell, store, deposed)?;
        let (clients, off_core) = storage.as_mut().map_or_else(Default::default, Storage::take_clients);
        let of_auth = off_core.into_iter().next().map(|client| (client, bell));
        let mut auth = start_auth(config, placement, wakers.to_vec(), of_auth, methods)?;
        let clients = clients.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let clients = clients.zip(std::mem::take(&mut auth.clients)).collect();
        Ok((Self { waiting: readers, readers: Vec::new(), auth: Some(Arc::new(auth)), storage }, clients))
    }

    /// Starts the readers, once there is something to read.
    pub(super) fn start_readers(&mut self, figures: &Figures, placement: &Placement) -> Result<(), StartError> {
        for start in self.waiting.drain(..) {
            self.readers.push(start(figures.clone(), &placement.services).map_err(StartError::Reader)?);
        }
        Ok(())
    }

    /// Whether records outlive this process.
    pub(super) fn keep_records(&self) -> bool {
        self.storage.is_some()
    }

    pub(super) fn auth(&self) -> Option<&Arc<Auth>> {
        self.auth.as_ref()
    }

    /// The figures of each, and of the process.
    pub(super) fn figures(&self, descriptors: Arc<Descriptors>) -> Vec<(&'static str, Read)> {
        let mut figures: Vec<(&'static str, Read)> = Vec::new();
        if let Some(counters) = self.storage.as_ref().map(Storage::reader) {
            figures.push(("storage", Box::new(move |to| monitor::storage(&counters(), to))));
        }
        if let Some(counters) = self.auth.as_ref().map(|auth| auth.counters()) {
            figures.push(("auth", Box::new(move |to| monitor::auth(&counters(), to))));
        }
        figures.push(("listeners", Box::new(move |to| monitor::listeners(&descriptors.counters(), to))));
        figures.push(("process", Box::new(|to| monitor::process(&process::usage(), to))));
        figures.push(("log", Box::new(|to| monitor::log(&log::counters(), to))));
        figures
    }

    /// Ends them, when no core runs any more.
    pub(super) fn end(&mut self) {
        self.readers.clear();
        // Before the store, which it asks.
        drop(self.auth.take());
        drop(self.storage.take());
    }
}

fn open_storage(
    config: &Config,
    placement: &Placement,
    wakers: Vec<service::Waker>,
    bell: &StorageBell,
    store: Option<Open>,
    deposed: Option<storage::Deposed>,
) -> Result<Option<Storage>, StartError> {
    let (cache, before) = match &config.cache {
        Some(cache) => (cache.cache(), format!(", behind a cache: {}", cache.place())),
        None => (None, String::new()),
    };
    let options = storage::Options {
        load_timeout: config.record.storage_retrieval_timeout,
        start_timeout: config.initialization_timeout,
        cpus: placement.services.clone(),
        wakers,
        off_core: vec![bell.waker()],
        server: config.server_name.clone(),
        cluster: None,
        cache,
        deposed: deposed.unwrap_or_else(|| Arc::new(|why| note(Level::Fatal, "STORAGE", why))),
    };
    let (storage, what) = match (store, config.storage.kept()) {
        (Some(open), _) => open(options).map(|(storage, what)| (Some(storage), what))?,
        (None, Some(kept)) => (Some(kept.start(options)?), kept.place()),
        (None, None) => (None, "none, records live and die with this process".to_owned()),
    };
    note(Level::Info, "INFO", &format!("storage ready: {what}{before}"));
    Ok(storage)
}

/// Wakes a core from a thread that is not a core.
pub(super) fn core_waker((port, waker): (&Port<Packet>, &Waker)) -> service::Waker {
    let (bell, waker) = (port.bell(), waker.clone());
    Arc::new(move || {
        if bell.needs_ring() {
            waker.wake();
        }
    })
}

fn start_auth(
    config: &Config,
    placement: &Placement,
    wakers: Vec<service::Waker>,
    storage: Option<(storage::Client, StorageBell)>,
    members: HashMap<String, Arc<dyn Method>>,
) -> Result<Auth, StartError> {
    let shards = wakers.len();
    let options = auth::Options {
        methods: config.auth.clone(),
        headers: config.http.headers.clone(),
        logins_max: config.limits.logins_max.div_ceil(shards),
        login_bytes_max: config.limits.login_bytes_max.div_ceil(shards),
        guesses: auth::GuessLimits {
            per_address: config.limits.refused_logins_per_address_max,
            per_user: config.limits.refused_logins_per_user_max,
            window: config.limits.refused_logins_window,
            delay_max: config.limits.login_delay_max,
        },
        proxies: config.http.trusted_proxies.clone(),
        webhooks_max: descriptors::webhooks_max(config),
        storage_timeout: config.record.storage_retrieval_timeout,
        name_bytes_max: config.limits.name_bytes_max,
        cpus: placement.services.clone(),
        wakers,
        storage,
        members,
    };
    let auth = auth::start(options).map_err(StartError::Auth)?;
    let methods: Vec<String> = config.auth.iter().map(|method| method.description()).collect();
    let description = match methods.as_slice() {
        [method] => method.clone(),
        methods => {
            let numbered = methods.iter().enumerate().map(|(index, method)| format!("{index}) {method}"));
            numbered.collect::<Vec<_>>().join(", ")
        }
    };
    note(Level::Info, "INFO", &format!("authentication ready: {description}"));
    Ok(auth)
}

//! *Owns* the connections: one writes, the other reads, so that a lookup never waits behind an upload. *Promises* that a
//! connection which did not answer in time is never used again, and that a connection that ends is noticed at once.
//! *Does not* connect again by itself.

use super::trouble::{self, trouble};
use crate::config::{Pem, Redis as Settings, RedisTls};
use crate::storage::{Kind, Trouble};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, TlsCertificates, Value,
};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A peer that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A peer that acknowledges nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Requests that may wait to be written to the socket.
const REQUESTS_MAX: usize = 1024;
/// Bytes that are gathered for one write to the socket.
const GATHERED_BYTES: usize = 256 * 1024;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writes,
    Reads,
}

/// See the module.
pub(super) struct Client {
    links: Mutex<[Option<Link>; 2]>,
    ended: Arc<Notify>,
}

/// A connection. Clones share it; it ends with the last of them.
#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    alive: Arc<AtomicBool>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self { links: Mutex::default(), ended: Arc::default() }
    }

    fn links(&self) -> MutexGuard<'_, [Option<Link>; 2]> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, role: Role) -> Option<Link> {
        self.links()[role as usize].clone().filter(|link| link.alive.load(Ordering::Acquire))
    }

    /// Opens a connection if there is none; says whether it is new.
    pub(super) async fn open(&self, settings: &Settings, role: Role) -> Result<bool, Trouble> {
        if self.link(role).is_some() {
            return Ok(false);
        }
        let link = connected(settings, &self.ended).await?;
        self.links()[role as usize] = Some(link);
        Ok(true)
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn ask(&self, role: Role, command: &Cmd) -> Result<Value, Trouble> {
        let mut link = self.link(role).ok_or_else(trouble::away)?;
        let answer = command.query_async(&mut link.connection).await;
        answer.map_err(|error| {
            let trouble = trouble(&error);
            if trouble.kind == Kind::Away {
                link.alive.store(false, Ordering::Release);
                self.ended.notify_one();
            }
            trouble
        })
    }

    /// Waits until one of the connections has ended.
    pub(super) async fn attend(&self) -> Trouble {
        while self.link(Role::Writes).is_some() && self.link(Role::Reads).is_some() {
            self.ended.notified().await;
        }
        trouble::away()
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        self.links().iter_mut().for_each(|link| drop(link.take()));
    }
}

async fn connected(settings: &Settings, ended: &Arc<Notify>) -> Result<Link, Trouble> {
    let alive = Arc::new(AtomicBool::new(true));
    let (is_alive, ended) = (Arc::clone(&alive), Arc::clone(ended));
    let notice = move |info: PushInfo| -> Result<(), Infallible> {
        if info.kind == PushKind::Disconnection {
            is_alive.store(false, Ordering::Release);
            ended.notify_one();
        }
        Ok(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.command_timeout))
        .set_pipeline_buffer_size(REQUESTS_MAX)
        .set_write_backpressure_boundary(GATHERED_BYTES)
        .set_push_sender(notice);
    let client = client(settings)?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config).await;
    let connection = connecting.map_err(|error| trouble::of_start(trouble(&error)))?;
    Ok(Link { connection, alive })
}

fn client(settings: &Settings) -> Result<redis::Client, Trouble> {
    let mut account = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(i64::from(settings.database))
        .set_lib_name("deepstream", env!("CARGO_PKG_VERSION"));
    if let Some(name) = &settings.username {
        account = account.set_username(name);
    }
    if let Some(password) = &settings.password {
        account = account.set_password(password);
    }
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(2);
    let socket = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive).set_user_timeout(SILENCE_MAX);
    let (host, port) = (settings.host.clone(), settings.port);
    let address = match settings.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    let info = address.into_connection_info().map_err(|error| trouble::of_start(trouble(&error)))?;
    let info = info.set_redis_settings(account).set_tcp_settings(socket);
    let client = match &settings.tls {
        Some(tls) => redis::Client::build_with_tls(info, certificates(tls)?),
        None => redis::Client::open(info),
    };
    client.map_err(|error| {
        let what = format!("tls cannot be set up: {}", trouble(&error).what);
        Trouble::new(Kind::Lasting, what, "correct ca, cert and key of its options")
    })
}

/// Read whenever a connection is opened, so that renewed ones are used from then on.
fn certificates(tls: &RedisTls) -> Result<TlsCertificates, Trouble> {
    let read = |pem: &Pem| match pem {
        Pem::Text(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => std::fs::read(path).map_err(|error| {
            let what = format!("{} cannot be read: {error}", path.display());
            Trouble::new(Kind::Lasting, what, "correct ca, cert and key of its options")
        }),
    };
    let client_tls = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert: tls.authority.as_ref().map(read).transpose()? })
}

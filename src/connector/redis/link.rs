//! *Owns* how a connection is made, and whether it is alive. *Promises* that a connection which did not answer in time is never used
//! again, and that one that ends is noticed at once. *Does not* connect again by itself.

use super::sentinel;
use super::trouble::{self, trouble};
use crate::config::{ClientTls, Pem, Redis as Settings};
use crate::storage::{Kind, Trouble};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisConnectionInfo, TlsCertificates, Value,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A peer that is silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A peer that acknowledges nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Requests that may wait to be written to the socket.
pub(super) const REQUESTS_MAX: usize = 1024;
/// Bytes that are gathered for one write to the socket.
const GATHERED_BYTES: usize = 256 * 1024;

/// What comes over a connection without having been asked for.
pub(super) enum Told {
    /// A text on a channel that was subscribed to.
    Message(Vec<u8>),
    /// That the connection has ended.
    End,
}

/// A connection. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    alive: Arc<AtomicBool>,
    hear: Arc<dyn Fn(Told) + Send + Sync>,
}

impl Link {
    /// Connects to the server that takes writes. `hear` is called by the connection, so it must not wait; it is told of the end more than once.
    pub(super) async fn connect(
        settings: &Settings,
        hear: impl Fn(Told) + Send + Sync + 'static,
    ) -> Result<Self, Trouble> {
        Self::connect_to(&sentinel::settled(settings).await?, hear).await
    }

    /// Connects to this very server.
    pub(super) async fn connect_to(
        settings: &Settings,
        hear: impl Fn(Told) + Send + Sync + 'static,
    ) -> Result<Self, Trouble> {
        let alive = Arc::new(AtomicBool::new(true));
        let hear: Arc<dyn Fn(Told) + Send + Sync> = Arc::new(hear);
        let (is_alive, listener) = (Arc::clone(&alive), Arc::clone(&hear));
        let notice = move |info: PushInfo| -> Result<(), Infallible> {
            match info.kind {
                PushKind::Disconnection => {
                    is_alive.store(false, Ordering::Release);
                    listener(Told::End);
                }
                PushKind::Message => {
                    if let Some(Value::BulkString(text)) = info.data.into_iter().nth(1) {
                        listener(Told::Message(text));
                    }
                }
                _ => {}
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
        Ok(Self { connection, alive, hear })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// It is not used any more, and whoever hears it is told.
    pub(super) fn give_up(&self) {
        self.alive.store(false, Ordering::Release);
        (self.hear)(Told::End);
    }

    /// Sends a command and waits for the answer.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Trouble> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        answer.map_err(|error| self.failed(&error))
    }

    /// From here on what is published on this channel is heard.
    pub(super) async fn subscribe(&self, channel: &[u8]) -> Result<(), Trouble> {
        self.connection.clone().subscribe(channel).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &redis::RedisError) -> Trouble {
        let trouble = trouble(error);
        if trouble.kind == Kind::Away {
            self.give_up();
        }
        trouble
    }
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
fn certificates(tls: &ClientTls) -> Result<TlsCertificates, Trouble> {
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

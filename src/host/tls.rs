//! TLS: between the bytes of a socket and the bytes of its link.
//!
//! *Owns* the settings that all cores share, and one session per secured connection. *Promises* that a new certificate
//! is used from the next connection on, that a session can be resumed on any core, and that invalid bytes of a client
//! end no session but its own. *Does not* touch sockets: ciphertext goes in and comes out as bytes.

use crate::config::{Config, Pem, Tls as Settings};
use crate::reload::{Part, Swap};
use deepstream_engine::Outbox;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::fmt::Display;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Which listener's connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Web,
    Mqtt,
}

impl Side {
    fn settings(self, config: &Config) -> Option<&Settings> {
        match self {
            Self::Web => config.http.tls.as_ref(),
            Self::Mqtt => config.mqtt.as_ref()?.tls.as_ref(),
        }
    }

    fn settings_mut(self, config: &mut Config) -> Option<&mut Settings> {
        match self {
            Self::Web => config.http.tls.as_mut(),
            Self::Mqtt => config.mqtt.as_mut()?.tls.as_mut(),
        }
    }

    /// The section of the configuration with its settings.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Web => "httpServer.options.ssl",
            Self::Mqtt => "connectionEndpoints[mqtt].options.ssl",
        }
    }

    /// The protocol name for ALPN.
    fn protocol(self) -> &'static [u8] {
        match self {
            Self::Web => b"http/1.1",
            Self::Mqtt => b"mqtt",
        }
    }
}

/// The TLS settings for new connections, shared by all cores.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    side: Side,
    // Locked once per connection.
    current: Arc<Mutex<Arc<ServerConfig>>>,
    /// Kept over reloads, so that sessions stay resumable; it rotates its keys by itself.
    tickets: Arc<dyn ProducesTickets>,
}

/// Why a key or a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{section}.{key}: {what}")]
pub struct TlsError {
    section: &'static str,
    key: &'static str,
    what: String,
}

impl TlsError {
    fn new(key: &'static str, what: impl Display) -> Self {
        Self { section: Side::Web.section(), key, what: format!("{what}") }
    }
}

impl Tls {
    /// `None`: the configuration has no TLS there.
    pub(super) fn new(side: Side, config: &Config) -> Result<Option<Self>, TlsError> {
        let Some(settings) = side.settings(config) else { return Ok(None) };
        let tickets = aws_lc_rs::Ticketer::new().map_err(|error| TlsError::new("key", error))?;
        let config = Arc::new(server_config(side, settings, &tickets)?);
        Ok(Some(Self { side, current: Arc::new(Mutex::new(config)), tickets }))
    }

    pub(super) fn session(&self) -> Option<Session> {
        let config = Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner));
        // It only fails for settings that allow no TLS version, which ours never do.
        let mut connection = ServerConnection::new(config).ok()?;
        // Unlimited, because unsent bytes are already bounded in the shard's outbox.
        connection.set_buffer_limit(None);
        Some(Session { connection, deferred: Vec::new(), told_end: false })
    }
}

impl Part for Tls {
    fn name(&self) -> &'static str {
        match self.side {
            Side::Web => "keys and certificates",
            Side::Mqtt => "keys and certificates of MQTT",
        }
    }

    /// Once swapped in they apply to new connections; existing ones keep theirs.
    fn prepare(&self, config: &Config) -> Result<Swap, String> {
        let Some(settings) = self.side.settings(config) else {
            return Err("TLS is on, and can be switched off only by a restart".to_owned());
        };
        let config = server_config(self.side, settings, &self.tickets).map_err(|error| error.to_string())?;
        let (current, config) = (Arc::clone(&self.current), Arc::new(config));
        Ok(Box::new(move || *current.lock().unwrap_or_else(PoisonError::into_inner) = config))
    }

    fn adopt(&self, from: &Config, to: &mut Config) {
        if let (Some(from), Some(to)) = (self.side.settings(from), self.side.settings_mut(to)) {
            let port = to.port;
            to.clone_from(from);
            to.port = port;
        }
    }
}

fn server_config(
    side: Side,
    settings: &Settings,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, TlsError> {
    let section = side.section();
    let mut config = built(settings, tickets).map_err(|error| TlsError { section, ..error })?;
    config.alpn_protocols = vec![side.protocol().to_vec()];
    Ok(config)
}

fn built(settings: &Settings, tickets: &Arc<dyn ProducesTickets>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new("cert", error))?;
    let builder = match &settings.client_authority {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("ca", pem)? {
                roots.add(certificate).map_err(|error| TlsError::new("ca", error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsError::new("ca", error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates("cert", &settings.certificate)?;
    let mut config = builder.with_single_cert(chain, private_key(&settings.key)?).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::new("key", "is not the key of the certificate in cert"),
        other => TlsError::new("key", other),
    })?;
    // The client's preference of ciphers is followed, which is the default: all offered ones are strong, and a device
    // without hardware for AES has good reason to prefer another. Tickets hold the session themselves: nothing is
    // shared between cores but their key.
    config.ticketer = Arc::clone(tickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The text of a PEM source.
fn text(key: &'static str, pem: &Pem) -> Result<Vec<u8>, TlsError> {
    match pem {
        Pem::Text(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => {
            std::fs::read(path).map_err(|error| TlsError::new(key, format!("{}: {error}", path.display())))
        }
    }
}

fn certificates(key: &'static str, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(key, pem)?).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError::new(key, "there is no CERTIFICATE in it (PEM is expected)")),
        Err(error) => Err(TlsError::new(key, error)),
    }
}

/// A key in any of the forms people have: PKCS#8, PKCS#1 (RSA) or SEC1 (elliptic curves).
fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = text("key", pem)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        if text.windows(9).any(|part| part == b"ENCRYPTED") {
            TlsError::new("key", "is encrypted: decrypt it first (openssl pkey -in key.pem -out plain.pem)")
        } else {
            TlsError::new("key", format!("there is no private key in it (PEM is expected): {error}"))
        }
    })
}

/// One secured connection.
#[derive(Debug)]
pub(super) struct Session {
    connection: ServerConnection,
    /// Ciphertext of a handshake that waits until it may go on.
    deferred: Vec<u8>,
    told_end: bool,
}

impl Session {
    /// Whether the handshake is under way, so that the next ciphertext may cost a signature.
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Keeps ciphertext until the handshake may go on. Returns whether it is the first that was kept.
    pub(super) fn defer(&mut self, sealed: &[u8]) -> bool {
        let first = self.deferred.is_empty();
        self.deferred.extend_from_slice(sealed);
        first
    }

    /// Bytes of a handshake that waits for its turn.
    pub(super) fn deferred_bytes(&self) -> usize {
        self.deferred.len()
    }

    /// Whether a handshake waits for its turn.
    pub(super) fn is_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// As [`Session::open`], for the ciphertext that was kept.
    pub(super) fn open_deferred(&mut self, plain: &mut Vec<u8>) -> Result<bool, rustls::Error> {
        let sealed = std::mem::take(&mut self.deferred);
        self.open(&sealed, plain)
    }

    /// Decrypts, and appends the plaintext. Returns whether the peer has said that it will send nothing more.
    pub(super) fn open(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> Result<bool, rustls::Error> {
        let mut over = false;
        while !sealed.is_empty() {
            // It only fails while plaintext is left unread, and each round reads all of it.
            if self.connection.read_tls(&mut sealed).unwrap_or(0) == 0 {
                break;
            }
            let state = self.connection.process_new_packets()?;
            let (start, count) = (plain.len(), state.plaintext_bytes_to_read());
            over |= state.peer_has_closed();
            plain.resize(start + count, 0);
            if self.connection.reader().read_exact(&mut plain[start..]).is_err() {
                plain.truncate(start);
            }
        }
        Ok(over)
    }

    /// Whether there is ciphertext to send.
    pub(super) fn has_output(&self) -> bool {
        self.connection.wants_write()
    }

    /// Encrypts an outbox, reusing its memory. The ciphertext must be sent before any that is made later.
    pub(super) fn seal(&mut self, mut outbox: Outbox) -> Outbox {
        for piece in outbox.pieces() {
            // Writing to memory cannot fail.
            let _ = self.connection.writer().write_all(piece);
        }
        outbox.clear();
        self.output(outbox)
    }

    /// The last bytes to send: an alert, or that nothing more will follow. Empty the second time.
    pub(super) fn end(&mut self) -> Outbox {
        if !std::mem::replace(&mut self.told_end, true) {
            self.connection.send_close_notify();
        }
        self.output(Outbox::default())
    }

    fn output(&mut self, mut sealed: Outbox) -> Outbox {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut sealed.bytes).unwrap_or(0) == 0 {
                break;
            }
        }
        sealed
    }
}

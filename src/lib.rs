//! The server as a library. This crate does everything that waits for something: sockets, storage, timers. Decisions
//! about messages are made by the crates under `shards/`, which do no I/O.
//!
//! *Owns* sockets, storage, configuration, logging and the process. *Promises* that `main.rs` only connects these parts, and that
//! another program can start a server as it does ([`server`]).
//! *Does not* decide what a message means.

pub mod auth;
pub mod bus;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connector;
pub mod credentials;
pub mod doctor;
pub mod endpoint;
pub mod host;
pub mod log;
pub mod monitor;
pub mod note;
pub mod permissions;
pub mod proxies;
pub mod registry;
pub mod reload;
pub mod server;
pub mod service;
pub mod settings;
pub mod storage;

/// This server's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

//! Real databases and busses for tests: Redis, PostgreSQL and others, each a process of the test's own.
//!
//! *Owns* how each is installed, configured, started, killed, frozen and started again. *Promises* that whatever answers at the port
//! of an [`Engine`] is its own process, never one that happened to be there; that engines started at the same time, by any number of
//! test processes, do not meet; and that nothing outlives the process that started it, however that ends. *Does not* skip: a program
//! that is missing is an error which says what installs it.

mod engine;
mod home;
mod kind;
mod node;
mod options;
mod port;
mod process;
mod program;
mod proof;
mod tls;

pub use engine::{Credentials, Engine, shared, start};
pub use kind::Kind;
pub use node::Node;
pub use options::Options;
pub use tls::Certificates;

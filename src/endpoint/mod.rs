//! What is served on a path.

pub mod http;
pub mod proxies;

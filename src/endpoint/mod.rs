//! What is served on a path.

pub mod body;
pub mod http;

//! deepstream
fn main() {}

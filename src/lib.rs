//! deepstream

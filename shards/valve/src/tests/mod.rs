//! Rules, judged.

mod bounds;
mod cases;
mod files;
mod node;
mod reference;
mod trees;
mod world;

//! The embedded store as storage: its settings, and its keys.

use super::node::Node;
use super::storage::{Complain, Storage};
use super::table::{Row, Rule, milliseconds, row};
use super::text;
use super::types::Config;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `storage` of type `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Absolute path of the directory.
    pub directory: PathBuf,
    /// When a write counts as kept.
    pub durability: Durability,
}

/// `storage.options.durability`: what an acknowledged write is safe from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut: fsynced.
    Always,
    /// It survives a crash of the process at once, and a power cut after this time.
    Interval(Duration),
    /// It survives a crash of the process; the kernel decides when it reaches the disk.
    None,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { directory: PathBuf::from("data"), durability: Durability::Always }
    }
}

/// How often `interval` writes to the disk if nothing else is said.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) static ROWS: [&[Row]; 1] = [&[
    row("storage[default]", Rule::Kind(|c| c.storage = Storage::of(Embedded::default()))),
    row("storage[default].options.directory", Rule::Text(directory)),
    row("storage[default].options.durability", Rule::Text(durability)),
    // Only has a meaning together with `durability: interval`, which may come later in the file: so it is applied once
    // everything was read.
    row("storage[default].options.intervalMs", milliseconds(1, |_, _| ())),
]];

fn directory(config: &mut Config, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the path of a directory".to_owned());
    }
    config.storage.change(|embedded: &mut Embedded| embedded.directory = PathBuf::from(text));
    Ok(())
}

fn durability(config: &mut Config, text: &str) -> Result<(), String> {
    let durability = match text {
        "always" => Durability::Always,
        "interval" => Durability::Interval(INTERVAL),
        "none" => Durability::None,
        _ => return Err("always, interval or none".to_owned()),
    };
    config.storage.change(|embedded: &mut Embedded| embedded.durability = durability);
    Ok(())
}

/// Checks what can only be checked once everything was read.
pub(super) fn settle(file: &Path, root: &Node, config: &mut Config, complain: &mut Complain<'_>) {
    let at = |path: &[&str]| path.iter().try_fold(root, |node, key| node.get(key));
    config.storage.change(|Embedded { directory, durability }| {
        // Paths in the file are relative to the file; the default is relative to where the server was started.
        if at(&["storage", "options", "directory"]).is_some() {
            *directory = file.parent().unwrap_or(Path::new("")).join(&*directory);
        }
        *directory = text::absolute(directory);
        match (at(&["storage", "options", "intervalMs"]).map(Node::typed), durability) {
            (Some(Node::Integer(ms)), Durability::Interval(every)) => {
                *every = Duration::from_millis(u64::try_from(ms).unwrap_or(1));
            }
            (Some(_), Durability::Always | Durability::None) => {
                let path = ["storage", "options", "intervalMs"];
                complain(&path, "means something only beside durability: interval", "remove one of the two");
            }
            _ => {}
        }
    });
}

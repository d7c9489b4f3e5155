//! Our server's program: built from this workspace, so that never an older one is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The program given, or the one of this workspace, built if need be.
pub(crate) fn program(given: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(given) = given {
        return given.canonicalize().map_err(|error| format!("{}: {error}", given.display()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--quiet", "--package", "deepstream", "--bin", "deepstream"]);
    let built = build.current_dir(WORKSPACE).status();
    let built = built.map_err(|error| format!("cannot build the server ({error}); name its program with --server"))?;
    if !built.success() {
        return Err("the server does not build; name its program with --server".to_owned());
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    // Beside this program, or, if this was built otherwise, in the folder of releases beside that.
    let target = own.parent().and_then(Path::parent).map(|target| target.join("release/deepstream"));
    target
        .filter(|path| path.exists())
        .ok_or_else(|| "the server was built, but elsewhere; name it with --server".to_owned())
}

/// The commit of this workspace, with a mark if it was changed since.
pub(crate) fn commit() -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).current_dir(WORKSPACE).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    if changed { commit + " with changes" } else { commit }
}

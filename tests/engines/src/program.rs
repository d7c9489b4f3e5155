//! Where the programs are, and what to say of one that is missing.

use std::path::{Path, PathBuf};

/// Debian keeps daemons where not every user looks for programs.
const ELSEWHERE: &[&str] = &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// A program on the path.
pub(crate) fn on_path(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(ELSEWHERE.iter().map(PathBuf::from));
    at(name, folders.map(|folder| folder.join(name)))
}

/// The first of these files that is there.
pub(crate) fn at(name: &str, mut files: impl Iterator<Item = PathBuf>) -> Result<PathBuf, String> {
    files.find(|file| file.is_file()).ok_or_else(|| format!("{name} is missing; scripts/install-engines installs it"))
}

/// Where `scripts/install-engines` puts what Debian does not have.
pub(crate) fn tools() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(ours, PathBuf::from).join("tools")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_missing_program_is_an_error_that_says_what_installs_it() {
        let error = super::on_path("no-such-server").unwrap_err();
        assert_eq!(error, "no-such-server is missing; scripts/install-engines installs it");
        assert!(super::on_path("sh").is_ok());
    }
}

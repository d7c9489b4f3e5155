//! The directory of all engines of this process, and the guard that clears it away.

use std::fs::{Permissions, create_dir_all, set_permissions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Waits at a pipe for the end of this process, then ends whatever still runs in the directory, and removes it. The kernel has
/// ended our children by then; what they started, or what it did not reach, is found by where it works. Databases that end in
/// order are given two seconds for it.
const GUARD: &str = r#"
cat >/dev/null
rounds=0
while [ -e "$0" ] && [ "$rounds" -lt 600 ]; do
    left=$(find /proc -mindepth 2 -maxdepth 2 -name cwd \( -lname "$0" -o -lname "$0/*" \) -printf '%h\n' 2>/dev/null)
    if [ -z "$left" ]; then
        rm -rf "$0" && exit
    elif [ "$rounds" -ge 20 ]; then
        for process in $left; do kill -9 "${process#/proc/}"; done
    fi
    rounds=$((rounds + 1))
    sleep 0.1
done
"#;

/// The directory, and the pipe that tells the guard of our end.
struct Home {
    path: PathBuf,
    _alive: ChildStdin,
}

static HOME: OnceLock<Result<Home, String>> = OnceLock::new();
static ENGINES: AtomicUsize = AtomicUsize::new(0);

/// A directory for one engine, with room for its name.
pub(crate) fn directory(name: &str) -> Result<PathBuf, String> {
    let home = HOME.get_or_init(Home::new).as_ref().map_err(Clone::clone)?;
    let number = ENGINES.fetch_add(1, Ordering::Relaxed);
    let path = home.path.join(format!("{name}-{number}"));
    make(&path)?;
    Ok(path)
}

/// A directory that other users may enter: not all servers run as we do.
pub(crate) fn make(path: &Path) -> Result<(), String> {
    let made = create_dir_all(path).and_then(|()| set_permissions(path, Permissions::from_mode(0o755)));
    made.map_err(|error| format!("{}: {error}", path.display()))
}

impl Home {
    fn new() -> Result<Self, String> {
        let random = RandomState::new().hash_one(0_u8) as u32;
        let path = std::env::temp_dir().join(format!("deepstream-engines-{}-{random:08x}", std::process::id()));
        make(&path)?;
        // In a group of its own: what is typed at the terminal, or ends a whole run, is not meant for it.
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).arg(&path).current_dir("/").process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn().map_err(|error| format!("the guard of {}: {error}", path.display()))?;
        let alive = guard.stdin.take().ok_or("the guard has no pipe")?;
        Ok(Self { path, _alive: alive })
    }
}

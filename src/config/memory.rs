//! How much memory this process may use: that of the machine, or the limit of its container or systemd unit.

use std::fs::read_to_string;
use std::path::Path;

/// Assumed memory of the machine if the kernel does not say.
const UNKNOWN: u64 = 1 << 30;
/// The default for what connections may make the server hold is the memory divided by this.
const PART: u64 = 4;
/// But at least this much, however little memory there is.
const LEAST: u64 = 16 << 20;

/// Bytes that all connections may make the server hold where the configuration does not say.
pub(super) fn held_bytes_max() -> usize {
    let bytes = (usable(Path::new("/")).unwrap_or(UNKNOWN) / PART).max(LEAST);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn usable(root: &Path) -> Option<u64> {
    let machine = read_to_string(root.join("proc/meminfo")).ok().as_deref().and_then(total);
    let groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    [machine, least_of_groups(root, &groups)].into_iter().flatten().min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The lowest memory limit of the process's control group and those around it, in version 1 or 2 of control groups.
fn least_of_groups(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (base, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let path = Path::new(path.trim_start_matches('/'));
        // Inside a container the outer part of the path may not be visible; the root is.
        path.ancestors().filter_map(|folder| read_to_string(root.join(base).join(folder).join(file)).ok()).collect()
    });
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    /// Files of a machine of this test's own.
    fn machine(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("deepstream-memory-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            create_dir_all(path.parent().expect("a folder")).expect("a folder");
            write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn memory_is_the_least_of_what_the_machine_has_and_its_groups_are_given() {
        const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        4096 kB\nMemFree:         100 kB\n");
        type Files = &'static [(&'static str, &'static str)];
        let cases: &[(&str, Files, Option<u64>)] = &[
            ("none", &[], None),
            ("plain", &[MEMINFO], Some(4 << 20)),
            (
                "second",
                &[
                    MEMINFO,
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                    ("sys/fs/cgroup/a/memory.max", "1048576\n"),
                ],
                Some(1 << 20),
            ),
            (
                "first",
                &[
                    MEMINFO,
                    ("proc/self/cgroup", "9:cpu:/x\n4:memory:/x\n"),
                    ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2097152\n"),
                ],
                Some(2 << 20),
            ),
            ("odd", &[MEMINFO, ("proc/self/cgroup", "nonsense\n")], Some(4 << 20)),
        ];
        for (name, files, expected) in cases {
            let root = machine(name, files);
            assert_eq!(usable(&root), *expected, "{name}");
            let _ = std::fs::remove_dir_all(root);
        }
    }
}

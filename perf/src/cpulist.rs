//! Which CPUs either side runs on, and binding a thread to them.

use rustix::thread::{CpuSet, sched_setaffinity};

/// Which CPUs the measured process and the generator get; empty: wherever the kernel likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Of the server, and of the relay it is compared with.
    pub(crate) server: Vec<usize>,
    /// One generator thread each.
    pub(crate) generator: Vec<usize>,
}

impl Cores {
    /// Whether the generator has CPUs that the server does not run on.
    pub(crate) fn is_apart(&self) -> bool {
        !self.server.is_empty()
            && !self.generator.is_empty()
            && self.generator.iter().all(|cpu| !self.server.contains(cpu))
    }

    /// One CPU for either side; nothing to choose on a machine with one.
    pub(crate) fn first_two(cpus: usize) -> Self {
        if cpus < 2 { Self::default() } else { Self { server: vec![0], generator: vec![1] } }
    }
}

/// The CPUs of a list, in the order written; none beyond those that a thread can be bound to.
pub(crate) fn parse(text: &str) -> Result<Vec<usize>, String> {
    let cpus = deepstream_cpulist::parse(text)?;
    match cpus.iter().find(|cpu| **cpu >= CpuSet::MAX_CPU) {
        Some(cpu) => Err(format!("CPU {cpu} is beyond CPU {}", CpuSet::MAX_CPU - 1)),
        None => Ok(cpus),
    }
}

/// A list that [`parse`] reads back, in the same order.
pub(crate) fn format(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Binds the calling thread, and whatever it starts from now on, to these CPUs.
pub(crate) fn pin(cpus: &[usize]) -> Result<(), String> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| format!("cannot run on CPU {}: {error}", format(cpus)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse("2-4,10,12-16:2"), Ok(vec![2, 3, 4, 10, 12, 14, 16]));
        assert_eq!(parse("0"), Ok(vec![0]));
        for wrong in ["", "3-1", "1024", "0-2000", "99999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sides_are_apart_if_no_cpu_is_on_both() {
        assert!(Cores::first_two(2).is_apart());
        assert!(!Cores::first_two(1).is_apart());
        assert!(!Cores { server: vec![0, 1], generator: vec![1] }.is_apart());
    }
}

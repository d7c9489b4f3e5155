//! CPU sets as the kernel and the server's configuration write them: `2-7,10,12-15:2`; and binding a thread to one.

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

/// The CPUs of a list, in the order written. Ranges may have a stride: `0-8:2` is 0, 2, 4, 6, 8.
pub(crate) fn parse(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (range, stride) = match part.split_once(':') {
            Some((range, _)) if !range.contains('-') => return Err(format!("{part:?} has a stride but no range")),
            Some((range, stride)) => (range, number(stride, part)?),
            None => (part, 1),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first, part)?, number(last, part)?);
        if first > last || stride == 0 {
            return Err(format!("{part:?} is not a range that runs upwards"));
        }
        cpus.extend((first..=last).step_by(stride));
    }
    Ok(cpus)
}

fn number(text: &str, part: &str) -> Result<usize, String> {
    let number = text.trim().parse().map_err(|_| format!("{part:?} is not a CPU number or a range of them"))?;
    if number >= CpuSet::MAX_CPU { Err(format!("{part:?} is beyond CPU {}", CpuSet::MAX_CPU - 1)) } else { Ok(number) }
}

/// A list that [`parse`] reads back.
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
        for wrong in ["", "a", "1,", "3-1", "1-2:0", "5:2", "-1", "99999"] {
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

//! Sets up the ring with the best features that this kernel offers.

use super::buffers::Buffers;
use io_uring::{IoUring, Probe, opcode};
use std::io;

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;

pub(super) fn setup(shortcomings: &mut Vec<&'static str>) -> io::Result<IoUring> {
    let builder = || {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_cqsize(COMPLETIONS).setup_clamp().setup_submit_all();
        builder
    };
    let best = builder().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().build(SUBMISSIONS);
    match best {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            shortcomings
                .push("DEFER_TASKRUN (Linux 6.1): completions interrupt the core instead of waiting for its turn");
            builder().setup_coop_taskrun().setup_taskrun_flag().build(SUBMISSIONS)
        }
        result => result,
    }
}

/// Whether the kernel offers a ring with everything this module needs. Gives the optional features that it lacks.
pub(in crate::host) fn probe() -> Result<Vec<&'static str>, Missing> {
    let mut shortcomings = Vec::new();
    let uring = setup(&mut shortcomings).map_err(Missing::Ring)?;
    let mut probe = Probe::new();
    uring.submitter().register_probe(&mut probe).map_err(Missing::Ring)?;
    // Multishot receive came with Linux 6.0 and cannot be probed for; this operation came with the same release and
    // can.
    if !probe.is_supported(opcode::SendZc::CODE) || !uring.params().is_feature_ext_arg() {
        return Err(Missing::Feature);
    }
    if !has_bell_messages(&probe) {
        shortcomings.push(NO_BELL_MESSAGES);
    }
    Buffers::register(&uring).map_err(Missing::Buffers)?.unregister(&uring);
    Ok(shortcomings)
}

/// What it means that a kernel has no ring messages.
pub(super) const NO_BELL_MESSAGES: &str = "ring messages (Linux 5.18): cores wake each other through eventfds";

/// Whether a core can wake another from ring to ring.
pub(super) fn has_bell_messages(probe: &Probe) -> bool {
    probe.is_supported(opcode::MsgRingData::CODE)
}

/// Why there is no network ring.
#[derive(Debug)]
pub(in crate::host) enum Missing {
    /// The ring itself was refused.
    Ring(io::Error),
    /// The kernel is older than Linux 6.0.
    Feature,
    /// The receive buffers were refused.
    Buffers(io::Error),
}

impl Missing {
    /// What is missing, and how to get it.
    pub(in crate::host) fn words(&self) -> (String, String) {
        match self {
            Self::Feature => (
                "this kernel's io_uring is too old".to_owned(),
                "deepstream needs Linux 6.0 or later (multishot receive)".to_owned(),
            ),
            Self::Ring(error) | Self::Buffers(error) => {
                (format!("io_uring is not available: {error}"), remedy(error).to_owned())
            }
        }
    }
}

/// What to do about an io_uring that is refused.
fn remedy(error: &io::Error) -> &'static str {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    match (error.raw_os_error(), disabled.as_deref().map(str::trim)) {
        (_, Ok("2")) => "it is switched off on this machine: sysctl -w kernel.io_uring_disabled=0",
        (Some(libc::EPERM), Ok("1")) => {
            "it is for privileged processes only on this machine: sysctl -w kernel.io_uring_disabled=0, or put the \
             server's user into the group of kernel.io_uring_group"
        }
        (Some(libc::EPERM | libc::ENOSYS | libc::EACCES), _) => {
            "a seccomp profile forbids it, as those of Docker and containerd do: run the container with a profile that \
             allows io_uring_setup, io_uring_enter and io_uring_register (--security-opt seccomp=...)"
        }
        (Some(libc::ENOMEM), _) => {
            "the limit of locked memory is too low: raise it (ulimit -l 8192; LimitMEMLOCK=8M in a systemd unit)"
        }
        (Some(libc::EMFILE | libc::ENFILE), _) => "there are no file descriptors left: raise the limit (LimitNOFILE)",
        _ => "deepstream needs Linux 6.0 or later with CONFIG_IO_URING",
    }
}

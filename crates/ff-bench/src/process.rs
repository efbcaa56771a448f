//! What the system knows of a process and of a directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::{BenchError, Doing as _};
use crate::stats::number;

/// The type of a file system that lies in memory (`statfs(2)`).
const TMPFS: i64 = 0x0102_1994;

/// Resident memory, in millions of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now_mb: f64,
    pub(crate) peak_mb: f64,
}

pub(crate) fn memory(pid: u32) -> Result<Memory, BenchError> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).doing("read a process's memory")?;
    let field = |name: &str| -> Result<f64, BenchError> {
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        kib.map(|kib: usize| number(kib * 1024) / 1e6)
            .ok_or_else(|| BenchError::new(format!("/proc/{pid}/status has no {name}")))
    };
    Ok(Memory { now_mb: field("VmRSS:")?, peak_mb: field("VmHWM:")? })
}

/// Processor time that a process has used, user and system together.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).doing("read a process's times")?;
    // The name may hold blanks and brackets; what follows its last bracket does not.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: Option<u64> = fields
        .get(11..13)
        .and_then(|times| times.iter().map(|ticks| ticks.parse::<u64>().ok()).sum());
    let ticks =
        ticks.ok_or_else(|| BenchError::new(format!("/proc/{pid}/stat is not understood")))?;
    Ok(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// Processor time that the threads of a name in this process have used; zero where the system does not tell.
pub(crate) fn thread_time(name: &str) -> Duration {
    let used = |thread: &Path| -> Option<u64> {
        let is_it = fs::read_to_string(thread.join("comm")).ok()?.trim_end() == name;
        let times = fs::read_to_string(thread.join("schedstat")).ok()?;
        times.split_whitespace().next()?.parse().ok().filter(|_| is_it)
    };
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    Duration::from_nanos(threads.filter_map(|thread| used(&thread.path())).sum())
}

/// What makes the numbers of this build or directory worth less.
pub(crate) fn warnings(dir: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) {
        warnings.push("this is a debug build: run with --release".to_owned());
    }
    if rustix::fs::statfs(dir).is_ok_and(|system| system.f_type == TMPFS) {
        warnings.push(format!(
            "`{}` lies in memory, where a commit costs nothing: name a disk with --dir",
            dir.display()
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_time() {
        let memory = memory(std::process::id()).unwrap();

        assert!(memory.now_mb > 1.0 && memory.peak_mb >= memory.now_mb, "{memory:?}");
        cpu_time(std::process::id()).unwrap();
    }

    #[test]
    fn a_thread_is_found_by_its_name() {
        let busy = || (0..2_000_000_u32).fold(0, |sum: u32, number| sum.wrapping_mul(31) ^ number);
        let measured = move || (std::hint::black_box(busy()), thread_time("found by name")).1;
        let thread = std::thread::Builder::new().name("found by name".to_owned()).spawn(measured);

        assert!(thread.unwrap().join().unwrap() > Duration::ZERO);
        assert_eq!(thread_time("no such name"), Duration::ZERO);
    }
}

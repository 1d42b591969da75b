//! Processor time and memory of processes, from Linux's `/proc`.

use std::error::Error;
use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// Ticks per second in `/proc/*/stat`: `USER_HZ`, the same on every Linux that Rust supports.
const TICKS: u64 = 100;

/// Processor time by process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// The server.
    pub server: Duration,
    /// PostgreSQL: all its processes, including ended ones.
    pub postgres: Duration,
    /// Processor time of this process, which generates the load, and of the pgbench processes that it has
    /// run.
    pub generator: Duration,
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            postgres: self.postgres.saturating_sub(before.postgres),
            generator: self.generator.saturating_sub(before.generator),
        }
    }
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            server: self.server + other.server,
            postgres: self.postgres + other.postgres,
            generator: self.generator + other.generator,
        }
    }
}

impl Cpu {
    /// The time used up to now.
    ///
    /// # Errors
    /// No Linux `/proc`.
    pub fn now(server: Option<u32>, postmaster: u32) -> Result<Self, Failure> {
        let used = |pid: u32| Stat::of(&pid.to_string());
        let server = match server {
            Some(pid) => used(pid)?.own,
            None => Duration::ZERO,
        };
        let generator = Stat::of("self")?;
        let mut postgres = used(postmaster)?.whole();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            else {
                continue;
            };
            // The process has ended since the folder was listed, so it is left out.
            let Ok(stat) = Stat::of(pid) else { continue };
            if stat.parent == postmaster {
                postgres += stat.whole();
            }
        }
        Ok(Self { server, postgres, generator: generator.whole() })
    }
}

struct Stat {
    parent: u32,
    own: Duration,
    children: Duration,
}

impl Stat {
    fn of(pid: &str) -> Result<Self, Failure> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The process name stands in parentheses and may itself contain parentheses, so the fields begin
        // after the last closing parenthesis.
        let (_, rest) = text.rsplit_once(')').ok_or("no name")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| -> Result<u64, Failure> { Ok(fields.get(at).ok_or("too short")?.parse()?) };
        let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS);
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own: time(number(11)? + number(12)?),
            children: time(number(13)? + number(14)?),
        })
    }

    fn whole(&self) -> Duration {
        self.own + self.children
    }
}

/// Processor time that a process has used.
///
/// # Errors
/// No Linux `/proc`, or the process is gone.
pub fn used(pid: u32) -> Result<Duration, Failure> {
    Ok(Stat::of(&pid.to_string())?.own)
}

/// Number of children of a process.
///
/// # Errors
/// No Linux `/proc`.
pub fn children(parent: u32) -> Result<usize, Failure> {
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let stat = name.to_str().and_then(|name| Stat::of(name).ok());
        count += usize::from(stat.is_some_and(|stat| stat.parent == parent));
    }
    Ok(count)
}

/// Resident memory of a process in bytes: now, and its peak.
///
/// # Errors
/// No Linux `/proc`.
pub fn resident(pid: u32) -> Result<(u64, u64), Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name: &str| -> Result<u64, Failure> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}

/// Memory of the machine in bytes.
///
/// # Errors
/// No Linux `/proc`.
pub fn memory() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).ok_or("no MemTotal")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// How busy the machine was before this run: the load average of the last minute.
///
/// # Errors
/// No Linux `/proc`.
pub fn load_average() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_ascii_whitespace().next().ok_or("empty")?.parse()?)
}

/// Writes back and drops the kernel's file caches; returns whether this was permitted.
pub fn drop_caches() -> bool {
    let synced = std::process::Command::new("sync").status().is_ok_and(|status| status.success());
    synced && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

//! The limit of open files, which is also a limit of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit is raised at most to this value. More files are of no use, and child processes inherit the
/// limit: some programs close every possible file descriptor one by one at their start.
const MAX_SOFT_LIMIT: u64 = 65_536;

/// How many open files are reserved for everything except connections of the main listener: connections to
/// the database, files of the register, standard error, other listeners, and connections that are being
/// refused.
pub const RESERVED_FILES: u64 = 256;

/// Raises this process's soft limit of open files to its hard limit, and returns it.
///
/// The usual soft limit of 1,024 is too low: without free files `accept` fails, and so do the statements of
/// connections that are open already.
#[must_use]
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (current, maximum) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let raised = maximum.min(MAX_SOFT_LIMIT);
    if current >= raised {
        return current;
    }
    let limit = Rlimit { current: Some(raised), maximum: (maximum < u64::MAX).then_some(maximum) };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, current, "the limit of open files cannot be raised");
            current
        }
    }
}

/// How many of `connections` fit under a limit of open files.
#[must_use]
pub fn connections_within(limit: u64, connections: usize) -> usize {
    // If the limit is very low, connections get half of it, although the reserve is then too small: some
    // connections are better than none.
    let left = limit.saturating_sub(RESERVED_FILES).max(limit / 2).max(1);
    usize::try_from(left).unwrap_or(usize::MAX).min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_taken_from_what_is_left() {
        assert_eq!(connections_within(20_000, 1_024), 1_024);
        assert_eq!(connections_within(1_024, 1_024), 768);
        assert_eq!(connections_within(300, 1_024), 150);
        assert_eq!(connections_within(0, 1_024), 1);
    }

    #[test]
    fn the_soft_limit_is_raised() {
        let limit = raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.unwrap_or(u64::MAX), limit);
        assert!(limit >= now.maximum.unwrap_or(u64::MAX).min(MAX_SOFT_LIMIT));
    }
}

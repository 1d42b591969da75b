//! The faults that are injected.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillFirst,
    KillSecond,
    KillPostmaster,
    KillBackend,
    CutBackends,
    CommitNever,
    CommitUnheard,
    CommitLate,
    SecondBeforeCommit,
    SecondAfterCommit,
    PostmasterBeforeCommit,
    PostmasterAfterCommit,
    AnswersLost,
    TermFirst,
    TermSecond,
    KillPublisher,
    SecondPublisher,
    ClockAhead,
    ClockBehind,
    DiskFull,
}

impl Fault {
    /// The faults that every run injects. `DiskFull` is not among them, because it needs a folder on a small
    /// file system.
    pub const ALL: [Self; 19] = [
        Self::KillFirst,
        Self::KillSecond,
        Self::KillPostmaster,
        Self::KillBackend,
        Self::CutBackends,
        Self::CommitNever,
        Self::CommitUnheard,
        Self::CommitLate,
        Self::SecondBeforeCommit,
        Self::SecondAfterCommit,
        Self::PostmasterBeforeCommit,
        Self::PostmasterAfterCommit,
        Self::AnswersLost,
        Self::TermFirst,
        Self::TermSecond,
        Self::KillPublisher,
        Self::SecondPublisher,
        Self::ClockAhead,
        Self::ClockBehind,
    ];

    /// Whether the fault needs faketime.
    pub fn is_of_the_clock(self) -> bool {
        matches!(self, Self::ClockAhead | Self::ClockBehind)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillFirst => "kill -9 of the server with the private PostgreSQL",
            Self::KillSecond => "kill -9 of the other server",
            Self::KillPostmaster => "kill -9 of PostgreSQL's postmaster",
            Self::KillBackend => "kill -9 of one backend",
            Self::CutBackends => "all backends terminated",
            Self::CommitNever => "connection reset before COMMIT arrives",
            Self::CommitUnheard => "connection reset instead of COMMIT's response",
            Self::CommitLate => "COMMIT delayed by 0.7 s",
            Self::SecondBeforeCommit => "kill -9 of the other server, its COMMIT in flight",
            Self::SecondAfterCommit => "kill -9 of the other server, COMMIT's response in flight",
            Self::PostmasterBeforeCommit => "kill -9 of the postmaster, a COMMIT in flight",
            Self::PostmasterAfterCommit => "kill -9 of the postmaster, COMMIT's response in flight",
            Self::AnswersLost => "client disconnected before the response",
            Self::TermFirst => "SIGTERM of the server with the private PostgreSQL",
            Self::TermSecond => "SIGTERM of the other server",
            Self::KillPublisher => "kill -9 of the publisher",
            Self::SecondPublisher => "a second publisher on the same folder",
            Self::ClockAhead => "clocks of the other server and the publisher 1 h ahead, and back",
            Self::ClockBehind => "clocks of the other server and the publisher 1 h behind, and back",
            Self::DiskFull => "disk full",
        })
    }
}

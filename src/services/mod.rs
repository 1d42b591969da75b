//! Services that use several domain modules and no HTTP: batched reads, long histories, the public check,
//! exports and proofs, the offline verifier, the group commit of custody events, decisions on findings, observations and
//! buyers' reports, the surveillance of all events.

pub mod decisions;
pub mod export;
pub mod group_commit;
pub mod long_history;
pub mod reads;
pub mod register_lookup;
pub mod reports;
pub mod surveillance;
pub mod verification;
pub mod verifier;

//! What makes a write safe to repeat: the client's idempotency key with the first answer ([`stored`]), the
//! posting's own name ([`operation`]), a device's numbers ([`device`]), and the secret that fingerprints
//! are made with ([`secret`]).

pub mod device;
pub mod operation;
pub mod secret;
pub mod stored;

//! Makes write requests safe to repeat: the response stored under the client's idempotency key ([`stored`]),
//! the operation id of a write request ([`operation`]), the numbers of a device's records ([`device`]), and
//! the secret key of the requests' fingerprints ([`secret`]).

pub mod device;
pub mod operation;
pub mod secret;
pub mod stored;

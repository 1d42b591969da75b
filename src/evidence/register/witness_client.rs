//! The witness client: requests cosignatures for a checkpoint (C2SP tlog-witness, the log's side).
//!
//! Each witness has its own task. Before a checkpoint is published, the publisher waits up to one second
//! for witnesses that responded the last time: their signatures make the checkpoint worth more. It does
//! not wait for a witness that failed or was late, until that witness responds again, and it retries a
//! failing witness with a growing backoff. So a witness that hangs delays only one round, by one second:
//! the register is published without its signature, and `keys.json` shows that.

use crate::evidence::tlog::checkpoint::Checkpoint;
use crate::evidence::tlog::note::{Kind, Note, SignatureLine, VerifierKey};
use crate::evidence::tlog::{Folder, decimal, to_base64};
use crate::net::client::{self, Authorities, ClientError};
use futures_util::FutureExt as _;
use hyper::http::{Method, StatusCode, Uri};
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Timeout of one request to a witness.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a round waits for responsive witnesses. A witness that has not responded by then is late.
const ROUND_TIMEOUT: Duration = Duration::from_secs(1);
/// Backoff after a witness has failed: the first, and the maximum.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// URL and public key of a witness; written `URL=VKEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessAddress {
    /// Its base URL, without `/add-checkpoint`.
    pub url: String,
    /// Its public key.
    pub key: VerifierKey,
    endpoint: Uri,
}

impl WitnessAddress {
    /// The witness with this key at this URL.
    ///
    /// # Errors
    /// A message, if the URL cannot be used or the key is not a witness's.
    pub fn new(url: &str, key: VerifierKey) -> Result<Self, String> {
        let url = url.trim_end_matches('/');
        let endpoint: Uri =
            format!("{url}/add-checkpoint").parse().map_err(|_| format!("{url} is not a URL."))?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.authority().is_none() {
            return Err(format!("{url} is not http:// or https:// with a host."));
        }
        if key.kind() != Kind::Cosignature {
            return Err(format!("{key} is not a witness's key: make one with `key make --witness`."));
        }
        Ok(Self { url: url.to_owned(), key, endpoint })
    }
}

impl FromStr for WitnessAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.trim().split_once('=').ok_or("A witness is written URL=VKEY.")?;
        Self::new(url, key.parse().map_err(|error| format!("{key}: {error}."))?)
    }
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// There is no response.
    #[error("{0}")]
    Call(#[from] ClientError),
    /// It returned an error status.
    #[error("it returned {0}")]
    Status(StatusCode),
    /// The witness has cosigned a larger tree of this register than the publisher's folder contains.
    #[error(
        "it has cosigned {cosigned} leaves of this register, but there are only {local} here: an older copy of the \
         register's folder, or a second history"
    )]
    Ahead {
        /// The size that the witness has cosigned.
        cosigned: u64,
        /// The size here.
        local: u64,
    },
    /// The response of the witness is not a cosignature by the witness's key.
    #[error("its response is not a cosignature by its key")]
    Response,
    /// The proof cannot be made.
    #[error("the proof cannot be made from the tiles: {0}")]
    Proof(String),
}

/// The state of a witness after its last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessState {
    /// It responded the last time.
    Prompt,
    /// It has not responded or failed yet.
    New,
    /// The witness failed or was late, so it may not respond to the next request either.
    Nothing,
}

#[derive(Debug)]
struct Witness {
    address: WitnessAddress,
    seen: u64,
    expected: WitnessState,
    backoff: Duration,
    until: Option<Instant>,
    request: Option<JoinHandle<RequestOutcome>>,
}

/// Outcome of a request: the size that the witness has cosigned, and its signature line or an error.
type RequestOutcome = (u64, Result<SignatureLine, CosignError>);

/// The witnesses of a register.
#[derive(Debug)]
pub struct Witnesses {
    all: Vec<Witness>,
    authorities: Authorities,
}

impl Witnesses {
    /// Witnesses in state [`WitnessState::New`]; over HTTPS, certificates of `authorities` are trusted.
    #[must_use]
    pub fn new(addresses: Vec<WitnessAddress>, authorities: Authorities) -> Self {
        Self { all: addresses.into_iter().map(Witness::new).collect(), authorities }
    }

    /// Their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &WitnessAddress> {
        self.all.iter().map(|witness| &witness.address)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Starts a request to each witness that has not signed `note`, has no request running and is not in
    /// backoff.
    pub fn request_cosignatures(&mut self, note: &Note, folder: &Folder) {
        for witness in self.all.iter_mut().filter(|witness| witness.is_due() && !witness.has_signed(note)) {
            let (address, authorities) = (witness.address.clone(), self.authorities.clone());
            let task = run_request(authorities, address, witness.seen, note.clone(), folder.clone());
            witness.request = Some(tokio::spawn(task));
        }
    }

    /// Adds the received cosignatures to `note`, and waits up to one second for the witnesses in state
    /// `expected`. A response for an earlier checkpoint only shows that the witness responds.
    pub async fn collect_cosignatures(&mut self, note: &mut Note, expected: WitnessState) {
        let until = Instant::now() + ROUND_TIMEOUT;
        let receiving = self.all.iter_mut().map(|witness| {
            let deadline = if witness.expected == expected { Some(until) } else { None };
            witness.receive(deadline)
        });
        let lines = futures_util::future::join_all(receiving).await;
        for (line, witness) in lines.into_iter().zip(&self.all) {
            if let Some(line) = line.filter(|line| witness.address.has_made(line, note)) {
                note.add(line);
            }
        }
    }

    /// Adds to `note` those lines of `published` that are valid cosignatures of `note` by these witnesses.
    /// They are verified because another process may have written the file: an invalid line would make
    /// readers reject the checkpoint, and no request would be sent to that witness.
    pub fn restore_cosignatures(&self, note: &mut Note, published: &Note) {
        for line in published.signatures() {
            if self.all.iter().any(|witness| witness.address.has_made(line, note)) {
                note.add(line.clone());
            }
        }
    }
}

impl Witness {
    fn new(address: WitnessAddress) -> Self {
        Self { address, seen: 0, expected: WitnessState::New, backoff: BACKOFF.0, until: None, request: None }
    }

    fn is_due(&self) -> bool {
        self.request.is_none() && self.until.is_none_or(|until| until <= Instant::now())
    }

    fn has_signed(&self, note: &Note) -> bool {
        note.signatures().iter().any(|line| line.is_by(&self.address.key))
    }

    /// The cosignature of the running request, if it has arrived, or arrives by `until`.
    async fn receive(&mut self, until: Option<Instant>) -> Option<SignatureLine> {
        let request = self.request.as_mut()?;
        let received = match until {
            Some(until) => tokio::time::timeout_at(until, request).await.ok(),
            None => request.now_or_never(),
        };
        let name = self.address.key.name();
        let Some(received) = received else {
            if until.is_some() {
                tracing::warn!(witness = name, "a witness is late; not waiting for it until it responds");
                self.expected = WitnessState::Nothing;
            }
            return None;
        };
        self.request = None;
        let (seen, outcome) = received.unwrap_or((0, Err(CosignError::Response)));
        self.seen = seen;
        match outcome {
            Ok(line) => {
                if self.expected == WitnessState::Nothing {
                    tracing::info!(witness = name, "the witness cosigns again");
                }
                (self.expected, self.backoff, self.until) = (WitnessState::Prompt, BACKOFF.0, None);
                Some(line)
            }
            Err(error) => {
                if self.until.is_none() || matches!(error, CosignError::Ahead { .. }) {
                    tracing::warn!(witness = name, %error, "a witness does not cosign");
                }
                self.expected = WitnessState::Nothing;
                self.until = Some(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                None
            }
        }
    }
}

/// Sends a request to one witness, which is assumed to have cosigned `seen` leaves.
async fn run_request(
    authorities: Authorities,
    address: WitnessAddress,
    mut seen: u64,
    note: Note,
    folder: Folder,
) -> RequestOutcome {
    let outcome = request_cosignature(&authorities, &address, &mut seen, &note, &folder).await;
    (seen, outcome)
}

async fn request_cosignature(
    authorities: &Authorities,
    address: &WitnessAddress,
    seen: &mut u64,
    note: &Note,
    folder: &Folder,
) -> Result<SignatureLine, CosignError> {
    let size = Checkpoint::parse(note.text()).map_err(|error| CosignError::Proof(error.to_string()))?.size;
    for first in [true, false] {
        if *seen > size {
            // The assumed size is reset, so that the next round sends a request again: the witness may have
            // reported a wrong size, or may be corrected later, and this process runs for months.
            let cosigned = std::mem::take(seen);
            return Err(CosignError::Ahead { cosigned, local: size });
        }
        let body = request(*seen, size, note, folder)?;
        let response =
            client::send(authorities, Method::POST, &address.endpoint, body, REQUEST_TIMEOUT).await?;
        match response.status {
            StatusCode::OK => {
                let line = address.signature(note, &response.body).ok_or(CosignError::Response)?;
                *seen = size;
                return Ok(line);
            }
            // The witness has stored another size than assumed, and returns that size.
            StatusCode::CONFLICT if first => {
                let reported = std::str::from_utf8(&response.body).ok();
                let reported = reported.and_then(|text| decimal(text.strip_suffix('\n').unwrap_or(text)));
                *seen = reported.ok_or(CosignError::Response)?;
            }
            other => return Err(CosignError::Status(other)),
        }
    }
    Err(CosignError::Response)
}

impl WitnessAddress {
    /// The signature line of this witness in the response body, if its signature is valid.
    fn signature(&self, note: &Note, body: &[u8]) -> Option<SignatureLine> {
        let mut lines =
            std::str::from_utf8(body).ok()?.lines().filter_map(|line| SignatureLine::parse(line).ok());
        lines.find(|line| line.is_by(&self.key)).filter(|line| self.has_made(line, note))
    }

    /// Whether a line is this witness's valid signature over the note's text.
    fn has_made(&self, line: &SignatureLine, note: &Note) -> bool {
        let alone = Note::from_parts(note.text(), line.clone());
        alone.verify(std::slice::from_ref(&self.key)).is_ok()
    }
}

fn request(old: u64, size: u64, note: &Note, folder: &Folder) -> Result<String, CosignError> {
    let proof = folder.tree(size).consistency(old).map_err(|error| CosignError::Proof(error.to_string()))?;
    let mut body = format!("old {old}\n");
    for hash in &proof {
        let _ = writeln!(body, "{}", to_base64(hash));
    }
    let _ = write!(body, "\n{note}");
    Ok(body)
}

#[cfg(test)]
#[path = "witness_client_tests.rs"]
mod tests;

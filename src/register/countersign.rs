//! Asking witnesses to countersign a checkpoint (C2SP tlog-witness, the log's side).
//!
//! A witness that fails is left alone for a while, longer each time, so that it delays nothing: the
//! register goes on without it and says so.

use super::client::{self, ClientError};
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::note::{Kind, Note, SignatureLine, VerifierKey};
use crate::ledger::{Folder, decimal, to_base64};
use axum::http::{Method, StatusCode, Uri};
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::Instant;

/// How long a witness may take over one request. The checkpoint waits for it.
const WITHIN: Duration = Duration::from_secs(2);
/// How long a witness that failed is left alone at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A witness and where it is asked; written `URL=VKEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessAddress {
    /// Its address, to which `/add-checkpoint` is added.
    pub url: String,
    /// Its public key.
    pub key: VerifierKey,
    endpoint: Uri,
}

impl WitnessAddress {
    /// The witness with that key behind that address.
    ///
    /// # Errors
    /// A sentence, if the address cannot be called or the key is no witness's.
    pub fn new(url: &str, key: VerifierKey) -> Result<Self, String> {
        let url = url.trim_end_matches('/');
        let endpoint: Uri =
            format!("{url}/add-checkpoint").parse().map_err(|_| format!("{url} is no address."))?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.authority().is_none() {
            return Err(format!("{url} is not http:// or https:// with a host."));
        }
        if key.kind() != Kind::Cosignature {
            return Err(format!("{key} is not a witness's key: those are made with `key make --witness`."));
        }
        Ok(Self { url: url.to_owned(), key, endpoint })
    }
}

impl FromStr for WitnessAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.split_once('=').ok_or("The form of a witness is URL=VKEY.")?;
        Self::new(url, key.parse().map_err(|error| format!("{key}: {error}."))?)
    }
}

/// Why a witness did not countersign.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It does not answer.
    #[error("{0}")]
    Call(#[from] ClientError),
    /// It answers no.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// It has countersigned a larger tree of this register than there is here.
    #[error(
        "it has seen {theirs} leaves of this register, and here are {ours}: an older copy of the register's \
         folder, or a second history"
    )]
    Ahead {
        /// Its size.
        theirs: u64,
        /// Ours.
        ours: u64,
    },
    /// Its answer is not a countersignature by its key.
    #[error("its answer is not its signature")]
    Answer,
    /// The proof cannot be made.
    #[error("the tiles give no proof: {0}")]
    Proof(String),
}

#[derive(Debug)]
struct Witness {
    address: WitnessAddress,
    seen: u64,
    rest: Duration,
    until: Option<Instant>,
}

/// The witnesses of a register.
#[derive(Debug)]
pub struct Witnesses(Vec<Witness>);

impl Witnesses {
    /// Witnesses that nothing is known of yet.
    #[must_use]
    pub fn new(addresses: Vec<WitnessAddress>) -> Self {
        let fresh = |address| Witness { address, seen: 0, rest: REST.0, until: None };
        Self(addresses.into_iter().map(fresh).collect())
    }

    /// Their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &WitnessAddress> {
        self.0.iter().map(|witness| &witness.address)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one that has not signed `note` may be asked now.
    #[must_use]
    pub fn is_any_due(&self, note: &Note) -> bool {
        self.0.iter().any(|witness| witness.is_due() && !witness.has_signed(note))
    }

    /// Asks all that have not signed `note` and are not resting, at once; adds what they sign.
    pub async fn ask(&mut self, note: &mut Note, folder: &Folder) {
        let asked: &Note = note;
        let asking = self.0.iter_mut().filter(|witness| witness.is_due() && !witness.has_signed(asked));
        let lines = futures_util::future::join_all(asking.map(|witness| witness.ask(asked, folder))).await;
        for line in lines.into_iter().flatten() {
            note.add(line);
        }
    }
}

impl Witness {
    fn is_due(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn has_signed(&self, note: &Note) -> bool {
        note.signatures().iter().any(|line| line.is_by(&self.address.key))
    }

    async fn ask(&mut self, note: &Note, folder: &Folder) -> Option<SignatureLine> {
        let name = self.address.key.name().to_owned();
        match self.countersign(note, folder).await {
            Ok(line) => {
                if self.until.take().is_some() {
                    tracing::info!(witness = name, "the witness countersigns again");
                }
                self.rest = REST.0;
                Some(line)
            }
            Err(error) => {
                if self.until.is_none() || matches!(error, Refused::Ahead { .. }) {
                    tracing::warn!(witness = name, %error, "a witness does not countersign");
                }
                self.until = Some(Instant::now() + self.rest);
                self.rest = (self.rest * 2).min(REST.1);
                None
            }
        }
    }

    async fn countersign(&mut self, note: &Note, folder: &Folder) -> Result<SignatureLine, Refused> {
        let size = Checkpoint::parse(note.text()).map_err(|error| Refused::Proof(error.to_string()))?.size;
        for first in [true, false] {
            if self.seen > size {
                // Forgotten again, so that it is asked the next time: it may have spoken wrongly, or
                // may have been set right since, and a process lives for months.
                let theirs = std::mem::take(&mut self.seen);
                return Err(Refused::Ahead { theirs, ours: size });
            }
            let body = request(self.seen, size, note, folder)?;
            let answer = client::send(Method::POST, &self.address.endpoint, body, WITHIN).await?;
            match answer.status {
                StatusCode::OK => {
                    let line = self.signature(note, &answer.body).ok_or(Refused::Answer)?;
                    self.seen = size;
                    return Ok(line);
                }
                // It remembers another size than we thought, and says which.
                StatusCode::CONFLICT if first => {
                    let theirs = std::str::from_utf8(&answer.body).ok();
                    let theirs = theirs.and_then(|text| decimal(text.strip_suffix('\n').unwrap_or(text)));
                    self.seen = theirs.ok_or(Refused::Answer)?;
                }
                other => return Err(Refused::Status(other)),
            }
        }
        Err(Refused::Answer)
    }

    /// The line by its key among those that it answered, if it is good.
    fn signature(&self, note: &Note, body: &[u8]) -> Option<SignatureLine> {
        let lines =
            std::str::from_utf8(body).ok()?.lines().filter_map(|line| SignatureLine::parse(line).ok());
        lines.into_iter().find(|line| line.is_by(&self.address.key)).filter(|line| {
            Note::from_parts(note.text(), line.clone())
                .verify(std::slice::from_ref(&self.address.key))
                .is_ok()
        })
    }
}

fn request(old: u64, size: u64, note: &Note, folder: &Folder) -> Result<String, Refused> {
    let proof = folder.tree(size).consistency(old).map_err(|error| Refused::Proof(error.to_string()))?;
    let mut body = format!("old {old}\n");
    for hash in &proof {
        let _ = writeln!(body, "{}", to_base64(hash));
    }
    let _ = write!(body, "\n{note}");
    Ok(body)
}

#[cfg(test)]
#[path = "countersign_tests.rs"]
mod tests;

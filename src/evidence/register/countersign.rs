//! Asking witnesses to countersign a checkpoint (C2SP tlog-witness, the log's side).
//!
//! Each is asked in a task of its own. A checkpoint waits, for a moment, only for those that answered
//! the last time: it is worth more with their signatures, and they give them. One that fails or is late
//! is not waited for until it has answered again, and is asked less often each time. So a witness that
//! hangs delays nothing: the register goes on without it and says so.

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

/// How long a witness may take over one request.
const WITHIN: Duration = Duration::from_secs(2);
/// How long is waited for those that are waited for. Who has not answered by then is late.
const MOMENT: Duration = Duration::from_secs(1);
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

/// What is to be expected of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It answered the last time.
    Prompt,
    /// Nothing is known of it yet.
    New,
    /// It failed, or was late: it may be that nothing comes.
    Nothing,
}

#[derive(Debug)]
struct Witness {
    address: WitnessAddress,
    seen: u64,
    expected: Expected,
    rest: Duration,
    until: Option<Instant>,
    asking: Option<JoinHandle<Asked>>,
}

/// What came of asking: the size that the witness has seen, and its line.
type Asked = (u64, Result<SignatureLine, Refused>);

/// The witnesses of a register.
#[derive(Debug)]
pub struct Witnesses {
    all: Vec<Witness>,
    authorities: Authorities,
}

impl Witnesses {
    /// Witnesses that nothing is known of yet; those over https show certificates of `authorities`.
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

    /// Begins to ask all that have not signed `note`, are not resting and are not being asked.
    pub fn ask(&mut self, note: &Note, folder: &Folder) {
        for witness in self.all.iter_mut().filter(|witness| witness.is_due() && !witness.has_signed(note)) {
            let (address, authorities) = (witness.address.clone(), self.authorities.clone());
            let asked = countersigned(authorities, address, witness.seen, note.clone(), folder.clone());
            witness.asking = Some(tokio::spawn(asked));
        }
    }

    /// Adds to `note` what has come, and waits a moment for those of which `expected` is to be
    /// expected. An answer about an earlier checkpoint says that the witness is there, no more.
    pub async fn gather(&mut self, note: &mut Note, expected: Expected) {
        let until = Instant::now() + MOMENT;
        let gathering = self.all.iter_mut().map(|witness| {
            let waited = if witness.expected == expected { Some(until) } else { None };
            witness.answer(waited)
        });
        let lines = futures_util::future::join_all(gathering).await;
        for (line, witness) in lines.into_iter().zip(&self.all) {
            if let Some(line) = line.filter(|line| witness.address.has_made(line, note)) {
                note.add(line);
            }
        }
    }

    /// Adds to `note` those lines under `published` that witnesses of ours have really made under it.
    /// Whoever can write the file must not be able to make a witness unasked, or a checkpoint that
    /// every reader refuses.
    pub fn keep(&self, note: &mut Note, published: &Note) {
        for line in published.signatures() {
            if self.all.iter().any(|witness| witness.address.has_made(line, note)) {
                note.add(line.clone());
            }
        }
    }
}

impl Witness {
    fn new(address: WitnessAddress) -> Self {
        Self { address, seen: 0, expected: Expected::New, rest: REST.0, until: None, asking: None }
    }

    fn is_due(&self) -> bool {
        self.asking.is_none() && self.until.is_none_or(|until| until <= Instant::now())
    }

    fn has_signed(&self, note: &Note) -> bool {
        note.signatures().iter().any(|line| line.is_by(&self.address.key))
    }

    /// What it answered, if it has by `until`, or already.
    async fn answer(&mut self, until: Option<Instant>) -> Option<SignatureLine> {
        let asking = self.asking.as_mut()?;
        let came = match until {
            Some(until) => tokio::time::timeout_at(until, asking).await.ok(),
            None => asking.now_or_never(),
        };
        let name = self.address.key.name();
        let Some(came) = came else {
            if until.is_some() {
                tracing::warn!(witness = name, "a witness is late and is not waited for now");
                self.expected = Expected::Nothing;
            }
            return None;
        };
        self.asking = None;
        let (seen, outcome) = came.unwrap_or((0, Err(Refused::Answer)));
        self.seen = seen;
        match outcome {
            Ok(line) => {
                if self.expected == Expected::Nothing {
                    tracing::info!(witness = name, "the witness countersigns again");
                }
                (self.expected, self.rest, self.until) = (Expected::Prompt, REST.0, None);
                Some(line)
            }
            Err(error) => {
                if self.until.is_none() || matches!(error, Refused::Ahead { .. }) {
                    tracing::warn!(witness = name, %error, "a witness does not countersign");
                }
                self.expected = Expected::Nothing;
                self.until = Some(Instant::now() + self.rest);
                self.rest = (self.rest * 2).min(REST.1);
                None
            }
        }
    }
}

/// Asks one witness, which is thought to have seen `seen` leaves.
async fn countersigned(
    authorities: Authorities,
    address: WitnessAddress,
    mut seen: u64,
    note: Note,
    folder: Folder,
) -> Asked {
    let outcome = countersign(&authorities, &address, &mut seen, &note, &folder).await;
    (seen, outcome)
}

async fn countersign(
    authorities: &Authorities,
    address: &WitnessAddress,
    seen: &mut u64,
    note: &Note,
    folder: &Folder,
) -> Result<SignatureLine, Refused> {
    let size = Checkpoint::parse(note.text()).map_err(|error| Refused::Proof(error.to_string()))?.size;
    for first in [true, false] {
        if *seen > size {
            // Forgotten again, so that it is asked the next time: it may have spoken wrongly, or may
            // have been set right since, and a process lives for months.
            let theirs = std::mem::take(seen);
            return Err(Refused::Ahead { theirs, ours: size });
        }
        let body = request(*seen, size, note, folder)?;
        let answer = client::send(authorities, Method::POST, &address.endpoint, body, WITHIN).await?;
        match answer.status {
            StatusCode::OK => {
                let line = address.signature(note, &answer.body).ok_or(Refused::Answer)?;
                *seen = size;
                return Ok(line);
            }
            // It remembers another size than we thought, and says which.
            StatusCode::CONFLICT if first => {
                let theirs = std::str::from_utf8(&answer.body).ok();
                let theirs = theirs.and_then(|text| decimal(text.strip_suffix('\n').unwrap_or(text)));
                *seen = theirs.ok_or(Refused::Answer)?;
            }
            other => return Err(Refused::Status(other)),
        }
    }
    Err(Refused::Answer)
}

impl WitnessAddress {
    /// The line by its key among those that it answered, if it is good.
    fn signature(&self, note: &Note, body: &[u8]) -> Option<SignatureLine> {
        let mut lines =
            std::str::from_utf8(body).ok()?.lines().filter_map(|line| SignatureLine::parse(line).ok());
        lines.find(|line| line.is_by(&self.key)).filter(|line| self.has_made(line, note))
    }

    /// Whether a line is this witness's signature over that note's text.
    fn has_made(&self, line: &SignatureLine, note: &Note) -> bool {
        let alone = Note::from_parts(note.text(), line.clone());
        alone.verify(std::slice::from_ref(&self.key)).is_ok()
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

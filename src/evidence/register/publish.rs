//! `ormantrace publish`: reads new leaves from the database, signs the larger tree, requests
//! cosignatures and publishes.
//!
//! It has what the database's administrator does not have: the key, and its own copy of the tree. It reads
//! only leaves that it does not have yet, so a change to older leaves never gets a signature. Before it
//! starts, and after each new connection, it compares the database with its tree, and refuses a database that
//! has fewer leaves than its tree, or different ones.

use super::keys_json::KeysJson;
use super::leaves::{self, LeafError};
use super::tree_writer::{Keys, TreeWriter, TreeWriterError};
use super::witness_client::{WitnessAddress, WitnessState, Witnesses};
use crate::base::clock::Clock;
use crate::base::config::shown;
use crate::db::lock::{Denied, Lock};
use crate::evidence::chain::bytes::{ENTRY_LEN, Entry};
use crate::evidence::tlog::note::{Kind, Note, Signer};
use crate::evidence::tlog::tile::{Row, Tile, WIDTH};
use crate::evidence::tlog::{Folder, Frontier, leaf_hash};
use crate::net::client::{Authorities, AuthorityError};
use metrics::{describe_gauge, describe_histogram, gauge, histogram};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of leaves in one round.
const BATCH: u32 = 8192;
/// Number of leaves that one query of a comparison reads: 16 tiles.
const COMPARED: u32 = 4096;
/// Backoff after a failure of the disk or the database: the first, and the maximum.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Interval at which a long comparison logs its progress, and a long wait updates the lag.
const LOG_EVERY: Duration = Duration::from_secs(5);

const SIZE: &str = "ormantrace_publish_size";
const LAG: &str = "ormantrace_publish_lag_seconds";
const ROUND: &str = "ormantrace_publish_round_seconds";
const WITNESSED: &str = "ormantrace_publish_witnessed";

/// Settings of the publisher.
#[derive(Clone, Debug)]
pub struct PublishSettings {
    /// Files of the keys that sign; several during a key rotation. A single key is created if its file
    /// does not exist and nothing was ever signed.
    pub keys: Vec<PathBuf>,
    /// The register's name, for a key that is created.
    pub origin: Option<String>,
    /// The witnesses of the register.
    pub witnesses: Vec<WitnessAddress>,
    /// Certificates of additional authorities, as PEM, for witnesses over HTTPS.
    pub witness_ca: Option<PathBuf>,
    /// How many of the witnesses should cosign a checkpoint.
    pub quorum: usize,
    /// Compare only the last tile, not every leaf, before starting.
    pub quick: bool,
    /// Start the register although its key is older than this run and the database has leaves.
    pub begin: bool,
    /// Time between rounds when there is nothing new.
    pub poll: Duration,
}

/// Why publishing has ended. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no key, and no name to create one with.
    #[error(
        "There is no key {} to sign the register with: give --origin NAME, the register's name (such as \
         wood.example/register), to create one.", shown(.0)
    )]
    NoKey(PathBuf),
    /// A key file cannot be used.
    #[error("The key that signs the register cannot be used: {0}.")]
    Key(io::Error),
    /// The certificates of the witnesses' authorities cannot be used.
    #[error("The certificates in {} cannot be used: {error}.", shown(.file))]
    WitnessCa {
        /// The file.
        file: PathBuf,
        /// The cause.
        error: AuthorityError,
    },
    /// There are fewer witnesses than the quorum.
    #[error("--quorum is {quorum}, but the number of witnesses is {witnesses}.")]
    Quorum {
        /// The quorum.
        quorum: usize,
        /// The number of witnesses.
        witnesses: usize,
    },
    /// Another process publishes in the folder.
    #[error("The register in {} is published by another process ({holder}).", shown(.dir))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The lock holder, from the lock file.
        holder: String,
    },
    /// The register in the folder cannot be extended.
    #[error("{0}")]
    Writer(#[from] TreeWriterError),
    /// The database has leaves and the key existed before, so the key may have signed these leaves, but there
    /// is no last signed checkpoint.
    #[error(
        "Nothing is signed in {} yet, but the key existed before and the database has {leaves} leaves. If the \
         register was published before, its folder is lost, and starting again would create a second history: \
         restore the folder from a copy. If it was never published, give --begin once.", shown(.dir)
    )]
    Begun {
        /// The folder.
        dir: PathBuf,
        /// Number of leaves in the database.
        leaves: u64,
    },
    /// The database has fewer leaves than were signed.
    #[error(
        "The database has {database} leaves, and {signed} were signed and published: an old backup was restored, or \
         records were deleted. Nothing more is signed; see \"A restored database\" in docs/OPERATIONS.md."
    )]
    Shorter {
        /// Number of leaves in the database.
        database: u64,
        /// Number of signed leaves.
        signed: u64,
    },
    /// A leaf in the database differs from the signed one.
    #[error(
        "Leaf {0} of the database is not the one that was signed and published: records were rewritten. Nothing more \
         is signed; `ormantrace fsck` names the event."
    )]
    Rewritten(u64),
    /// The database's leaves cannot come from the sequencer.
    #[error("The database's register is damaged: {0}. Nothing more is signed; see `ormantrace fsck`.")]
    Damaged(LeafError),
    /// A database error against which a retry does not help.
    #[error("The database returned an error: {0}.")]
    Database(#[source] sqlx::Error),
}

impl From<LeafError> for PublishError {
    fn from(error: LeafError) -> Self {
        match error {
            LeafError::Database(error) => Self::Database(error),
            damaged => Self::Damaged(damaged),
        }
    }
}

impl PublishError {
    /// Whether a retry may help: an I/O error of the disk, or a database error other than missing rights.
    fn is_passing(&self) -> bool {
        match self {
            Self::Writer(error) => error.is_passing(),
            Self::Database(error) => {
                // insufficient_privilege on the columns is permanent; any other error may be temporary.
                error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref()
                    != Some("42501")
            }
            _ => false,
        }
    }
}

/// The publisher of a register.
#[derive(Debug)]
pub struct Publisher {
    writer: Option<TreeWriter>,
    /// Whether the first signature must wait until the database is known to have no leaves.
    needs_empty_database: bool,
    folder: Folder,
    keys: Arc<Keys>,
    clock: Clock,
    database: PgConnectOptions,
    witnesses: Witnesses,
    settings: PublishSettings,
    published: Option<Note>,
    stated: Option<KeysJson>,
    _lock: Lock,
}

fn received_at(entry: &[u8; ENTRY_LEN]) -> i64 {
    Entry::from(*entry).received_at()
}

/// The time since which the published register is behind the database. It is stored, so that the lag grows
/// while no round succeeds.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// In µs since 1970: when the oldest unpublished event was received; if all are published, the start of
    /// the last read of the database.
    since: i64,
}

impl Behind {
    /// Call this when these entries were read, before they are published.
    fn unpublished(&mut self, entries: &[[u8; ENTRY_LEN]]) {
        self.since = entries.iter().map(received_at).min().unwrap_or(self.since);
    }

    /// Call this when these entries are published. If there are no `more`, everything received before
    /// `read_at` is published.
    fn published(&mut self, entries: &[[u8; ENTRY_LEN]], more: bool, read_at: i64) {
        let newest = entries.iter().map(received_at).max();
        self.since = newest.filter(|_| more).unwrap_or(read_at);
    }

    fn lag(self, now: i64) -> Duration {
        Duration::from_micros(u64::try_from(now.saturating_sub(self.since)).unwrap_or_default())
    }

    fn report(self, clock: &Clock) {
        gauge!(LAG).set(self.lag(clock.now().timestamp_micros()).as_secs_f64());
    }
}

/// The result of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// There were no new leaves.
    Idle,
    /// Number of leaves that were added, and whether there may be more.
    Added(usize, bool),
}

impl Publisher {
    /// Opens the folder and the keys. Does not connect to the database yet.
    ///
    /// # Errors
    /// A message for the administrator.
    pub fn open(
        settings: PublishSettings,
        folder: Folder,
        database: PgConnectOptions,
        clock: Clock,
    ) -> Result<Self, PublishError> {
        if settings.quorum > settings.witnesses.len() {
            let witnesses = settings.witnesses.len();
            return Err(PublishError::Quorum { quorum: settings.quorum, witnesses });
        }
        let authorities = Authorities::with(settings.witness_ca.as_deref()).map_err(|error| {
            PublishError::WitnessCa { file: settings.witness_ca.clone().unwrap_or_default(), error }
        })?;
        let lock_file = folder.lock_file();
        folder.make_state().map_err(TreeWriterError::Disk)?;
        let lock = Lock::take(&lock_file).map_err(|denied| match denied {
            Denied::Held(holder) => PublishError::InUse { dir: folder.root().to_path_buf(), holder },
            Denied::Io(error) => PublishError::Writer(TreeWriterError::Disk(error)),
        })?;
        let begun = folder.signed().map_err(TreeWriterError::Disk)?.is_some()
            || folder.published().map_err(TreeWriterError::Disk)?.is_some();
        let (keys, made) = load_keys(&settings, &folder)?;
        let keys = Arc::new(Keys::new(keys)?);
        if let Some(given) = settings.origin.as_deref().filter(|given| *given != keys.origin()) {
            tracing::warn!(given, origin = keys.origin(), "the register keeps the name of its key");
        }
        // A key that has just been created has signed nothing before.
        let needs_empty_database = !(begun || made || settings.begin);
        let writer = if needs_empty_database {
            None
        } else {
            Some(TreeWriter::open(folder.clone(), Arc::clone(&keys), clock.clone())?)
        };
        let witnesses = Witnesses::new(settings.witnesses.clone(), authorities);
        describe_gauge!(SIZE, "Leaves of the register that are published.");
        describe_gauge!(
            LAG,
            "Seconds since receiving the oldest event that is not published; if none is known, since all were."
        );
        describe_gauge!(WITNESSED, "Witnesses that have cosigned the published checkpoint.");
        describe_histogram!(ROUND, "Seconds from reading new leaves to publishing them.");
        tracing::info!(origin = keys.origin(), size = writer.as_ref().map(TreeWriter::size), dir = %shown(folder.root()), "the register is open");
        Ok(Self {
            writer,
            needs_empty_database,
            folder,
            keys,
            clock,
            database,
            witnesses,
            settings,
            published: None,
            stated: None,
            _lock: lock,
        })
    }

    /// Number of leaves that are signed.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.writer.as_ref().map_or(0, TreeWriter::size)
    }

    /// The keys that sign.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Connects, and compares the database with the tree: all leaves, or those of the last tile.
    ///
    /// # Errors
    /// If a leaf is missing or differs from the signed one.
    pub async fn connect(&self, full: bool) -> Result<PgConnection, PublishError> {
        let mut connection = self.database.connect().await.map_err(PublishError::Database)?;
        if let Some(writer) = &self.writer {
            compare(writer, &mut connection, full).await?;
        }
        Ok(connection)
    }

    /// Publishes until `stop` resolves or a permanent error occurs. A round that is being written when
    /// `stop` resolves is finished.
    ///
    /// # Errors
    /// A message for the administrator: for example, the database differs from what was signed, or another
    /// publisher has signed in the folder.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), PublishError> {
        let mut stop = pin!(stop);
        let mut connection = None;
        let mut full = !self.settings.quick;
        let mut pause = BACKOFF.0;
        let clock = self.clock.clone();
        let mut behind = Behind { since: clock.now().timestamp_micros() };
        loop {
            let read_at = clock.now().timestamp_micros();
            let next = {
                let mut reading = pin!(self.read_entries(&mut connection, full));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut stop => break None,
                        entries = &mut reading => break Some(entries),
                        // The lag is also reported while a read takes long: it matters most when the database
                        // does not respond.
                        () = tokio::time::sleep(LOG_EVERY) => behind.report(&clock),
                    }
                }
            };
            let Some(next) = next else { break };
            // From here until the checkpoint is published, `stop` interrupts nothing.
            let round = match next {
                Ok(entries) => {
                    behind.unpublished(&entries);
                    behind.report(&clock);
                    let round = self.round(&entries).await;
                    if let Ok(done) = round {
                        behind.published(&entries, matches!(done, Round::Added(_, true)), read_at);
                    }
                    round
                }
                Err(error) => Err(error),
            };
            behind.report(&clock);
            let wait = match round {
                Ok(Round::Added(_, true)) => Duration::ZERO,
                Ok(_) => self.settings.poll,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "publishing failed; trying again");
                    connection = None;
                    pause
                }
                Err(error) => return Err(error),
            };
            full &= connection.is_none();
            pause = if connection.is_some() { BACKOFF.0 } else { (pause * 2).min(BACKOFF.1) };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        tracing::info!(size = self.size(), "publishing has ended");
        Ok(())
    }

    /// Reads new entries. May be cancelled at any time: it writes only when it opens the folder (at the start
    /// or after a failed round), and cancellation does not interrupt that.
    async fn read_entries(
        &mut self,
        connection: &mut Option<PgConnection>,
        full: bool,
    ) -> Result<Vec<[u8; ENTRY_LEN]>, PublishError> {
        if self.needs_empty_database {
            let mut open = self.connect(full).await?;
            let leaves = leaves::count(&mut open).await.map_err(PublishError::Database)?;
            if leaves > 0 {
                return Err(PublishError::Begun { dir: self.folder.root().to_path_buf(), leaves });
            }
            self.needs_empty_database = false;
        }
        if self.writer.is_none() {
            let (folder, keys, clock) = (self.folder.clone(), Arc::clone(&self.keys), self.clock.clone());
            let opened = blocking(move || TreeWriter::open(folder, keys, clock)).await?;
            self.writer = Some(opened);
        }
        if connection.is_none() {
            *connection = Some(self.connect(full).await?);
        }
        let (Some(open), size) = (connection.as_mut(), self.size()) else { return Ok(Vec::new()) };
        let entries = leaves::read(open, size, BATCH).await?;
        if entries.is_empty() {
            let database = leaves::count(open).await.map_err(PublishError::Database)?;
            if database < size {
                return Err(PublishError::Shorter { database, signed: size });
            }
        }
        Ok(entries)
    }

    /// Extends, signs, requests cosignatures and publishes. Waits up to one second for the witnesses that
    /// responded the last time, then publishes, then waits up to one second for those that have never
    /// responded. Does not wait for a witness that failed or was late the last time.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn round(&mut self, entries: &[[u8; ENTRY_LEN]]) -> Result<Round, PublishError> {
        let began = Instant::now();
        let Some(mut writer) = self.writer.take() else { return Ok(Round::Idle) };
        if !entries.is_empty() {
            let entries = entries.to_vec();
            writer = blocking(move || writer.extend(&entries).map(|()| writer)).await?;
        }
        let mut note = writer.note().clone();
        // A checkpoint that was published before a restart has cosignatures already, so they are not
        // requested again.
        if self.published.is_none()
            && let Some(bytes) = writer.folder().published().map_err(TreeWriterError::Disk)?
        {
            self.published = Note::parse(&bytes).ok();
        }
        if let Some(published) = self.published.as_ref().filter(|published| published.text() == note.text()) {
            self.witnesses.restore_cosignatures(&mut note, published);
        }
        self.witnesses.request_cosignatures(&note, writer.folder());
        self.witnesses.collect_cosignatures(&mut note, WitnessState::Prompt).await;
        writer = self.show(writer, &note).await?;
        // A witness that has never responded may not exist: the checkpoint is published before waiting
        // for it, and again with its cosignature.
        self.witnesses.collect_cosignatures(&mut note, WitnessState::New).await;
        self.writer = Some(self.show(writer, &note).await?);
        if entries.is_empty() {
            return Ok(Round::Idle);
        }
        self.measure(began);
        Ok(Round::Added(entries.len(), entries.len() == BATCH as usize))
    }

    /// Publishes the checkpoint and `keys.json`, each if it has changed.
    async fn show(&mut self, mut writer: TreeWriter, note: &Note) -> Result<TreeWriter, PublishError> {
        let standing = self.standing(note);
        let changed = self.published.as_ref() != Some(note);
        let newly_stated = self.stated.as_ref() != Some(&standing);
        if changed || newly_stated {
            let (shown, statement) = (note.clone(), newly_stated.then(|| standing.to_json()));
            writer = blocking(move || {
                if let Some(json) = statement {
                    writer.folder().publish_keys(json)?;
                }
                writer.publish(&shown).map(|()| writer)
            })
            .await?;
        }
        if changed {
            self.published = Some(note.clone());
        }
        if newly_stated {
            report(&standing, writer.size());
            self.stated = Some(standing);
        }
        Ok(writer)
    }

    fn standing(&self, note: &Note) -> KeysJson {
        let witnesses: Vec<_> = self.witnesses.addresses().map(|witness| &witness.key).collect();
        KeysJson::new(self.keys.origin(), self.keys.verifiers(), &witnesses, self.settings.quorum, note)
    }

    fn measure(&self, began: Instant) {
        let took = began.elapsed();
        // A gauge is a double, which is exact up to 2^53 leaves.
        #[expect(clippy::cast_precision_loss, reason = "a gauge holds doubles")]
        gauge!(SIZE).set(self.size() as f64);
        histogram!(ROUND).record(took.as_secs_f64());
        tracing::debug!(
            size = self.size(),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "published"
        );
    }
}

fn report(standing: &KeysJson, size: u64) {
    let status = standing.standing.as_str();
    if standing.quorum_reached {
        tracing::info!(size, standing = status, "the register is published");
    } else {
        tracing::warn!(size, standing = status, "the register is published with too few witnesses");
    }
    gauge!(WITNESSED).set(f64::from(u32::try_from(standing.witnessed_by.len()).unwrap_or(u32::MAX)));
}

/// Runs blocking disk work on the blocking thread pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TreeWriterError> + Send + 'static,
) -> Result<T, TreeWriterError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => Err(TreeWriterError::Disk(io::Error::other(ended))),
    }
}

/// The keys that sign, and whether they have just been created.
fn load_keys(settings: &PublishSettings, folder: &Folder) -> Result<(Vec<Signer>, bool), PublishError> {
    if let [only] = settings.keys.as_slice()
        && !only.exists()
    {
        let begun = folder.signed().map_err(TreeWriterError::Disk)?.is_some();
        let Some(origin) = settings.origin.as_deref().filter(|_| !begun) else {
            return Err(if begun {
                PublishError::Key(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{} is gone, and a new key would not be the register's", shown(only)),
                ))
            } else {
                PublishError::NoKey(only.clone())
            });
        };
        let made = Signer::load_or_create(only, origin, Kind::Text).map_err(PublishError::Key)?;
        tracing::info!(key = %made.verifier(), file = %shown(only), "created a key for the register");
        return Ok((vec![made], true));
    }
    let load = |path: &PathBuf| Signer::load(path).map_err(PublishError::Key);
    Ok((settings.keys.iter().map(load).collect::<Result<_, _>>()?, false))
}

/// Compares the database's leaves with the tree: all of them, or those of the last tile.
async fn compare(writer: &TreeWriter, connection: &mut PgConnection, full: bool) -> Result<(), PublishError> {
    let size = writer.size();
    let database = leaves::count(connection).await.map_err(PublishError::Database)?;
    if database < size {
        return Err(PublishError::Shorter { database, signed: size });
    }
    let width = u64::from(WIDTH);
    let mut at = if full || size == 0 { 0 } else { (size - 1) / width * width };
    let mut edge = writer.edge_at(at)?;
    let mut reported = Instant::now();
    while at < size {
        let entries = leaves::read(connection, at, COMPARED).await?;
        if entries.is_empty() {
            return Err(PublishError::Shorter { database: at, signed: size });
        }
        at = compare_batch(writer, &mut edge, &entries)?;
        if reported.elapsed() > LOG_EVERY {
            tracing::info!(leaves = at, of = size, "comparing the database with the register");
            reported = Instant::now();
        }
    }
    if edge.root() == writer.root() {
        return Ok(());
    }
    Err(PublishError::Writer(TreeWriterError::Damaged {
        dir: writer.folder().root().to_path_buf(),
        what: "its tiles have other leaves than were signed".to_owned(),
    }))
}

/// Compares each leaf of a batch with the leaf in its tile and appends it to `edge`; returns the new size of
/// `edge`.
fn compare_batch(
    writer: &TreeWriter,
    edge: &mut Frontier,
    entries: &[[u8; ENTRY_LEN]],
) -> Result<u64, PublishError> {
    let (mut tile, mut known) = (None, Vec::new());
    for entry in entries {
        let at = edge.size();
        let Some(holding) = Tile::holding(Row::Hashes(0), at, writer.size()) else { break };
        if tile != Some(holding) {
            known = writer.leaf_hashes(holding)?;
            tile = Some(holding);
        }
        let leaf = leaf_hash(entry);
        let index = usize::try_from(at % u64::from(WIDTH)).unwrap_or_default();
        if known.get(index) != Some(&leaf) {
            return Err(PublishError::Rewritten(at));
        }
        edge.push(leaf);
    }
    Ok(edge.size())
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;

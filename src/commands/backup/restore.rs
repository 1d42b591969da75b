//! `ormantrace restore`.
//!
//! Everything that can be refused is checked before anything is written. The database is loaded in one
//! transaction; a private cluster is moved into the data directory last, so that an interrupted restore
//! leaves no incomplete database there.

use super::loss::{self, Elsewhere, Loss};
use super::make::{Counts, server_major};
use super::manifest::Manifest;
use super::sums::{self, Progress};
use super::{DUMP, Failure, at, blocking, register};
use crate::base::clock::Clock;
use crate::base::config::{DatabaseSettings, shown};
use crate::base::units::LocalDate;
use crate::commands::fsck::{self, Published, Scope, Summary, console::Console};
use crate::db::lock::{Denied, Lock};
use crate::db::programs::ClientProgram;
use crate::db::{self, Backfill, EmptyDatabase, dump};
use crate::evidence::register::published;
use crate::evidence::register::tree_writer::{Keys, TreeWriter};
use crate::evidence::tlog::disk::Disk;
use crate::evidence::tlog::note::Kind;
use crate::evidence::tlog::{Folder, Signer, VerifierKey};
use chrono::SecondsFormat;
use sqlx::Connection;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Settings of a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The backup.
    pub dir: PathBuf,
    /// The database to fill.
    pub database: DatabaseSettings,
    /// Folder of the register; by default `register` in the data directory.
    pub register_dir: Option<PathBuf>,
    /// Folder of a register that still exists, to compare the backup with.
    pub register: Option<PathBuf>,
    /// Whether to restore although the register in the folder `register` has more leaves than the backup.
    pub accept_loss: bool,
    /// The name of the register that begins after a loss.
    pub new_origin: Option<String>,
}

/// A restored and checked installation; `Display` is the report.
#[derive(Debug)]
pub struct Restored {
    manifest: Manifest,
    /// Where the register continues, and its size.
    register: Option<(PathBuf, u64)>,
    compared: bool,
    loss: Option<Loss>,
    summary: Summary,
}

/// A restore with checked inputs.
struct Plan {
    options: RestoreOptions,
    manifest: Manifest,
    program: ClientProgram,
    keys_dir: PathBuf,
    /// Where the register is, or will be.
    target: PathBuf,
    elsewhere: Option<Elsewhere>,
    /// Public keys of the register, from the backup.
    verifiers: Vec<VerifierKey>,
    /// The name of the new register, if leaves are lost.
    new_origin: Option<String>,
    /// The publisher's lock on the old register. It is held while the register's folder is moved away.
    lock: Option<Lock>,
    clock: Clock,
}

/// Restores a backup and checks the result.
///
/// # Errors
/// A message for the administrator.
pub async fn restore(
    options: &RestoreOptions,
    backfill: Backfill,
    clock: &Clock,
) -> Result<Restored, Failure> {
    let (options, clock) = (options.clone(), clock.clone());
    let mut plan = blocking(move || Plan::check(options, clock)).await?;
    let settings = plan.options.database.clone();
    let empty = db::open_empty(&settings).await?;
    let records = match fill(&mut plan, &empty, backfill).await {
        Ok(records) => records,
        Err(failure) => {
            empty.discard().await;
            return Err(failure);
        }
    };
    let plan = match blocking(move || plan.place_register().map(|placed| (plan, placed))).await {
        Ok(placed) => placed,
        Err(failure) => {
            empty.discard().await;
            return Err(failure);
        }
    };
    let (plan, placed) = plan;
    empty.put_in_place().await?;
    let summary = check(&settings, placed.published).await?;
    let compared = plan.elsewhere.is_some();
    let folder = plan.target.clone();
    let loss = plan.elsewhere.zip(placed.begun).map(|(elsewhere, (kept, new_key))| Loss {
        old: elsewhere.state,
        from: plan.manifest.leaves,
        kept,
        folder,
        new_key,
        records,
    });
    Ok(Restored { manifest: plan.manifest, register: placed.continues, compared, loss, summary })
}

/// Loads the dump, compares it with the manifest, and applies later migrations. Returns the lost records.
async fn fill(
    plan: &mut Plan,
    empty: &EmptyDatabase,
    backfill: Backfill,
) -> Result<Vec<loss::Lost>, Failure> {
    plan.place_keys()?;
    let mut owner = empty.owner().await?;
    let major = server_major(&mut owner).await?;
    let login = empty.login();
    let file = plan.options.dir.join(DUMP);
    let mut progress = Progress::new("loading the database", fs::metadata(&file).map_err(at(&file))?.len());
    tracing::info!(database = login.database(), "loading the database into PostgreSQL {major}");
    dump::load(&plan.program, &login, &file, |done| progress.at(done)).await?;
    let counts = Counts::read(&mut owner).await?;
    let (found, expected) = ((counts.events, counts.leaves), (plan.manifest.events, plan.manifest.leaves));
    if found != expected {
        let text = |(events, leaves): (i64, u64)| format!("{events} events and {leaves} leaves");
        return Err(Failure::Counts { found: text(found), expected: text(expected) });
    }
    empty.migrate(backfill).await?;
    let records = match (&plan.elsewhere, &plan.new_origin) {
        (Some(elsewhere), Some(_)) => {
            let size = elsewhere.state.size;
            loss::find(&mut owner, &elsewhere.folder, plan.manifest.leaves, size).await?
        }
        _ => Vec::new(),
    };
    owner.close().await?;
    Ok(records)
}

/// Checks the restored database like `fsck`, and compares it with the register if there is one.
async fn check(settings: &DatabaseSettings, published: Option<Published>) -> Result<Summary, Failure> {
    let database = db::open_existing(settings).await?;
    let mut console = Console::default();
    let scope = Scope { published, ..Scope::default() };
    let checked = async {
        let mut owner = database.owner().await.map_err(fsck::Failure::Database)?;
        fsck::check(&mut owner, &scope, &mut console).await
    }
    .await;
    console.finish();
    database.close().await;
    Ok(checked?)
}

/// What was done to the register.
struct Placed {
    /// The folder and the size of the backup's register, if that register continues.
    continues: Option<(PathBuf, u64)>,
    /// Where the old folder was moved or left, and the new register's key, if a new register was begun.
    begun: Option<(PathBuf, VerifierKey)>,
    /// What to compare the database with.
    published: Option<Published>,
}

impl Plan {
    fn check(options: RestoreOptions, clock: Clock) -> Result<Self, Failure> {
        let files = sums::check(&options.dir)?;
        let manifest = Manifest::read(&options.dir)?;
        let damaged = |what: String| Failure::Damaged { dir: options.dir.clone(), what };
        let listed = |name: &String| files.contains(&format!("keys/{name}"));
        if !files.iter().any(|file| file == DUMP) || !manifest.keys.iter().all(listed) {
            return Err(damaged("files of the manifest are missing".to_owned()));
        }
        let program = ClientProgram::find("pg_restore", manifest.pg_dump)?;
        let data = options.database.data_dir()?;
        if options.database.database_url.is_none() && data.join("postgres").exists() {
            return Err(Failure::Occupied(format!("{} has a database already", shown(&data))));
        }
        let keys_dir = data.join("keys");
        let target = options.register_dir.clone().unwrap_or_else(|| data.join("register"));
        let mut plan = Self {
            manifest,
            program,
            keys_dir,
            target,
            elsewhere: None,
            verifiers: Vec::new(),
            new_origin: None,
            lock: None,
            clock,
            options,
        };
        plan.verifiers = plan.register_verifiers();
        plan.check_keys()?;
        plan.compare()?;
        Ok(plan)
    }

    /// The register's public keys that the backup has.
    fn register_verifiers(&self) -> Vec<VerifierKey> {
        let mut keys: Vec<VerifierKey> = Vec::new();
        for name in &self.manifest.keys {
            if let Some(signer) = self.register_key(name) {
                keys.push(signer.verifier().clone());
            }
        }
        let folder = Folder::new(self.options.dir.join("register"));
        if let Ok(Some(state)) = published::Published::new(folder).read() {
            keys.extend(state.policy.registers.iter().cloned());
        }
        keys
    }

    /// Reads the key file `name` from the backup. Returns `None` if this key does not sign the backup's
    /// register.
    fn register_key(&self, name: &str) -> Option<Signer> {
        let text = fs::read_to_string(self.options.dir.join("keys").join(name)).ok()?;
        let signer = Signer::parse(text.trim_end()).ok()?;
        let of_register = match &self.manifest.register {
            Some(register) => signer.verifier().name() == register.origin,
            None => name.starts_with("register"),
        };
        (of_register && signer.verifier().kind() == Kind::Text).then_some(signer)
    }

    /// Checks the keys in the data directory. A key in the data directory must be identical to the key of the
    /// same name in the backup. If the backup contains no keys, the data directory must have the marking key
    /// and the receipt key.
    fn check_keys(&self) -> Result<(), Failure> {
        for name in &self.manifest.keys {
            let path = self.keys_dir.join(name);
            match fs::read(&path) {
                Ok(bytes) if bytes == self.backed_up(name)? => {}
                Ok(_) => return Err(Failure::Occupied(format!("{} is another key", shown(&path)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
        if self.manifest.keys.is_empty() {
            let missing = ["marking.key", "receipt.key"].map(|name| self.keys_dir.join(name));
            if let Some(path) = missing.into_iter().find(|path| !path.exists()) {
                return Err(Failure::KeysElsewhere(path));
            }
        }
        Ok(())
    }

    fn backed_up(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.options.dir.join("keys").join(name);
        fs::read(&path).map_err(at(&path))
    }

    /// Compares the backup with the register that still exists, if one is given. Decides in which folder the
    /// register will be after the restore, and whether a new register must begin.
    fn compare(&mut self) -> Result<(), Failure> {
        let Some(dir) = &self.options.register else {
            if !is_empty(&self.target)? {
                return Err(Failure::Occupied(format!(
                    "{} has files (if it is the register, name it with --register)",
                    shown(&self.target)
                )));
            }
            tracing::warn!("no register is given to compare with: what the backup lacks stays unknown");
            return Ok(());
        };
        let origin = self.manifest.register.as_ref().map(|register| register.origin.as_str());
        let elsewhere = Elsewhere::read(dir, origin, self.verifiers.clone())?;
        let is_target = same(dir, &self.target);
        if !is_target && !is_empty(&self.target)? {
            return Err(Failure::Occupied(format!("{} has files", shown(&self.target))));
        }
        if elsewhere.is_publishers {
            // The register continues where it is.
            self.target.clone_from(dir);
        } else if is_target {
            return Err(Failure::Register {
                dir: dir.clone(),
                what: "it is a copy without state/, which no publisher can continue: move it elsewhere"
                    .to_owned(),
            });
        }
        let (register, backup) = (elsewhere.state.size, self.manifest.leaves);
        if register > backup {
            if !self.options.accept_loss {
                return Err(Failure::Loss { dir: dir.clone(), register, backup });
            }
            let old = &elsewhere.state.origin;
            let dated = || format!("{old}/{}", self.today());
            let new = self.options.new_origin.clone().unwrap_or_else(dated);
            if new == *old {
                return Err(Failure::SameOrigin(new));
            }
            self.new_origin = Some(new);
            if elsewhere.is_publishers {
                self.lock = Some(lock(&elsewhere.folder)?);
            }
        }
        self.elsewhere = Some(elsewhere);
        Ok(())
    }

    fn today(&self) -> String {
        LocalDate::of(self.clock.now()).to_string()
    }

    /// Writes the keys. After a loss, the old keys of the register get names with the date.
    fn place_keys(&self) -> Result<(), Failure> {
        for name in &self.manifest.keys {
            let old = self.new_origin.is_some() && self.register_key(name).is_some();
            let name_here = match name.strip_suffix(".key") {
                Some(stem) if old => format!("{stem}-until-{}.key", self.today()),
                _ => name.clone(),
            };
            let (present, path) = (self.keys_dir.join(name), self.keys_dir.join(name_here));
            if old && present.exists() {
                // The new register's key takes this name.
                if path.exists() && fs::read(&path).map_err(at(&path))? != self.backed_up(name)? {
                    return Err(Failure::Occupied(format!("{} is another key", shown(&path))));
                }
                fs::rename(&present, &path).map_err(at(&present))?;
            }
            match Disk::system().put_secret(&path, &self.backed_up(name)?) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => done.map_err(at(&path))?,
            }
        }
        Ok(())
    }

    /// Puts the register into its folder. There are three cases: the publisher's folder still exists and
    /// stays where it is; the register is copied from the backup; or a new register begins, because leaves
    /// were lost.
    fn place_register(&self) -> Result<Placed, Failure> {
        if let (Some(elsewhere), Some(origin)) = (&self.elsewhere, &self.new_origin) {
            return self.begin(elsewhere, origin);
        }
        let to_check = |folder: &Path, keys: &[VerifierKey]| {
            Some(Published { folder: folder.to_path_buf(), keys: keys.to_vec() })
        };
        if let Some(elsewhere) = self.elsewhere.as_ref().filter(|elsewhere| elsewhere.is_publishers) {
            let continues = Some((self.target.clone(), elsewhere.state.size));
            let published = to_check(&self.target, &elsewhere.keys);
            return Ok(Placed { continues, begun: None, published });
        }
        let disk = Disk::system();
        let put = |name: &str, bytes: &[u8]| {
            let path = self.target.join(name);
            disk.put(&[(path, bytes.to_vec())]).map_err(at(&self.target))
        };
        let copied = register::copy(&Folder::new(self.options.dir.join("register")), put)?;
        let published = match (&self.elsewhere, &copied) {
            (Some(elsewhere), _) => to_check(elsewhere.folder.root(), &elsewhere.keys),
            (None, Some(_)) => to_check(&self.target, &self.verifiers),
            (None, None) => None,
        };
        let continues = copied.map(|state| (self.target.clone(), state.size));
        Ok(Placed { continues, begun: None, published })
    }

    /// Begins a register with a new name and key. The old register stays readable: a publisher's folder is
    /// renamed to a name with the date, and a copy stays where it is.
    fn begin(&self, elsewhere: &Elsewhere, origin: &str) -> Result<Placed, Failure> {
        let folder = elsewhere.folder.root();
        let kept =
            if elsewhere.is_publishers { move_beside(folder, &self.today())? } else { folder.to_path_buf() };
        let path = self.keys_dir.join("register.key");
        let signer = Signer::generate(origin, Kind::Text)
            .map_err(|error| Failure::File(shown(&path), io::Error::other(error.to_string())))?;
        signer.save(&path).map_err(at(&path))?;
        let key = signer.verifier().clone();
        let keys = Arc::new(Keys::new(vec![signer])?);
        let new = Folder::new(&self.target);
        new.make_state().map_err(at(&self.target))?;
        TreeWriter::open(new, keys, self.clock.clone())?;
        let published = Published { folder: self.target.clone(), keys: vec![key.clone()] };
        Ok(Placed { continues: None, begun: Some((kept, key)), published: Some(published) })
    }
}

/// Renames a folder to `NAME-until-DATE`, or `NAME-until-DATE-2` and so on.
fn move_beside(folder: &Path, date: &str) -> Result<PathBuf, Failure> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let names = (1_u32..).map(|n| match n {
        1 => format!("{name}-until-{date}"),
        n => format!("{name}-until-{date}-{n}"),
    });
    let free = names.map(|name| folder.with_file_name(name)).find(|path| !path.exists());
    let kept = free.unwrap_or_default();
    fs::rename(folder, &kept).map_err(at(folder))?;
    Ok(kept)
}

/// Takes the publisher's lock, so that no publisher writes while the folder is moved.
fn lock(folder: &Folder) -> Result<Lock, Failure> {
    Lock::take(&folder.lock_file()).map_err(|denied| match denied {
        Denied::Held(holder) => Failure::Register {
            dir: folder.root().to_path_buf(),
            what: format!("a publisher uses it ({holder}); stop it first"),
        },
        Denied::Io(error) => at(&folder.lock_file())(error),
    })
}

fn is_empty(dir: &Path) -> Result<bool, Failure> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(at(dir)(error)),
    }
}

fn same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

impl Restored {
    /// Whether the check at the end found no error.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.summary.is_clean()
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { events, leaves, made_at, .. } = &self.manifest;
        let made_at = made_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        writeln!(f, "Restored {events} events with {leaves} leaves, as of {made_at}.")?;
        if let Some((folder, size)) = &self.register {
            writeln!(f, "The register continues in {} from size {size}.", folder.display())?;
        }
        if let Some(loss) = &self.loss {
            writeln!(f, "{loss}")?;
        } else if !self.compared {
            writeln!(
                f,
                "It was not compared with a published register (--register): records acknowledged after that time \
                 are lost."
            )?;
        }
        write!(f, "{}", self.summary)
    }
}

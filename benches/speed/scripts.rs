//! The scripts of pgbench. The read scripts are derived from the server's own statements, so that both
//! sides select the same columns of the same rows, also after future changes.

use super::timber::ID_PREFIX;
use std::error::Error;
use std::path::{Path, PathBuf};

type Failure = Box<dyn Error + Send + Sync>;

/// Files of the server's statements.
const CHECK: &str = "src/services/verification/lookup.sql";
const CHAINS: &str = "src/evidence/chain/chains.sql";

/// Scripts, written to files.
#[derive(Clone, Debug)]
pub struct Scripts {
    /// Checks one seal number with the server's statement in its single-row form.
    pub check: PathBuf,
    /// Checks one seal number with the statement exactly as the server sends it, with a batch that consists
    /// of a single code.
    pub check_as_sent: PathBuf,
    /// The chain of one log by its id: the server's statement in its single-row form.
    pub chain: PathBuf,
    /// A custody event: the server's statements one after the other.
    pub append: PathBuf,
    /// A custody event in one statement.
    pub append_once: PathBuf,
}

/// The statement that checks one seal number; `number` is an SQL expression.
///
/// # Errors
/// The server's statement has an unknown form.
pub fn check(number: &str) -> Result<String, Failure> {
    let text = statement(CHECK)?;
    // The server's statement also resolves the caller's key. That part is removed, because pgbench only
    // performs the check.
    let (_, text) = text.split_once("s.number AS").ok_or_else(|| unknown(CHECK))?;
    let (head, rest) = text.split_once("FROM UNNEST").ok_or_else(|| unknown(CHECK))?;
    let (_, joins) = rest.split_once("LEFT JOIN log l").ok_or_else(|| unknown(CHECK))?;
    let (joins, _) = joins.split_once("ORDER BY").ok_or_else(|| unknown(CHECK))?;
    Ok(format!("SELECT s.number AS{head}FROM seal s\nLEFT JOIN log l{joins}WHERE s.number = {number}"))
}

/// The statement that reads the chain of one log; `id` is an SQL expression.
///
/// # Errors
/// The server's statement has an unknown form.
pub fn chain(id: &str) -> Result<String, Failure> {
    let text = statement(CHAINS)?;
    if !text.contains("subject_id = ANY($1)") || text.contains("ORDER BY") {
        return Err(unknown(CHAINS));
    }
    Ok(format!("{}\nORDER BY seq", text.replace("= ANY($1)", &format!("= {id}"))))
}

fn statement(path: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    Ok(lines.collect::<Vec<_>>().join("\n").trim_end().trim_end_matches(';').to_owned())
}

fn unknown(path: &str) -> Failure {
    format!("{path} has another form than before: see to benches/speed/scripts.rs").into()
}

impl Scripts {
    /// Writes the scripts into a folder. `queues`: whether the server puts its events into the register's
    /// queue.
    ///
    /// # Errors
    /// Those of the file system; a statement of another form.
    pub fn write(folder: &Path, queues: bool) -> Result<Self, Failure> {
        let (seal, log) = ("'KZ' || :n::text", format!("('{ID_PREFIX}' || :n::text)::uuid"));
        let as_sent = statement(CHECK)?
            .replace("$1::text[]", &format!("ARRAY[{seal}]"))
            .replace("$2::text[]", "ARRAY[NULL]::text[]")
            .replace("$3::bytea[]", "ARRAY[NULL]::bytea[]");
        if as_sent.contains('$') {
            return Err(unknown(CHECK));
        }
        let seals = |sql: &str| format!("\\set n random(:first_seal, :last_seal)\n{sql};\n");
        let logs = |sql: &str| format!("\\set n random(:first_log, :last_log)\n{sql};\n");
        let file = |name: &str, text: String| -> Result<PathBuf, Failure> {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let append = |name: &str| -> Result<PathBuf, Failure> {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/speed/sql").join(name);
            file(name, marked(&std::fs::read_to_string(from)?, queues))
        };
        Ok(Self {
            check: file("check.sql", seals(&check(seal)?))?,
            check_as_sent: file("check_as_sent.sql", seals(&as_sent))?,
            chain: file("chain.sql", logs(&chain(&log)?))?,
            append: append("append.sql")?,
            append_once: append("append_once.sql")?,
        })
    }
}

/// Returns a script with or without the lines between `-- queue` and `-- end of queue`.
fn marked(text: &str, queues: bool) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        match line {
            "-- queue" => inside = true,
            "-- end of queue" => inside = false,
            _ if inside && !queues => {}
            _ => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    kept
}

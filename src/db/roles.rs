//! The database roles and their rights.
//!
//! - the superuser sets a private cluster up, and does what only a superuser may (WAL removal);
//! - the owner owns the tables and migrates;
//! - the service handles requests. It reads and adds rows; it changes and deletes only rows that are not
//!   evidence. Triggers also forbid changes of evidence, but the rights hold even if a trigger is dropped;
//! - the publisher reads two columns of one table, which the register publishes anyway.
//!
//! On a server given by `DATABASE_URL`, the role in the URL is the owner. Service and publisher are then
//! roles that connections switch to, if the role in the URL may create them.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::scram::Verifier;

/// Role that sets a private cluster up.
pub const SUPERUSER: &str = "ormantrace_superuser";
/// Role that owns the tables of a private cluster.
pub const OWNER: &str = "ormantrace_owner";
/// Role that handles requests.
pub const SERVICE: &str = "ormantrace_service";
/// Role that publishes the register.
pub const PUBLISHER: &str = "ormantrace_publisher";
/// Database of a private cluster.
pub const DATABASE: &str = "ormantrace";

/// Tables of evidence, each with triggers `…_append_only` and `…_no_truncate`: the service adds rows and can
/// never change or delete one. A new append-only table must be listed here; `tests/cluster.rs` and
/// `tests/api/register.rs` check that changing a row of these tables fails.
pub const EVIDENCE: &[&str] = &["event", "leaf"];

/// Tables that only the owner writes.
const OWNER_ONLY: &[&str] = &["_sqlx_migrations"];

/// Key of the advisory lock around the setup. The bytes spell `ormantr0`.
const SETTING_UP: i64 = i64::from_be_bytes(*b"ormantr0");

/// Creates the roles and the database of a private cluster, and sets the roles' passwords, given as
/// verifiers. May be run again after an interruption anywhere.
pub(super) async fn set_up(
    superuser: &PgConnectOptions,
    passwords: [(&str, Verifier); 3],
) -> sqlx::Result<()> {
    let mut postgres = superuser.clone().database("postgres").connect().await?;
    // The lock is needed because a command that joins the cluster may find it unfinished and set it up at the
    // same time. Closing the connection releases the lock.
    sqlx::query("SELECT pg_advisory_lock($1)").bind(SETTING_UP).execute(&mut postgres).await?;
    for (role, verifier) in passwords {
        if !exists(&mut postgres, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).await? {
            run(&mut postgres, format!("CREATE ROLE {role}")).await?;
        }
        // The text of a verifier contains no quote, so it cannot end the SQL string.
        run(
            &mut postgres,
            format!(
                "ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB PASSWORD '{}'",
                verifier.as_str()
            ),
        )
        .await?;
    }
    if !exists(&mut postgres, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE).await? {
        // template0 has the locale that initdb was given.
        run(&mut postgres, format!("CREATE DATABASE {DATABASE} OWNER {OWNER} TEMPLATE template0")).await?;
    }
    // The owner has the rights of both roles anyway. As a member it can switch to them, so that a check can
    // show that they have no further rights.
    run(&mut postgres, format!("GRANT {SERVICE}, {PUBLISHER} TO {OWNER}")).await?;
    run(&mut postgres, format!("REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")).await?;
    run(&mut postgres, format!("GRANT CONNECT ON DATABASE {DATABASE} TO {SERVICE}, {PUBLISHER}")).await?;
    let mut database = superuser.clone().database(DATABASE).connect().await?;
    // Up to PostgreSQL 14 every role may create tables in the schema `public`.
    run(&mut database, format!("ALTER SCHEMA public OWNER TO {OWNER}")).await?;
    run(&mut database, "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned()).await?;
    database.close().await?;
    postgres.close().await
}

/// Creates a role to switch to on a given server, if the connected role may. Returns whether
/// connections can switch to it.
pub(super) async fn ensure(owner: &mut PgConnection, role: &'static str) -> sqlx::Result<bool> {
    let row: (bool, bool, bool) = sqlx::query_as(
        "SELECT rolsuper OR rolcreaterole,
                EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
                rolname = $1
         FROM pg_roles WHERE rolname = current_user",
    )
    .bind(role)
    .fetch_one(&mut *owner)
    .await?;
    let (may_create, exists, is_itself) = row;
    if is_itself {
        return Ok(false);
    }
    if !exists {
        if !may_create {
            return Ok(false);
        }
        let created = run(owner, format!("CREATE ROLE {role} NOLOGIN")).await;
        // Roles belong to the server, not to one database. So an instance that uses another database of the
        // same server may have created the role first.
        if let Err(error) = created
            && !matches!(code(&error).as_deref(), Some("42710" | "23505"))
        {
            return Err(error);
        }
    }
    if !may_switch(owner, role).await? {
        if !may_create {
            return Ok(false);
        }
        // The GRANT is refused if another administrator created the role. Then connections keep the given
        // role.
        let _ = run(owner, format!("GRANT {role} TO CURRENT_USER")).await;
    }
    may_switch(owner, role).await
}

/// Whether this connection's role may switch to `role`, which must exist and be another role.
pub(super) async fn may_switch(connection: &mut PgConnection, role: &'static str) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER') AND rolname <> current_user
                          FROM pg_roles WHERE rolname = $1), false)",
    )
    .bind(role)
    .fetch_one(connection)
    .await
}

/// Grants the publisher SELECT on the two columns of `leaf` that are public anyway, and nothing else.
///
/// # Errors
/// Errors from the database.
pub(super) async fn grant_publisher(owner: &mut PgConnection) -> sqlx::Result<()> {
    let right: bool = sqlx::query_scalar(
        "SELECT has_schema_privilege($1, 'public', 'USAGE')
            AND has_column_privilege($1, 'leaf', 'index', 'SELECT')
            AND has_column_privilege($1, 'leaf', 'entry', 'SELECT')
            AND NOT has_column_privilege($1, 'leaf', 'subject_id', 'SELECT')
            AND NOT has_table_privilege($1, 'leaf', 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')",
    )
    .bind(PUBLISHER)
    .fetch_one(&mut *owner)
    .await?;
    if right {
        return Ok(());
    }
    run(
        owner,
        format!(
            "GRANT USAGE ON SCHEMA public TO {PUBLISHER};
             REVOKE ALL ON leaf FROM {PUBLISHER};
             GRANT SELECT (index, entry) ON leaf TO {PUBLISHER}"
        ),
    )
    .await
}

/// Grants the service its rights on every table, view and sequence, and revokes all others. Only
/// rights that differ are changed: a start without migrations changes nothing.
///
/// # Errors
/// Errors from the database.
pub async fn grant_service(owner: &mut PgConnection) -> sqlx::Result<()> {
    let schema: bool = sqlx::query_scalar("SELECT has_schema_privilege($1, 'public', 'USAGE')")
        .bind(SERVICE)
        .fetch_one(&mut *owner)
        .await?;
    if !schema {
        run(owner, format!("GRANT USAGE ON SCHEMA public TO {SERVICE}")).await?;
    }
    // PostgreSQL itself quotes the name.
    let relations: Vec<(String, String, bool, bool, bool, bool, bool)> = sqlx::query_as(
        "SELECT c.oid::regclass::text, c.relname::text, c.relkind = 'S',
                has_table_privilege($1, c.oid, 'SELECT'),
                c.relkind <> 'S' AND has_table_privilege($1, c.oid, 'INSERT'),
                has_table_privilege($1, c.oid, 'UPDATE'),
                c.relkind <> 'S' AND has_table_privilege($1, c.oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER')
         FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
         ORDER BY c.relname",
    )
    .bind(SERVICE)
    .fetch_all(&mut *owner)
    .await?;
    for (name, bare, sequence, select, insert, update, delete) in relations {
        let granted = rights(&bare, sequence);
        let has = [(select, "SELECT"), (insert, "INSERT"), (update, "UPDATE"), (delete, "DELETE")];
        if has.iter().all(|(has, right)| *has == granted.contains(right)) {
            continue;
        }
        for (_, right) in has.iter().filter(|(has, right)| *has && !granted.contains(right)) {
            tracing::warn!(table = bare, right, "a right that the service must not have is revoked");
        }
        let kind = if sequence { "SEQUENCE" } else { "TABLE" };
        let list = granted.join(", ");
        run(
            owner,
            format!("REVOKE ALL ON {kind} {name} FROM {SERVICE}; GRANT {list} ON {kind} {name} TO {SERVICE}"),
        )
        .await?;
    }
    Ok(())
}

/// The SQL privileges of the service role on the table or sequence `name`.
fn rights(name: &str, sequence: bool) -> &'static [&'static str] {
    if sequence {
        &["SELECT", "UPDATE"]
    } else if OWNER_ONLY.contains(&name) {
        &["SELECT"]
    } else if EVIDENCE.contains(&name) {
        &["SELECT", "INSERT"]
    } else {
        &["SELECT", "INSERT", "UPDATE", "DELETE"]
    }
}

/// Runs SQL that is composed of constants, verifiers, and names that PostgreSQL quoted.
async fn run(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

async fn exists(connection: &mut PgConnection, sql: &'static str, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(sql).bind(name).fetch_one(connection).await
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_only_added() {
        for table in EVIDENCE {
            assert_eq!(rights(table, false), ["SELECT", "INSERT"], "{table}");
        }
        assert_eq!(rights("_sqlx_migrations", false), ["SELECT"]);
        assert!(rights("seal", false).contains(&"UPDATE"));
    }
}

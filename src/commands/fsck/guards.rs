//! Checks the guards of the tables: row security can hide rows, a rule or a trigger can divert a write, and
//! evidence stays as it was recorded only as long as triggers, keys, rights and roles forbid to change it. An
//! owner of the tables can change all of these guards without altering a row.

use super::report::{Code, FsckError, Report};
use super::{foreign, powers, unique};
use crate::db::migrate::MIGRATOR;
use crate::db::roles::{EVIDENCE, PUBLISHER, SERVICE};
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// `pg_trigger.tgtype`: BEFORE UPDATE OR DELETE, FOR EACH ROW.
const APPEND_ONLY: i32 = 1 + 2 + 8 + 16;
/// `pg_trigger.tgtype`: BEFORE TRUNCATE, FOR EACH STATEMENT.
const NO_TRUNCATE: i32 = 2 + 32;

/// The state of the guards.
#[derive(Debug, Default)]
pub struct Guards {
    /// Errors, as `fsck` reports them.
    pub errors: Vec<FsckError>,
    /// Append-only triggers that are missing, changed or never run: evidence can be altered.
    pub gone: Vec<String>,
    /// Rights on evidence that an administrator should know, although they are not errors: each with its
    /// table, and a text that names the role and the right.
    pub listed: Vec<(String, String)>,
}

/// Reads the guards, and adds their errors to the report of a check.
pub(super) async fn check(db: &mut PgConnection, report: &mut Report<'_>) -> sqlx::Result<()> {
    let guards = read(db).await?;
    for FsckError { code, table, key, event, detail } in guards.errors {
        report.find(code, table, key, event, detail);
    }
    for (table, detail) in guards.listed {
        report.list(&format!("grant-listed pg_class {table}: {detail}"));
    }
    Ok(())
}

/// Reads the guards from the catalogue of the database. It reads no row of the program's own tables.
///
/// # Errors
/// Errors from the database.
pub async fn read(db: &mut PgConnection) -> sqlx::Result<Guards> {
    let mut guards = Guards::default();
    let tables = own_tables();
    guards.tables(db, &tables).await?;
    guards.triggers(db, &tables).await?;
    guards.event_triggers(db).await?;
    guards.rights(db).await?;
    guards.errors.extend(unique::check(db).await?);
    guards.errors.extend(foreign::check(db).await?);
    guards.errors.extend(powers::check(db, &tables).await?);
    Ok(guards)
}

/// The tables that the migrations create.
fn own_tables() -> Vec<String> {
    let mut tables = vec!["_sqlx_migrations".to_owned()];
    for migration in MIGRATOR.iter() {
        let named = migration.sql.as_str().lines().filter_map(|line| line.strip_prefix("CREATE TABLE "));
        tables.extend(named.filter_map(|rest| Some(rest.split([' ', '(']).next()?.to_owned())));
    }
    tables
}

/// Whether a migration defines the function of the append-only triggers with this body.
fn is_own_body(body: &str) -> bool {
    let definition = format!("FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $${body}$$;");
    MIGRATOR.iter().any(|migration| migration.sql.as_str().contains(&definition))
}

/// A table of ours in the catalogue.
#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "columns of the catalogue")]
struct TableRow {
    name: String,
    kind: Option<String>,
    secured: bool,
    policies: bool,
    first: bool,
    inherited: bool,
    rules: Vec<String>,
}

/// A trigger of a table of ours.
#[derive(sqlx::FromRow)]
struct TriggerRow {
    of: String,
    name: String,
    /// When the trigger runs (`pg_trigger.tgenabled`): `A` always, `O` except in sessions that apply
    /// replicated changes, `R` only in such sessions, `D` never.
    enabled: String,
    shape: i32,
    internal: bool,
    /// Whether the trigger has no condition and no list of columns, and runs the function that the migrations
    /// define.
    plain: bool,
}

impl Guards {
    fn error(&mut self, code: Code, table: &'static str, key: &str, detail: String) {
        self.errors.push(FsckError { code, table, key: key.to_owned(), event: None, detail });
    }

    async fn tables(&mut self, db: &mut PgConnection, tables: &[String]) -> sqlx::Result<()> {
        let rows: Vec<TableRow> = sqlx::query_as(
            "SELECT t.name, c.relkind::text AS kind,
                    coalesce(c.relrowsecurity OR c.relforcerowsecurity, false) AS secured,
                    EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
                    coalesce(to_regclass(t.name) = c.oid, false) AS first,
                    EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) AS inherited,
                    ARRAY(SELECT r.rulename::text FROM pg_rewrite r
                          WHERE r.ev_class = c.oid AND c.relkind <> 'v' ORDER BY 1) AS rules
             FROM UNNEST($1::text[]) AS t (name)
             LEFT JOIN pg_class c ON c.oid = to_regclass('public.' || t.name) ORDER BY 1",
        )
        .bind(tables)
        .fetch_all(db)
        .await?;
        for row in rows {
            let TableRow { name, kind, secured, policies, first, inherited, rules } = row;
            let replaced = match kind.as_deref() {
                None => Some("there is no such table"),
                Some("r") if !first => Some("another relation of this name comes first in the search path"),
                Some("r") if inherited => Some("another table adds its rows to it"),
                Some("r") => None,
                Some(_) => Some("it is not a table any more"),
            };
            if let Some(detail) = replaced {
                self.error(Code::TableReplaced, "pg_class", &name, detail.to_owned());
            }
            if secured || policies {
                let detail = if secured { "row security is on" } else { "it has a policy of row security" };
                self.error(
                    Code::RowSecurity,
                    "pg_class",
                    &name,
                    format!("{detail}: rows may be hidden from this check and from the server"),
                );
            }
            for rule in rules {
                let detail = format!("rule {rule} changes what statements do");
                self.error(Code::RuleUnexpected, "pg_rewrite", &name, detail);
            }
        }
        Ok(())
    }

    async fn triggers(&mut self, db: &mut PgConnection, tables: &[String]) -> sqlx::Result<()> {
        let body: Option<String> = sqlx::query_scalar(
            "SELECT p.prosrc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
             WHERE p.oid = to_regprocedure('public.refuse_change()')",
        )
        .fetch_optional(&mut *db)
        .await?;
        let own_body = body.as_deref().is_some_and(is_own_body);
        let rows: Vec<TriggerRow> = sqlx::query_as(
            "SELECT c.relname::text AS of, t.tgname::text AS name, t.tgenabled::text AS enabled,
                    t.tgtype::int AS shape, t.tgisinternal AS internal,
                    t.tgqual IS NULL AND t.tgattr::text = ''
                        AND t.tgfoid IS NOT DISTINCT FROM to_regprocedure('public.refuse_change()') AS plain
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1) ORDER BY 1, 2",
        )
        .bind(tables)
        .fetch_all(db)
        .await?;
        let mut rest: Vec<TriggerRow> = Vec::new();
        let mut expected: BTreeSet<(String, String, i32)> = EVIDENCE
            .iter()
            .flat_map(|table| {
                [("append_only", APPEND_ONLY), ("no_truncate", NO_TRUNCATE)]
                    .map(|(suffix, shape)| ((*table).to_owned(), format!("{table}_{suffix}"), shape))
            })
            .collect();
        for row in rows {
            let known = expected.iter().find(|(of, name, _)| *of == row.of && *name == row.name).cloned();
            let Some(known) = known.filter(|_| !row.internal) else {
                rest.push(row);
                continue;
            };
            expected.remove(&known);
            let fault = if !own_body {
                Some(("function refuse_change of", "is not that of the migrations", true))
            } else if !row.plain || row.shape != known.2 {
                Some(("", "is not as the migrations make it", true))
            } else {
                match row.enabled.as_str() {
                    "A" => None,
                    "O" => Some((
                        "",
                        "does not run in a session that replicates: it must be ENABLE ALWAYS",
                        false,
                    )),
                    _ => Some(("", "is disabled", true)),
                }
            };
            if let Some((before, what, gone)) = fault {
                let detail = format!("{before} trigger {} {what}", row.name);
                self.error(Code::TriggerMissing, "pg_trigger", &row.of, detail.trim_start().to_owned());
                if gone {
                    self.gone.push(row.name);
                }
            }
        }
        for (of, name, _) in expected {
            let detail = format!("there is no trigger {name} any more");
            self.error(Code::TriggerMissing, "pg_trigger", &of, detail);
            self.gone.push(name);
        }
        for row in rest {
            if !row.internal {
                let detail = format!("this program makes no trigger {}", row.name);
                self.error(Code::TriggerUnexpected, "pg_trigger", &row.of, detail);
            } else if row.enabled != "O" {
                let detail = format!("trigger {} of a constraint is disabled", row.name);
                self.error(Code::TriggerMissing, "pg_trigger", &row.of, detail);
            }
        }
        Ok(())
    }

    /// Reports event triggers: they run when the schema of any table changes, and no migration makes one.
    async fn event_triggers(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT evtname::text FROM pg_catalog.pg_event_trigger ORDER BY 1")
                .fetch_all(db)
                .await?;
        for name in names {
            let detail = "this program makes no event trigger".to_owned();
            self.error(Code::TriggerUnexpected, "pg_event_trigger", &name, detail);
        }
        Ok(())
    }

    async fn rights(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        let evidence: Vec<&str> = EVIDENCE.to_vec();
        let explicit: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT DISTINCT c.relname::text, coalesce(r.rolname::text, 'PUBLIC'), a.privilege_type
             FROM pg_class c
             CROSS JOIN LATERAL (
                 SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) x
                 UNION SELECT x.grantee, x.privilege_type
                 FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) x WHERE t.attrelid = c.oid) a
             LEFT JOIN pg_roles r ON r.oid = a.grantee
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
               AND a.grantee <> c.relowner AND NOT coalesce(r.rolsuper, false) ORDER BY 1, 2, 3",
        )
        .bind(&evidence)
        .fetch_all(&mut *db)
        .await?;
        // This query also finds the rights that a role has as a member of another role or of PostgreSQL's
        // predefined roles.
        let members: Vec<(String, String, bool, bool)> = sqlx::query_as(
            "SELECT c.relname::text, r.rolname::text, pg_has_role(r.oid, c.relowner, 'MEMBER'),
                    r.rolname = session_user
             FROM pg_class c CROSS JOIN pg_roles r
             WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
               AND NOT r.rolsuper AND r.oid <> c.relowner AND r.rolname NOT LIKE 'pg\\_%'
               AND (has_table_privilege(r.oid, c.oid, 'UPDATE, DELETE, TRUNCATE')
                    OR has_any_column_privilege(r.oid, c.oid, 'UPDATE')
                    OR pg_has_role(r.oid, c.relowner, 'MEMBER')
                    OR EXISTS (SELECT FROM pg_roles w
                               WHERE w.rolname = 'pg_write_all_data' AND pg_has_role(r.oid, w.oid, 'MEMBER')))
             ORDER BY 1, 2",
        )
        .bind(&evidence)
        .fetch_all(db)
        .await?;
        let mut named = BTreeSet::new();
        for (table, role, right) in explicit {
            if matches!(right.as_str(), "UPDATE" | "DELETE" | "TRUNCATE") {
                let detail = format!("{role} has {right}: evidence is only added");
                self.error(Code::GrantUnexpected, "pg_class", &table, detail);
                named.insert((table, role));
            } else if !matches!(
                (role.as_str(), right.as_str()),
                (SERVICE, "SELECT" | "INSERT") | (PUBLISHER, "SELECT")
            ) {
                self.listed.push((table, format!("{role} has {right}")));
            }
        }
        for (table, role, of_owner, connected) in members {
            let known = |role: &str| named.contains(&(table.clone(), role.to_owned()));
            if of_owner && connected {
                // On a server of your own, this is the role with which the administrator connects.
                self.listed.push((table, format!("{role} may act as the owner")));
            } else if of_owner {
                let detail = format!("{role} may change it, as a member of the owner");
                self.error(Code::GrantUnexpected, "pg_class", &table, detail);
            } else if !known(&role) && !known("PUBLIC") {
                let detail = format!("{role} may change it, as a member of another role");
                self.error(Code::GrantUnexpected, "pg_class", &table, detail);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_name_their_tables_and_their_function() {
        let tables = own_tables();
        for table in EVIDENCE.iter().chain(&["log", "personal", "register", "_sqlx_migrations"]) {
            assert!(tables.iter().any(|own| own == table), "{table} in {tables:?}");
        }
        let first = MIGRATOR.iter().next().expect("one").sql.as_str();
        let body = first.split("$$").nth(1).expect("a function");
        assert!(body.contains("RAISE EXCEPTION") && is_own_body(body), "{body}");
        assert!(!is_own_body("BEGIN RETURN NEW; END"));
    }
}

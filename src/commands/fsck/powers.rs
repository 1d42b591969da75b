//! Checks what the roles may do beyond their rights on tables, and with which settings their sessions begin.
//! The service and the publisher must own nothing, and must have no attribute and no membership that gives
//! them further rights. No stored setting may turn triggers off, or make a session find another relation
//! instead of one of the program's tables.

use super::report::{Code, FsckError};
use crate::db::roles::{OWNER, PUBLISHER, SERVICE};
use sqlx::PgConnection;

/// Reports unexpected owners, powers and settings. On a server given by `DATABASE_URL`, the role of
/// `session_user` counts as the owner, even if it has the name of the service's or the publisher's role.
pub(super) async fn check(db: &mut PgConnection, tables: &[String]) -> sqlx::Result<Vec<FsckError>> {
    let mut errors = owners(db, tables).await?;
    errors.extend(roles(db, tables).await?);
    errors.extend(settings(db, tables).await?);
    Ok(errors)
}

fn error(code: Code, table: &'static str, key: String, detail: String) -> FsckError {
    FsckError { code, table, key, event: None, detail }
}

/// Reports unexpected owners of the tables, the trigger function, the schema and the database.
async fn owners(db: &mut PgConnection, tables: &[String]) -> sqlx::Result<Vec<FsckError>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT o.catalogue, o.name, r.rolname::text
         FROM (SELECT 'pg_class' AS catalogue, c.relname::text AS name, c.relowner AS owner, true AS ours
               FROM pg_catalog.pg_class c
               WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
               UNION ALL
               SELECT 'pg_proc', p.proname::text, p.proowner, true FROM pg_catalog.pg_proc p
               WHERE p.oid = to_regprocedure('public.refuse_change()')
               UNION ALL
               SELECT 'pg_namespace', n.nspname::text, n.nspowner, false FROM pg_catalog.pg_namespace n
               WHERE n.nspname = 'public'
               UNION ALL
               SELECT 'pg_database', d.datname::text, d.datdba, false FROM pg_catalog.pg_database d
               WHERE d.datname = current_database()) o
         JOIN pg_catalog.pg_roles r ON r.oid = o.owner
         WHERE (r.rolname = ANY ($2) AND r.rolname <> session_user)
            OR (o.ours AND NOT r.rolsuper AND r.rolname <> session_user
                AND (session_user = $3 OR NOT pg_has_role(session_user, o.owner, 'MEMBER')))
         ORDER BY 1, 2",
    )
    .bind(tables)
    .bind([SERVICE, PUBLISHER])
    .bind(OWNER)
    .fetch_all(db)
    .await?;
    let catalogue = |name: &str| match name {
        "pg_proc" => "pg_proc",
        "pg_namespace" => "pg_namespace",
        "pg_database" => "pg_database",
        _ => "pg_class",
    };
    let errors = rows.into_iter().map(|(of, name, owner)| {
        error(
            Code::OwnerUnexpected,
            catalogue(&of),
            name,
            format!("{owner} owns it and may change all of it"),
        )
    });
    Ok(errors.collect())
}

/// Reports attributes and memberships of the service and the publisher that give them further rights.
async fn roles(db: &mut PgConnection, tables: &[String]) -> sqlx::Result<Vec<FsckError>> {
    let attributes: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, a.name
         FROM pg_catalog.pg_roles r
         CROSS JOIN LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole),
                                    ('BYPASSRLS', r.rolbypassrls), ('REPLICATION', r.rolreplication))
             AS a (name, has)
         WHERE r.rolname = ANY ($1) AND r.rolname <> session_user AND a.has ORDER BY 1, 2",
    )
    .bind([SERVICE, PUBLISHER])
    .fetch_all(&mut *db)
    .await?;
    // Superusers are left out (`NOT r.rolsuper`): they count as members of every role, and the query above
    // has already reported them.
    let memberships: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, o.rolname::text
         FROM pg_catalog.pg_roles r
         JOIN pg_catalog.pg_roles o ON o.oid <> r.oid AND pg_has_role(r.oid, o.oid, 'MEMBER')
         WHERE r.rolname = ANY ($1) AND r.rolname <> session_user AND NOT r.rolsuper
           AND (o.rolname LIKE 'pg\\_%' OR o.rolsuper OR o.rolcreaterole OR o.rolbypassrls OR o.rolreplication
                OR o.rolname = ANY ($1) OR o.rolname = $2 OR o.rolname = session_user
                OR EXISTS (SELECT FROM pg_catalog.pg_class c
                           WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($3)
                             AND c.relowner = o.oid))
         ORDER BY 1, 2",
    )
    .bind([SERVICE, PUBLISHER])
    .bind(OWNER)
    .bind(tables)
    .fetch_all(db)
    .await?;
    let attributes =
        attributes.into_iter().map(|(role, has)| (role, format!("it has {has}, which it does not need")));
    let memberships = memberships
        .into_iter()
        .map(|(role, of)| (role, format!("it is a member of {of} and may do the same")));
    let powers = attributes.chain(memberships);
    Ok(powers.map(|(role, what)| error(Code::RoleUnexpected, "pg_roles", role, what)).collect())
}

/// Reports settings, stored in the database or in the server's files, that decide what sessions see or which
/// triggers run.
async fn settings(db: &mut PgConnection, tables: &[String]) -> sqlx::Result<Vec<FsckError>> {
    // On a server given by `DATABASE_URL`, the login role may be a member of the owner role and may act as
    // the owner through a stored setting of `role`. Such a setting is not an error.
    let stored: Vec<(String, String)> = sqlx::query_as(
        "SELECT coalesce(d.datname::text, '*') || '/' || coalesce(r.rolname::text, '*'), c.setting
         FROM pg_catalog.pg_db_role_setting s
         CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
         LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
         CROSS JOIN LATERAL (
             SELECT r.rolname = ANY ($1) OR EXISTS (
                 SELECT FROM pg_catalog.pg_class c
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($2)
                   AND c.relowner = r.oid) AS is) ours
         WHERE (s.setdatabase = 0 OR d.datname = current_database())
           AND (s.setrole = 0 OR ours.is OR r.rolname = session_user)
           AND (lower(split_part(c.setting, '=', 1))
                    IN ('search_path', 'row_security', 'session_replication_role')
                OR lower(split_part(c.setting, '=', 1)) = 'role' AND (s.setrole = 0 OR ours.is))
         ORDER BY 1, 2",
    )
    .bind([SERVICE, PUBLISHER, OWNER])
    .bind(tables)
    .fetch_all(&mut *db)
    .await?;
    let of_server: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, reset_val FROM pg_catalog.pg_settings
         WHERE name IN ('search_path', 'row_security', 'session_replication_role')
           AND source IN ('configuration file', 'command line', 'environment variable', 'global')
           AND replace(reset_val, ' ', '') <> replace(boot_val, ' ', '') ORDER BY 1",
    )
    .fetch_all(db)
    .await?;
    let stored = stored.into_iter().map(|(key, setting)| {
        let detail = format!("sessions begin with {setting}: it decides what this check and the server see");
        error(Code::SettingUnexpected, "pg_db_role_setting", key, detail)
    });
    let of_server = of_server.into_iter().map(|(name, value)| {
        let detail = format!("the server's configuration sets {value}: every session begins with it");
        error(Code::SettingUnexpected, "pg_settings", name, detail)
    });
    Ok(stored.chain(of_server).collect())
}

//! Tests how `fsck` reads the tables: its time must grow linearly with their size, not quadratically.

use crate::scene::{Scene, run};
use sqlx::{PgConnection, Row as _};

/// Tables that may be read in full: the queue, which is nearly empty, a table of one row, and the values of the
/// parameters, of which there are some tens.
const WHOLE: [&str; 3] = ["leaf_queue", "parameter", "register"];
/// How many times one complete check may fetch a row of a large table by an index, on average over all rows
/// of the table.
const TIMES: i64 = 10;

/// For each table, the number of sequential scans and of rows fetched by an index in this transaction.
async fn reads(db: &mut PgConnection) -> Vec<(String, i64, i64)> {
    let rows = sqlx::query(
        "SELECT relname::text, seq_scan, COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
         WHERE schemaname = 'public' AND relname <> '_sqlx_migrations' ORDER BY relname",
    );
    let rows = rows.fetch_all(db).await.unwrap();
    rows.into_iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn no_table_is_read_whole_for_a_page_of_it() {
    let scene = Scene::new().await;
    let mut db = scene.world.owner().await;
    // After ANALYZE the planner knows how small each table is, and would prefer full scans. `fsck` must avoid
    // full scans nevertheless.
    run(&mut db, "ANALYZE").await;
    run(&mut db, "BEGIN").await;
    let found = Scene::found_by(&mut db, 7, Some(scene.published.clone())).await;
    assert!(found.is_empty(), "{found:?}");
    let read = reads(&mut db).await;
    run(&mut db, "ROLLBACK").await;
    assert!(read.len() > 15, "{read:?}");
    for (table, whole, fetched) in read {
        assert!(whole == 0 || WHOLE.contains(&table.as_str()), "{table} was read in full {whole} times");
        if ["event", "leaf"].contains(&table.as_str()) {
            let count = format!("SELECT count(*) FROM {table}");
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut db).await.unwrap();
            assert!(rows > 40, "{table}: fewer than several pages");
            let most = TIMES * rows;
            assert!((1..most).contains(&fetched), "{table}: {fetched} fetched of {rows}");
        }
    }
}

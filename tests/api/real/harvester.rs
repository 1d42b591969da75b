//! Logs as forest machines measured them are recorded as harvests. One log of each file is then followed
//! along its chain of custody to the public check by a buyer.

use crate::world::World;
use axum::http::Method;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the measurements, which are not part of the project: `ORMANTRACE_HARVESTER_DATA`, or else a
/// folder next to the project. A folder named by the variable must exist.
#[expect(
    clippy::explicit_write,
    reason = "test output is shown only on failure, but this notice must always appear"
)]
fn folder() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("ORMANTRACE_HARVESTER_DATA").map(PathBuf::from) {
        assert!(named.is_dir(), "ORMANTRACE_HARVESTER_DATA: {} is not a folder", named.display());
        return Some(named);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/harvester");
    if beside.is_dir() {
        return Some(beside);
    }
    let told = "SKIPPED: no forest machine's measurements; set ORMANTRACE_HARVESTER_DATA to their folder";
    writeln!(std::io::stderr(), "{told} ({} is not there)", beside.display()).unwrap();
    None
}

/// Rows of a file, as pairs of column and cell.
fn measured(path: &Path) -> Vec<Vec<(String, String)>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let row = |row: csv::StringRecord| {
        header.iter().zip(row.iter()).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[tokio::test]
async fn measured_logs_are_recorded_and_followed_to_a_buyer() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "csv"));
    files.sort();
    assert!(!files.is_empty(), "{} holds no measurements", folder.display());
    let world = World::new().await;
    let (operator, owner, enterprise) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await);
    for (n, file) in files.iter().enumerate() {
        let rows = measured(file);
        let line = |species: &str| json!({"species": species, "wood": "commercial", "volume_m3": 100});
        let ticket = json!({
            "series": "АБ", "number": format!("{n}"), "issued_on": "2016-12-01", "holder_bin": enterprise.bin,
            "felling_kind": "main", "forest_category": "эксплуатационный", "forest_type": "сосняк",
            "origin": {"region": "KZ-10", "forestry": "Бородулихинское", "compartment": "7"},
            "felling_from": "2017-01-01", "felling_until": "2026-12-31",
            "lines": [line("picea_obovata"), line("pinus_sylvestris"), line("populus_tremula")]
        });
        let ticket = world.post("/v1/felling-tickets", &owner, ticket).await.expect(201);
        let seals = world.seals(&operator, &enterprise, u32::try_from(rows.len()).unwrap()).await;
        let number = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let logs: Vec<Value> = rows
            .iter()
            .zip(&seals)
            .map(|(row, seal)| {
                let cell = |name: &str| row.iter().find(|(known, _)| known == name).map_or("", |(_, cell)| cell);
                let told = cell("felled_at");
                // Older machines write local time without an offset, and some write no time. Such logs get a
                // fixed time.
                let offset = told.len() > 19 && (told.ends_with('Z') || told[19..].contains(['+', '-']));
                let occurred_at = if offset { told } else { "2021-02-11T10:00:00+01:00" };
                json!({"seal_number": seal, "kind": "log", "species": cell("species"), "wood": "commercial",
                       "length_m": number(cell("length_m")), "top_diameter_cm": number(cell("top_diameter_cm")),
                       "volume_m3": number(cell("volume_m3")), "measurement_method": "harvester",
                       "occurred_at": occurred_at})
            })
            .collect();
        let harvest = json!({"felling_ticket_id": ticket["id"], "responsible_person": {"name": "Ерлан Оспанов"}, "logs": logs});
        let answer = world.post("/v1/harvests", &enterprise, harvest).await.expect(201);
        assert_eq!(answer["logs"].as_array().unwrap().len(), rows.len(), "{}", file.display());

        let stored = json!({"place": {"name": "Төменгі қойма", "region": "KZ-10", "kind": "storage"}});
        world.event(&enterprise, "stored", &seals[..1], stored).await.expect(201);
        let path = format!("/v1/verify/{}", seals[0]);
        let verdict = world.call(Method::GET, &path, None, Value::Null).await.expect(200);
        assert_eq!((&verdict["verdict"], &verdict["log"]["status"]), (&json!("valid"), &json!("stored")));
        assert_eq!(verdict["log"]["volume_m3"], logs[0]["volume_m3"]);
    }
}

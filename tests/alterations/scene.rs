//! The world that the tests alter, and its register.

use crate::world::{Answer, Org, World, bin};
use axum::http::Method;
use chrono::TimeDelta;
use ormantrace::base::token::Token;
use ormantrace::base::units::Text;
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::commands::fsck::{self, FsckError, Published, Scope, Snapshots};
use ormantrace::evidence::tlog::note::Kind;
use ormantrace::evidence::tlog::tile::Builder;
use ormantrace::evidence::tlog::{Checkpoint, Folder, Note, Signer};
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::party::bootstrap::{Bootstrap, DEMONSTRATION_BIN, bootstrap_operator};
use ormantrace::timber::seal::marking_key;
use ormantrace::timber::seal::signing::SigningKey;
use ormantrace::timber::seal::{Gtin, Identification};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use std::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

/// Name of the register.
const ORIGIN: &str = "register.orman.test/2026";

pub struct Scene {
    pub world: World,
    pub published: Published,
    /// Seals of the logs, in the order of their harvests.
    pub logs: Vec<String>,
    /// A felling ticket with harvests.
    pub ticket: Uuid,
    /// The issuer of the ticket.
    pub forest_owner: Org,
    /// An inspector, who may export any history.
    pub inspector: Org,
    /// The organisations that issue seals (operator), fell (enterprise), buy (sawmill) and transport
    /// (carrier).
    pub operator: Org,
    pub enterprise: Org,
    pub sawmill: Org,
    pub carrier: Org,
    _folder: TempDir,
}

async fn organization(world: &World, operator: &Org, n: u32, name: &str, roles: &[&str], kind: &str) -> Org {
    let body = json!({"bin": bin(n), "name": name, "roles": roles, "kind": kind});
    let made = world.post("/v1/organizations", operator, body).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/organizations/{id}/keys");
    let body = json!({"label": "Планшет", "expires_at": "2027-12-31T23:59:59+05:00"});
    let key = world.post(&path, operator, body).await.expect(201);
    let lost = world.post(&path, operator, json!({"label": "Жоғалған планшет"})).await.expect(201);
    let lost = format!("/v1/keys/{}", lost["id"].as_str().unwrap());
    world.call(Method::DELETE, &lost, Some(&operator.token), Value::Null).await.expect(204);
    Org { id: id.parse().unwrap(), bin: bin(n), token: key["token"].as_str().unwrap().to_owned() }
}

/// Sends a write request one minute later.
pub async fn post(world: &World, path: &str, by: &Org, body: Value) -> Value {
    world.clock.set(world.clock.now() + TimeDelta::minutes(1));
    let answer: Answer = world.post(path, by, body).await;
    assert!(answer.status.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.bytes));
    if answer.bytes.is_empty() { Value::Null } else { answer.json() }
}

/// Registers seals with marking codes of another issuer, without signatures: checking signatures is slow in a
/// build without optimisation.
async fn registered(world: &World, operator: &Org, holder: &Org, quantity: u32) -> Vec<String> {
    let numbers: Vec<String> = (1..=quantity).map(|n| format!("SE-{n:05}")).collect();
    let code = |n: &String| Identification::new(Gtin::DEMONSTRATION, &n.replace('-', "")).unwrap();
    let seals: Vec<Value> =
        numbers.iter().map(|n| json!({"number": n, "marking_code": code(n).as_str()})).collect();
    post(world, "/v1/seals", operator, json!({"holder_bin": holder.bin, "seals": seals})).await;
    numbers
}

/// Records a custody event one minute later.
pub async fn event(world: &World, by: &Org, what: &str, logs: &[String], more: Value) {
    world.clock.set(world.clock.now() + TimeDelta::minutes(1));
    let answer = world.event(by, what, logs, more).await;
    assert!(answer.status.is_success(), "{what}: {}", String::from_utf8_lossy(&answer.bytes));
}

impl Scene {
    /// Records at least one event of every type, sequences all but the last events, and publishes all but
    /// the last leaves.
    pub async fn new() -> Self {
        let world = World::new().await;
        let token = Token::random();
        let name = (Text::parse("Орман таңбалау операторы").unwrap(), Bin::parse(DEMONSTRATION_BIN).unwrap());
        let made =
            bootstrap_operator(&world.app.pool, &world.clock, Some(token.clone()), &name).await.unwrap();
        let Bootstrap::Created { organization: id, .. } = made else { panic!("{made:?}") };
        // Registers two marking keys: the one with which the server signs, and one that the operator used
        // only once, as a trial.
        for key in [&world.app.signing_key, &SigningKey::from_seed(&[9; 32])] {
            marking_key::register(&world.app.pool, key, world.clock.now()).await.unwrap();
        }
        let operator = Org { id, bin: String::new(), token: token.expose().to_owned() };
        let org = async |n, name: &str, roles: &[&str], kind: &str| {
            organization(&world, &operator, n, name, roles, kind).await
        };
        let forest_owner =
            org(2, "«Семей орманы» МОТР", &["forest_owner", "enterprise"], "legal_entity").await;
        let enterprise = org(3, "ТОО «Ертіс ағаш»", &["enterprise"], "legal_entity").await;
        let sawmill = org(4, "ТОО «Бородулиха тілу»", &["enterprise"], "legal_entity").await;
        let carrier = org(5, "ТОО «Шығыс жүк»", &["carrier"], "legal_entity").await;
        let inspector = org(6, "Абай облыстық орман инспекциясы", &["inspector"], "legal_entity").await;
        let trader = org(7, "ЖК «Сүлейменова Айгүл»", &["enterprise"], "sole_trader").await;

        // An organisation with another name and other roles, that is suspended; another one was, for a while. The trader,
        // which is erased below, had another name.
        let moved = org(8, "ТОО «Көктерек»", &["enterprise"], "legal_entity").await;
        let change = async |of: &Org, body: Value| {
            let path = format!("/v1/organizations/{}", of.id);
            let answer = world.call(axum::http::Method::PATCH, &path, Some(&operator.token), body).await;
            assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.bytes));
        };
        change(
            &moved,
            json!({"name": "ТОО «Көктерек сауда»", "roles": ["carrier"], "reason": "Қайта тіркелді"}),
        )
        .await;
        change(&trader, json!({"name": "ЖК «Оспанова Айгүл»", "reason": "Тегі өзгерді"})).await;
        for (of, what) in [(&moved, "suspend"), (&sawmill, "suspend"), (&sawmill, "resume")] {
            post(&world, &format!("/v1/organizations/{}/{what}", of.id), &operator, json!({"reason": "Сот"}))
                .await;
        }

        let ticket =
            world.ticket(&forest_owner, &enterprise, "0001245").await["id"].as_str().unwrap().to_owned();
        let other =
            world.ticket(&forest_owner, &enterprise, "0001246").await["id"].as_str().unwrap().to_owned();
        let body =
            json!({"felling_until": "2027-01-31", "removal_until": "2027-04-30", "reason": "Жол бұзылды"});
        post(&world, &format!("/v1/felling-tickets/{ticket}/extend"), &forest_owner, body).await;
        let body = json!({"reason": "Учаскеде құстар ұялайды"});
        post(&world, &format!("/v1/felling-tickets/{other}/cancel"), &forest_owner, body).await;
        let plotted = json!({
            "series": "АБ", "number": "0001247", "issued_on": "2026-08-20", "holder_bin": enterprise.bin,
            "felling_kind": "sanitary", "forest_category": "II", "forest_type": "С2",
            "origin": {"region": "KZ-10", "forestry": "Бородулиха орманшылығы", "compartment": "41"},
            "area_ha": 4.7, "felling_from": "2026-09-01", "felling_until": "2026-12-31",
            "plot": {"type": "Polygon", "coordinates":
                [[[80.92, 50.69], [80.95, 50.69], [80.95, 50.71], [80.92, 50.71], [80.92, 50.69]]]},
            "lines": [{"species": "betula_pendula", "wood": "commercial", "volume_m3": 40}]
        });
        post(&world, "/v1/felling-tickets", &forest_owner, plotted).await;

        let decided = json!({"kind": "other", "number": "18-02/1", "issued_on": "2026-10-01"});
        let body = json!({"value": 8, "valid_from": "2026-10-06", "document": decided});
        let ban = json!({
            "kind": "felling", "region": "KZ-63", "forest_owner_bin": forest_owner.bin, "species": "betula_pendula",
            "from": "2027-04-01", "until": "2027-05-31", "existing_tickets": true, "document": decided
        });
        let path = format!(
            "/v1/bans/{}/end",
            post(&world, "/v1/bans", &operator, ban).await["id"].as_str().unwrap()
        );
        post(&world, &path, &operator, json!({"reason": "Бұйрықтың күші жойылды"})).await;
        let ban = json!({
            "kind": "export", "hs": ["4403", "4401"], "from": "2027-04-01", "until": "2027-05-31",
            "document": {"kind": "act", "number": "7"}
        });
        post(&world, "/v1/bans", &operator, ban).await;
        for forestry in [Some("Бородулиха"), None] {
            let cut = json!({
                "forest_owner_bin": forest_owner.bin, "forestry": forestry, "year": 2030, "group": "conifer",
                "volume_m3": 12_500, "document": decided
            });
            post(&world, "/v1/allowable-cuts", &operator, cut).await;
        }
        let path = "/v1/parameters/ticket-hold-days";
        world.call(Method::PUT, path, Some(&operator.token), body).await.expect(200);

        let mut logs = registered(&world, &operator, &enterprise, 15).await;
        let spare = logs.split_off(8);
        world.seals(&operator, &trader, 1).await;
        let body = json!({"numbers": spare[5..], "to_bin": sawmill.bin});
        post(&world, "/v1/seals/transfer", &enterprise, body).await;
        let body = json!({"reason": "spoiled", "note": "Қағу кезінде сынды"});
        post(&world, &format!("/v1/seals/{}/void", spare[4]), &enterprise, body).await;

        let mut harvest = World::harvest_of(&ticket, &logs[..5]);
        harvest["device"] = json!({"id": "tablet-07", "seq": 1, "recorded_at": "2026-10-05T09:31:00+05:00"});
        harvest["logs"][1]["position"] = json!({"lat": 50.7, "lon": 80.93, "accuracy_m": 8});
        post(&world, "/v1/harvests", &enterprise, harvest).await;
        let mut stacks = World::harvest_of(&ticket, &logs[5..]);
        for stack in stacks["logs"].as_array_mut().unwrap() {
            *stack = json!({
                "seal_number": stack["seal_number"], "kind": "stack", "species": "pinus_sylvestris", "wood": "firewood",
                "pieces": 40, "volume_m3": 2.5, "length_m": 2, "measurement_method": "stack_geometric",
                "occurred_at": "2026-10-05T09:40:00+05:00"
            });
        }
        let erased = post(&world, "/v1/harvests", &enterprise, stacks).await;

        // The persons are erased before the last events are recorded, because the last events are not
        // published and the erasure events must be.
        let mut owner = world.owner().await;
        let whose = ErasureTarget::Harvest(erased["id"].as_str().unwrap().parse().unwrap());
        erase::delete(&mut owner, &whose, &world.clock).await.unwrap();
        let whose = ErasureTarget::Iin(Bin::parse(&trader.bin).unwrap());
        erase::delete(&mut owner, &whose, &world.clock).await.unwrap();

        // Log 0: every step from the forest to the sawmill. Log 1: its seal voided and replaced. Log 2:
        // corrected and reversed.
        let yard = json!({"place": {"name": "Төменгі қойма", "region": "KZ-10", "kind": "storage"}});
        event(&world, &enterprise, "stored", &logs[..3], yard.clone()).await;
        let vehicle = json!({"carrier_bin": carrier.bin, "vehicle": "123 ABC 10"});
        event(&world, &enterprise, "loaded", &logs[..2], vehicle).await;
        event(&world, &enterprise, "transferred", &logs[..1], json!({"to_bin": sawmill.bin})).await;
        event(&world, &carrier, "departed", &logs[..1], json!({})).await;
        event(&world, &carrier, "arrived", &logs[..1], json!({})).await;
        event(&world, &sawmill, "received", &logs[..1], json!({})).await;
        let seen = json!({"details": {"outcome": "match", "note": "Кесік орны таза"}});
        event(&world, &inspector, "inspected", &logs[..1], seen.clone()).await;
        let body = json!({"reason": "lost"});
        post(&world, &format!("/v1/seals/{}/void", logs[1]), &enterprise, body).await;
        let new = json!({"new_seal_number": spare[0], "reason": "Пломба жоғалды"});
        event(&world, &enterprise, "seal_replaced", &logs[1..2], new).await;
        let new = json!({"new_seal_number": spare[1], "reason": "Пломба бүлінді"});
        event(&world, &enterprise, "seal_replaced", &logs[3..4], new).await;
        let right = json!({"corrects": 1, "reason": "Қателесіп өлшенген", "set": {"wood": "firewood", "volume_m3": 0.3}});
        event(&world, &enterprise, "corrected", &logs[2..3], right).await;
        event(&world, &enterprise, "lost", &logs[2..3], json!({})).await;
        let undo = json!({"corrects": 4, "reason": "Табылды", "reverse": true});
        event(&world, &enterprise, "corrected", &logs[2..3], undo).await;
        // Log 4: offered for transfer of possession only.
        let offer = json!({"to_bin": sawmill.bin, "of": "possession"});
        event(&world, &enterprise, "transferred", &logs[4..5], offer).await;
        // An event from a device that was offline: it happened before events that are already recorded.
        let late = json!({
            "occurred_at": "2026-10-05T10:10:00+05:00",
            "device": {"id": "tablet-07", "seq": 2, "recorded_at": "2026-10-05T10:10:01+05:00"}
        });
        event(&world, &enterprise, "stored", &logs[2..3], late).await;
        // The last events are not sequenced and the last leaves are not published. These last events
        // therefore have types that also occur earlier.
        event(&world, &enterprise, "stored", &logs[5..8], yard).await;
        event(&world, &inspector, "inspected", &logs[5..7], seen).await;

        let (folder, published) = register(&mut owner).await;
        let ticket = ticket.parse().unwrap();
        Self {
            world,
            published,
            logs,
            ticket,
            forest_owner,
            inspector,
            operator,
            enterprise,
            sawmill,
            carrier,
            _folder: folder,
        }
    }

    /// An insider: the owner of the tables, in a transaction that is never committed, with triggers and
    /// constraints disabled.
    pub async fn insider(&self) -> PgConnection {
        let mut owner = self.world.owner().await;
        run(&mut owner, "BEGIN").await;
        run(
            &mut owner,
            "DO $$ DECLARE it record; BEGIN
                 FOR it IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
                           WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u')
                           ORDER BY contype = 'u' LOOP
                     EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', it.of, it.conname);
                 END LOOP;
                 FOR it IN SELECT a.attrelid::regclass AS of, a.attname FROM pg_attribute a
                           JOIN pg_class c ON c.oid = a.attrelid
                           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
                             AND a.attnotnull AND a.attidentity = '' AND NOT EXISTS (
                                 SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                                     AND a.attnum = ANY (i.indkey)) LOOP
                     EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', it.of, it.attname);
                 END LOOP;
                 FOR it IN SELECT oid::regclass AS of FROM pg_class
                           WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
                     EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', it.of);
                 END LOOP;
             END $$",
        )
        .await;
        owner
    }

    /// Connects as the insider of [`Self::insider`], but outside of a transaction: the triggers and
    /// constraints stay disabled, and the server sees the edits.
    pub async fn seen_insider(&self) -> PgConnection {
        let mut owner = self.insider().await;
        run(&mut owner, "COMMIT").await;
        owner
    }

    /// Copies the published register to where the server serves it, as `publish` does.
    pub fn serve_register(&self) {
        copy(&self.published.folder, self.world.app.register.folder().root());
        let keys: Vec<String> = self.published.keys.iter().map(ToString::to_string).collect();
        let keys = json!({"keys": keys, "witnesses": [], "quorum": 0});
        self.world.app.register.folder().publish_keys(keys.to_string().into_bytes()).unwrap();
    }

    /// The errors that `fsck` finds in the insider's transaction.
    pub async fn found(&self, db: &mut PgConnection) -> Vec<FsckError> {
        self.found_beside(db, Some(self.published.clone())).await
    }

    /// The errors that `fsck` finds when it compares the database with `published`, or with no register.
    pub async fn found_beside(&self, db: &mut PgConnection, published: Option<Published>) -> Vec<FsckError> {
        // Few rows per snapshot, so that there are many pages, and a batch of seals spans two.
        Self::found_by(db, 7, published).await
    }

    /// The errors that `fsck` finds with `rows` rows per snapshot.
    pub async fn found_by(db: &mut PgConnection, rows: i64, published: Option<Published>) -> Vec<FsckError> {
        let scope = Scope { snapshots: Snapshots::Callers, rows, published };
        let mut found = Vec::new();
        let summary = fsck::check(db, &scope, &mut found).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(summary.is_clean(), found.is_empty());
        // The insider has disabled the triggers and dropped the constraints, so these errors always occur and
        // are left out; the tests in `guards` check that they are reported.
        let constraint = |error: &FsckError| {
            error.code == fsck::Code::KeyMissing && error.detail.starts_with("nothing keeps")
        };
        found.retain(|error| error.code != fsck::Code::TriggerMissing && !constraint(error));
        found
    }
}

/// Copies a folder recursively.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Runs any statement; returns the number of rows affected.
pub async fn run(db: &mut PgConnection, sql: &str) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await;
    done.unwrap_or_else(|error| panic!("{error}: {sql}")).rows_affected()
}

/// Creates and publishes the register: all queued entries except the last four get an index, and all leaves
/// except the last three are published.
async fn register(owner: &mut PgConnection) -> (TempDir, Published) {
    run(
        owner,
        "WITH taken AS (
             DELETE FROM leaf_queue WHERE id NOT IN (SELECT id FROM leaf_queue ORDER BY id DESC LIMIT 4)
             RETURNING id, entry, subject_id, seq)
         INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
         SELECT row_number() OVER (ORDER BY id) - 1, entry, subject_id, seq, now() FROM taken;
         UPDATE register SET size = (SELECT count(*) FROM leaf), complete = true",
    )
    .await;
    let entries: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT entry FROM leaf ORDER BY index").fetch_all(&mut *owner).await.unwrap();
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path());
    let mut builder = Builder::new();
    let mut tiles = Vec::new();
    for entry in &entries[..entries.len() - 3] {
        builder.push(entry.as_slice().try_into().unwrap(), |tile, bytes| tiles.push((tile, bytes)));
    }
    tiles.extend(builder.unfilled());
    folder.write_tiles(tiles).unwrap();
    let signer = Signer::from_seed(ORIGIN, Kind::Text, &[3; 32]).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, builder.size(), builder.root()).unwrap();
    let note = Note::sign(checkpoint.to_string(), &[&signer], crate::world::morning()).unwrap();
    folder.swap_signed(None, &note).unwrap();
    folder.publish(&note).unwrap();
    let published = Published { folder: temp.path().to_owned(), keys: vec![signer.verifier().clone()] };
    (temp, published)
}

use super::*;
use crate::evidence::tlog::note::{Kind, Signer};
use crate::evidence::tlog::tile::Builder;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use chrono::DateTime;
use tower::ServiceExt as _;

async fn get(folder: &Folder, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = crate::http::router::register_files::<()>(RegisterFiles::of(folder, &[]))
        .oneshot(request)
        .await
        .unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, body.to_vec())
}

fn publish(folder: &Folder, builder: &mut Builder, size: u64, visible: bool) {
    let mut tiles = Vec::new();
    while builder.size() < size {
        let mut entry = [1; crate::evidence::chain::bytes::ENTRY_LEN];
        entry[33..41].copy_from_slice(&builder.size().to_be_bytes());
        builder.push(&entry, |tile, bytes| tiles.push((tile, bytes)));
    }
    let full: Vec<Tile> = tiles.iter().map(|(tile, _)| *tile).collect();
    tiles.extend(builder.unfilled());
    folder.write_tiles(tiles).unwrap();
    if visible {
        let signer = Signer::from_seed("register.example/timber", Kind::Text, &[1; 32]).unwrap();
        let text = Checkpoint::new("register.example/timber", size, builder.root()).unwrap().to_string();
        folder.publish(&Note::sign(text, &[&signer], DateTime::UNIX_EPOCH).unwrap()).unwrap();
        folder.remove_partials(&full).unwrap();
    }
}

#[tokio::test]
async fn the_register_is_shown_as_it_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    for path in ["/checkpoint", "/keys.json", "/tile/0/000.p/1"] {
        assert_eq!(get(&folder, path).await.0, 404, "{path} before the first publication");
    }
    let mut builder = Builder::new();
    publish(&folder, &mut builder, 200, true);
    publish(&folder, &mut builder, 300, true);
    folder.publish_keys(b"{\"quorum\":0}".to_vec()).unwrap();
    let (status, headers, body) = get(&folder, "/checkpoint").await;
    assert_eq!((status, body), (200, folder.published().unwrap().unwrap()));
    assert_eq!(headers[CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(headers[CACHE_CONTROL], "public, max-age=2");
    for (path, length) in [
        ("/tile/0/000", 8192),
        ("/tile/0/001.p/44", 44 * 32),
        ("/tile/1/000.p/1", 32),
        ("/tile/entries/000", 256 * 115),
        ("/tile/entries/001.p/44", 44 * 115),
        ("/tile/0/000.p/200", 200 * 32),
        ("/tile/entries/000.p/200", 200 * 115),
    ] {
        let (status, headers, body) = get(&folder, path).await;
        assert_eq!((status, body.len()), (200, length), "{path}");
        assert_eq!(headers[CONTENT_TYPE], "application/octet-stream");
        assert_eq!(headers[CACHE_CONTROL], "public, max-age=31536000, immutable");
    }
    let (status, headers, body) = get(&folder, "/keys.json").await;
    assert_eq!((status, body.as_slice()), (200, b"{\"quorum\":0}".as_slice()));
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    // The keys of this server's receipts are added; the publisher's members are unchanged.
    let receipts = [1, 2].map(|seed| Signer::from_seed("register.example/receipts", Kind::Text, &[seed; 32]));
    let receipts = receipts.map(|signer| signer.unwrap().verifier().clone());
    let merged = with_receipts(b"{\"quorum\":0}".to_vec(), &receipts.each_ref().map(ToString::to_string));
    let merged: Value = serde_json::from_slice(&merged).unwrap();
    assert_eq!(merged, serde_json::json!({"quorum": 0, "receipts": receipts.map(|key| key.to_string())}));
    assert_eq!(with_receipts(b"[]".to_vec(), &["key".to_owned()]), b"[]");
}

#[tokio::test]
async fn nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("register"));
    let mut builder = Builder::new();
    publish(&folder, &mut builder, 300, true);
    std::fs::create_dir_all(folder.root().join("state")).unwrap();
    std::fs::write(folder.root().join("state/checkpoint"), "secret").unwrap();
    std::fs::write(dir.path().join("passwords"), "secret").unwrap();
    // The folder also has tiles that are larger than the published tree; the server must not serve them,
    // because they may still change.
    publish(&folder, &mut builder, 600, false);
    assert!(folder.root().join("tile/0/001").exists());
    for path in [
        "/tile/0/001",
        "/tile/0/001.p/45",
        "/tile/entries/001",
        "/tile/0/002.p/88",
        "/tile/0/../../state/checkpoint",
        "/tile/..%2f..%2fstate%2fcheckpoint",
        "/tile/0/%2e%2e/%2e%2e/state/checkpoint",
        "/tile/0/000%00",
        "/tile//etc/passwd",
        "/tile/%2fetc%2fpasswd",
        "/tile/0/..%5c..%5cstate",
        "/tile/0",
        "/tile/",
        "/tile",
        "/state/checkpoint",
        "/tile/../state/checkpoint",
    ] {
        let (status, _, body) = get(&folder, path).await;
        assert!(status == 404 && !body.windows(6).any(|part| part == b"secret"), "{path}: {status}");
    }
}

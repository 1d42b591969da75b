//! The committed OpenAPI document equals the one that this program generates.

#[test]
fn the_committed_document_is_the_programs() {
    let made = ormantrace::http::router::openapi().to_pretty_json().expect("serialises");
    let committed = include_str!("../openapi.json");
    assert!(
        committed.trim_end() == made.trim_end(),
        "openapi.json is outdated; run: cargo run -- openapi > openapi.json"
    );
}

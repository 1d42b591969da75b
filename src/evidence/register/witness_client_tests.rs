use super::*;
use crate::evidence::tlog::note::Signer;
use crate::evidence::tlog::tree::empty_root;
use crate::net::server::{Server, ServerSettings};
use axum::Router;
use axum::routing::post;
use chrono::DateTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ORIGIN: &str = "register.example/timber";

fn witness_key() -> Signer {
    Signer::from_seed("witness.example/w1", Kind::Cosignature, &[2; 32]).unwrap()
}

/// The checkpoint of a register without leaves: its proofs need no tiles.
fn empty() -> Note {
    let register = Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap();
    let text = Checkpoint::new(ORIGIN, 0, empty_root()).unwrap().to_string();
    Note::sign(text, &[&register], DateTime::UNIX_EPOCH).unwrap()
}

/// Address of a witness that claims to have cosigned nine leaves until the flag is set, and cosigns after
/// that.
async fn mistaken() -> (WitnessAddress, Arc<AtomicBool>) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), ServerSettings::default()).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    let right = Arc::new(AtomicBool::new(false));
    let is_right = Arc::clone(&right);
    let respond = async move || {
        if is_right.load(Ordering::SeqCst) {
            let line = witness_key().sign(empty().text(), DateTime::UNIX_EPOCH);
            (StatusCode::OK, format!("{line}\n"))
        } else {
            (StatusCode::CONFLICT, "9\n".to_owned())
        }
    };
    let routes = Router::new().route("/add-checkpoint", post(respond));
    tokio::spawn(server.serve(routes, std::future::pending()));
    (WitnessAddress::new(&url, witness_key().verifier().clone()).unwrap(), right)
}

#[tokio::test]
async fn a_witness_that_was_ahead_is_asked_again() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path());
    let (address, right) = mistaken().await;
    let authorities = Authorities::with(None).unwrap();
    let mut seen = 0;
    for _ in 0..2 {
        let refused =
            request_cosignature(&authorities, &address, &mut seen, &empty(), &folder).await.unwrap_err();
        assert!(matches!(refused, CosignError::Ahead { cosigned: 9, local: 0 }), "{refused}");
    }
    right.store(true, Ordering::SeqCst);
    let line = request_cosignature(&authorities, &address, &mut seen, &empty(), &folder).await.unwrap();
    assert!(line.is_by(witness_key().verifier()));
}

use super::super::note::{Kind, Signer};
use super::super::{Checkpoint, naive};
use super::*;
use chrono::{DateTime, TimeZone as _, Utc};
use proptest::prelude::*;

const ORIGIN: &str = "register.example/timber";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 4, 0, 0).unwrap()
}

fn proof(index: usize, leaves: &[Hash], register: &Signer) -> Proof {
    let text = Checkpoint::new(ORIGIN, leaves.len() as u64, naive::root(leaves)).unwrap().to_string();
    Proof {
        extra: Some(b"113 bytes".to_vec()),
        index: index as u64,
        hashes: naive::path(index, leaves),
        checkpoint: Note::sign(text, &[register], now()).unwrap(),
    }
}

#[test]
fn a_record_has_its_place() {
    let register = Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap();
    let policy = Policy { registers: vec![register.verifier().clone()], ..Policy::default() };
    for size in [1, 2, 7, 300] {
        let leaves = naive::leaves(size);
        let made = proof(size - 1, &leaves, &register);
        let read = Proof::parse(made.to_string().as_bytes()).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.verify(leaves[size - 1], &policy).unwrap().checkpoint.size, size as u64);
        let error = ProofError::NotIncluded { index: size as u64 - 1, size: size as u64 };
        assert_eq!(read.verify(Hash::ZERO, &policy), Err(error));
        assert_eq!(
            read.verify(leaves[size - 1], &Policy::default()),
            Err(ProofError::Checkpoint(NoteError::Unsigned.into()))
        );
    }
    let bare = Proof { extra: None, ..proof(0, &naive::leaves(1), &register) };
    let text = bare.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nregister.example/timber\n1\n"), "{text}");
    assert_eq!(Proof::parse(text.as_bytes()), Ok(bare));
}

#[test]
fn what_is_no_proof() {
    let register = Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap();
    let good = proof(5, &naive::leaves(7), &register).to_string();
    let line = to_base64(&Hash::ZERO);
    let many = good.replacen("index 5\n", &format!("index 5\n{}", format!("{line}\n").repeat(64)), 1);
    for bad in [
        String::new(),
        "c2sp.org/tlog-proof@v1".into(),
        good.replacen("@v1", "@v2", 1),
        good.replacen("index 5", "index 05", 1),
        good.replacen("index 5", "index  5", 1),
        good.replacen("index 5", "index 9223372036854775807", 1),
        good.replacen("index 5\n", "", 1),
        good.replacen("extra ", "extra !", 1),
        good.replacen("extra ", "more ", 1),
        good.replacen("index 5\n", "index 5\nAAAA\n", 1),
        good.replacen("index 5\n", &format!("index 5\nextra {line}\n"), 1),
        good.replacen("\n\n", "\n", 1),
        good.replacen("\n\n", "\n\n\n", 1),
        good.replace('\n', "\r\n"),
        many,
        format!("{good}\n"),
        "x".repeat(super::super::note::MAX_LENGTH + 1),
    ] {
        assert!(Proof::parse(bad.as_bytes()).is_err(), "{bad:.80?}");
    }
    assert!(Proof::parse(&[0xff; 9]).is_err());
}

proptest! {
    #[test]
    fn any_change_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let register = Signer::from_seed(ORIGIN, Kind::Text, &[1; 32]).unwrap();
        let policy = Policy { registers: vec![register.verifier().clone()], ..Policy::default() };
        let leaves = naive::leaves(7);
        let mut bytes = proof(5, &leaves, &register).to_string().into_bytes();
        let at = at.index(bytes.len());
        let same = bytes[at] == byte;
        bytes[at] = byte;
        if let Ok(read) = Proof::parse(&bytes) {
            prop_assert_eq!(read.to_string().into_bytes(), bytes.clone());
            // If the changed proof is still valid, the change is in the extra data, which is not signed.
            let extra = bytes.split(|b| *b == b'\n').nth(1).map_or(0, <[u8]>::len) + 23;
            if read.verify(leaves[5], &policy).is_ok() {
                prop_assert!(same || at < extra);
            }
        }
    }
}

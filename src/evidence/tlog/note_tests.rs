use super::*;
use chrono::TimeZone as _;
use proptest::prelude::*;

/// The key, text and signature of Go's documentation of `golang.org/x/mod/sumdb/note`.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PETERS_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
     then you don't know what your problem is.\n\n\
     — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCHS_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
     then you don't know what your problem is.\n\n\
     — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n\
     — EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 4, 0, 0).unwrap()
}

fn signer(name: &str, kind: Kind, seed: u8) -> Signer {
    Signer::from_seed(name, kind, &[seed; 32]).unwrap()
}

#[test]
fn the_vectors_of_gos_reference_code() {
    let peter: VerifierKey = PETER.parse().unwrap();
    assert_eq!((peter.name(), peter.id(), peter.kind()), ("PeterNeumann", 0xc74f_20a3, Kind::Text));
    assert_eq!(peter.to_string(), PETER);
    let secret = Signer::parse(PETER_SECRET).unwrap();
    assert_eq!(secret.verifier(), &peter);
    assert_eq!(secret.secret_text(), PETER_SECRET);
    let note = Note::parse(PETERS_NOTE.as_bytes()).unwrap();
    assert_eq!(note.verify(std::slice::from_ref(&peter)).unwrap(), [Verified { key: &peter, time: None }]);
    // Ed25519 signatures are deterministic: the same bytes as Go's.
    let signed = Note::sign(note.text().to_owned(), &[&secret], now()).unwrap();
    assert_eq!(signed.to_string(), PETERS_NOTE);
    // A signature by an unknown key is ignored.
    let note = Note::parse(ENOCHS_NOTE.as_bytes()).unwrap();
    assert_eq!(note.to_string(), ENOCHS_NOTE);
    assert_eq!(note.verify(&[peter]).unwrap().len(), 1);
}

#[test]
fn cosignatures_are_over_their_time() {
    let witness = signer("witness.example/w1", Kind::Cosignature, 3);
    let log = signer("register.example/timber", Kind::Text, 4);
    let text = "register.example/timber\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let note = Note::sign(text.to_owned(), &[&log, &witness], now()).unwrap();
    let keys = [witness.verifier().clone()];
    assert_eq!(note.verify(&keys).unwrap(), [Verified { key: &keys[0], time: Some(now()) }]);
    let mut line = note.signatures()[1].clone();
    assert_eq!(line.bytes[..8], now().timestamp().to_be_bytes());
    let bare = cosignature::verify(&witness.verifier().key, text, &line.bytes);
    assert_eq!(bare, Some(now()));
    // The time is signed, too, so a cosignature with another time is not valid.
    line.bytes[7] ^= 1;
    let mut forged = Note::sign(text.to_owned(), &[&log], now()).unwrap();
    forged.add(line);
    assert_eq!(forged.verify(&keys), Err(NoteError::Forged("witness.example/w1".into())));
    // The signed bytes, written by hand.
    let signed = format!("cosignature/v1\ntime {}\n{text}", now().timestamp());
    let secret = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    assert_eq!(note.signatures()[1].bytes[8..], secret.sign(signed.as_bytes()).to_bytes());
}

#[test]
fn one_known_key_is_enough_and_a_forged_one_too_much() {
    let (old, new) = (signer("timber.example", Kind::Text, 1), signer("timber.example", Kind::Text, 2));
    let outsider = signer("timber.example", Kind::Text, 9);
    let note = Note::sign("spruce\n".into(), &[&old, &new], now()).unwrap();
    let keys = |signers: &[&Signer]| signers.iter().map(|s| s.verifier().clone()).collect::<Vec<_>>();
    assert_eq!(note.verify(&keys(&[&old])).unwrap().len(), 1);
    assert_eq!(note.verify(&keys(&[&new])).unwrap().len(), 1);
    assert_eq!(note.verify(&keys(&[&old, &new])).unwrap().len(), 2);
    assert_eq!(note.verify(&keys(&[&outsider])), Err(NoteError::Unsigned));
    assert_eq!(note.verify(&[]), Err(NoteError::Unsigned));
    let other = note.to_string().replace("spruce", "birch!");
    let other = Note::parse(other.as_bytes()).unwrap();
    assert_eq!(other.verify(&keys(&[&old])), Err(NoteError::Forged("timber.example".into())));
    // The same line twice counts as one signature.
    let mut twice = note.clone();
    twice.add(note.signatures()[0].clone());
    assert_eq!(twice, note);
    let last = format!("{}\n", note.signatures()[0]);
    let twice = Note::parse(format!("{note}{last}").as_bytes()).unwrap();
    assert_eq!(twice.verify(&keys(&[&old])).unwrap().len(), 1);
}

#[test]
fn a_signature_that_any_text_has_is_none() {
    // The key is the neutral point of the curve: without strict verification, a signature of zeros would be
    // valid for any text.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(VerifierKey::new("timber.example", Kind::Text, &weak).is_err());
}

#[test]
fn what_is_no_note() {
    let line = PETERS_NOTE.lines().last().unwrap();
    let many = format!("text\n\n{}", format!("{line}\n").repeat(MAX_SIGNATURES + 1));
    for bad in [
        "",
        "\n",
        "\n\n",
        "text",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        &format!("text\n{line}\n"),
        &format!("text\n\n{line}"),
        &format!("text\n\n{line}\n\n"),
        &format!("text\r\n\n{line}\n"),
        &format!("te\0xt\n\n{line}\n"),
        &format!("te\u{1b}[2Jxt\n\n{line}\n"),
        &format!("text\n\n{line}\nand more\n"),
        &format!("text\n\n-{}\n", &line["—".len()..]),
        &format!("text\n\n{}\n", line.replace(' ', "  ")),
        &format!("text\n\n{line} \n"),
        "text\n\n—  AAAAAAA=\n",
        "text\n\n— a+b AAAAAAA=\n",
        "text\n\n— a AAAAAA==\n",
        "text\n\n— a !!!!!!!!\n",
        "text\n\n— a\n",
        &many,
        &format!("{}\n\n{line}\n", "x".repeat(MAX_LENGTH)),
    ] {
        assert!(matches!(Note::parse(bad.as_bytes()), Err(NoteError::Malformed(_))), "{bad:.60?}");
    }
    assert!(Note::parse(&[&[0xff], PETERS_NOTE.as_bytes()].concat()).is_err());
    assert!(
        Note::parse(format!("text\n\n{}", format!("{line}\n").repeat(MAX_SIGNATURES)).as_bytes()).is_ok()
    );
    // A text may have empty lines: only the last empty line of a note separates the text and the signatures.
    let peter = Signer::parse(PETER_SECRET).unwrap();
    let note = Note::sign("one\n\ntwo\n".into(), &[&peter], now()).unwrap();
    assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
    for bad in ["", "no newline", "bell\x07\n"] {
        assert!(Note::sign(bad.into(), &[&peter], now()).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_no_key() {
    for bad in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a3+",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+BRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
        &format!("{}+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "x".repeat(256)),
        PETER_SECRET,
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad:?}");
    }
    for bad in ["", PETER, &PETER_SECRET.replace("c74f20a3", "c74f20a4"), &PETER_SECRET[..60]] {
        assert!(Signer::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Signer::from_seed("two words", Kind::Text, &[0; 32]).is_err());
    assert!(!format!("{:?}", Signer::parse(PETER_SECRET).unwrap()).contains("AYEKFALVFGyN"));
}

#[test]
fn key_files_are_for_one_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/register.key");
    let made = Signer::load_or_create(&path, "timber.example/register", Kind::Text).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    // An existing key file is used, even if another name is requested.
    let again = Signer::load_or_create(&path, "other", Kind::Text).unwrap();
    assert_eq!(again.verifier(), made.verifier());
    assert_eq!(made.save(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Signer::load(&path).unwrap_err().to_string().contains("mode 640"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "larch").unwrap();
    assert!(Signer::load(&path).unwrap_err().to_string().contains("register.key"));
    let gone = Signer::load(&folder.path().join("absent")).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Note::parse(&bytes);
    }

    #[test]
    fn what_is_read_is_written_the_same(
        text in "[a-z0-9 \n—+=]{0,30}", names in prop::collection::vec("[a-zé—+ ]{0,3}", 0..3), noise in "[A-Za-z0-9+/=]{0,12}"
    ) {
        let lines: Vec<String> = names.iter().map(|name| format!("— {name} {noise}\n")).collect();
        let note_text = format!("{text}\n\n{}", lines.concat());
        if let Ok(note) = Note::parse(note_text.as_bytes()) {
            prop_assert_eq!(note.to_string(), note_text);
        }
    }

    #[test]
    fn any_key_is_read_or_refused(text in "(PRIVATE\\+KEY\\+)?[a-z+ ]{0,4}\\+[0-9a-f]{7,9}\\+[A-Za-z0-9+/=]{0,50}") {
        let _ = (text.parse::<VerifierKey>(), Signer::parse(&text));
    }

    #[test]
    fn keys_come_back(seed in any::<[u8; 32]>(), witness in any::<bool>(), name in "[a-z./]{1,20}") {
        let kind = if witness { Kind::Cosignature } else { Kind::Text };
        let signer = Signer::from_seed(&name, kind, &seed).unwrap();
        let verifier: VerifierKey = signer.verifier().to_string().parse().unwrap();
        prop_assert_eq!(&verifier, signer.verifier());
        let again = Signer::parse(&signer.secret_text()).unwrap();
        prop_assert_eq!(again.verifier(), &verifier);
    }
}

use super::super::note::Signer;
use super::super::tree::empty_root;
use super::*;
use chrono::TimeZone as _;
use proptest::prelude::*;

const ORIGIN: &str = "register.example/timber";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 4, 0, 0).unwrap()
}

fn signer(name: &str, kind: Kind, seed: u8) -> Signer {
    Signer::from_seed(name, kind, &[seed; 32]).unwrap()
}

/// The example of the specification. Its key is not published, so only the text can be parsed.
#[test]
fn the_example_of_the_specification() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let checkpoint = Checkpoint::parse(text).unwrap();
    assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_string(), text);
    let longer = format!("{text}an extension line\n");
    assert_eq!(Checkpoint::parse(&longer).unwrap().to_string(), longer);
}

#[test]
fn what_is_no_checkpoint() {
    let root = to_base64(&empty_root());
    for bad in [
        String::new(),
        "\n".into(),
        format!("\n0\n{root}\n"),
        format!("{ORIGIN}\n0\n{root}"),
        format!("{ORIGIN}\n0\n"),
        format!("{ORIGIN}\n00\n{root}\n"),
        format!("{ORIGIN}\n-1\n{root}\n"),
        format!("{ORIGIN}\n9223372036854775808\n{root}\n"),
        format!("{ORIGIN}\n0\n{}\n", &root[1..]),
        format!("{ORIGIN}\n0\n{root}\n\n"),
        format!("{ORIGIN}\n0\n{root}\n\nmore\n"),
        format!("{ORIGIN}\n0 \n{root}\n"),
    ] {
        assert!(matches!(Checkpoint::parse(&bad), Err(CheckpointError::Malformed(_))), "{bad:?}");
    }
    assert!(Checkpoint::new("two words", 0, empty_root()).is_err());
    assert!(Checkpoint::new(ORIGIN, MAX_SIZE + 1, empty_root()).is_err());
}

#[test]
fn who_has_signed_and_who_has_witnessed() {
    let register = signer(ORIGIN, Kind::Text, 1);
    let witnesses: Vec<_> =
        (2..5).map(|n| signer(&format!("witness{n}.example"), Kind::Cosignature, n)).collect();
    let policy = Policy {
        registers: vec![register.verifier().clone()],
        witnesses: witnesses.iter().map(|w| w.verifier().clone()).collect(),
        quorum: 2,
    };
    let text = Checkpoint::new(ORIGIN, 0, empty_root()).unwrap().to_string();
    let mut note = Note::sign(text.clone(), &[&register], now()).unwrap();
    let alone = policy.check(&note).unwrap();
    assert_eq!((alone.witnesses.len(), alone.quorum), (0, false));
    note.add(witnesses[2].sign(&text, now()));
    note.add(signer("stranger.example", Kind::Cosignature, 8).sign(&text, now()));
    assert!(!policy.check(&note).unwrap().quorum);
    note.add(witnesses[0].sign(&text, now()));
    let seen = policy.check(&note).unwrap();
    assert!(seen.quorum);
    assert_eq!(
        seen.witnesses,
        [("witness4.example".to_owned(), now()), ("witness2.example".to_owned(), now())]
    );
    // Cosignatures of witnesses are not enough without the register's signature.
    let only = Note::sign(text.clone(), &[&witnesses[0], &witnesses[1]], now()).unwrap();
    assert_eq!(policy.check(&only), Err(NoteError::Unsigned.into()));
    let confused = Policy { registers: policy.witnesses.clone(), ..policy.clone() };
    assert_eq!(confused.check(&only), Err(CheckpointError::NotByRegister));
    // A key is valid only for the register that has the same name.
    let other = Checkpoint::new("other.example", 0, empty_root()).unwrap().to_string();
    let other = Note::sign(other, &[&register], now()).unwrap();
    assert_eq!(policy.check(&other), Err(CheckpointError::OtherOrigin("other.example".into())));
    // A cosignature over another checkpoint makes the note invalid.
    let mut spoilt = Note::sign(text, &[&register], now()).unwrap();
    spoilt.add(witnesses[0].sign("elsewhere\n", now()));
    assert_eq!(policy.check(&spoilt), Err(NoteError::Forged("witness2.example".into()).into()));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z\n]{0,4}[0-9\n]{0,3}\n?[A-Za-z0-9+/=]{42,46}\n?[a-z\n]{0,3}") {
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}

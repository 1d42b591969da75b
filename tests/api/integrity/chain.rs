//! Other tests check chains with `chain_errors`. These tests show that it detects each kind of alteration.

use crate::support::chain::{ChainError, ChainEvent, Revealed, chain_errors};
use chrono::DateTime;
use ormantrace::evidence::chain::bytes::{
    Entry, Hash, Part, Salt, Secret, SubjectKind, commit, record, subject_ref,
};
use uuid::Uuid;

const TEXTS: [&str; 4] = [
    r#"{"species":"pinus_sylvestris","type":"harvested","v":1}"#,
    r#"{"type":"stored","v":1}"#,
    r#"{"type":"loaded","v":1}"#,
    r#"{"type":"departed","v":1}"#,
];

fn chain() -> Vec<ChainEvent<'static>> {
    let subject = subject_ref(SubjectKind::Log, Uuid::from_u128(42), &Salt([3; 32]));
    let mut prev = Hash::ZERO;
    TEXTS
        .iter()
        .zip(1_u32..)
        .map(|(text, seq)| {
            let secret = Secret([u8::try_from(seq).unwrap(); 32]);
            let [public, business] = [Part::Public, Part::Business].map(|part| Revealed {
                commitment: commit(part, &secret.salt(part), text),
                opening: Some((secret.salt(part), *text)),
            });
            let parts = [public, business, Revealed { commitment: Hash::ZERO, opening: None }];
            let received_at = DateTime::from_timestamp(1_790_000_000 + i64::from(seq), 0).unwrap();
            let record = record(parts[0].commitment, parts[1].commitment, Hash::ZERO);
            let hash = Entry::new(subject, seq, received_at, prev, record).link();
            let shown = ChainEvent { seq, received_at, subject, prev, hash, parts };
            prev = hash;
            shown
        })
        .collect()
}

#[test]
fn an_untouched_chain_has_no_fault() {
    assert_eq!(chain_errors(&chain()), []);
}

#[test]
fn each_alteration_is_found_and_named() {
    let mut text = chain();
    text[1].parts[0].opening.as_mut().unwrap().1 = r#"{"type":"sold","v":1}"#;
    assert_eq!(chain_errors(&text), [ChainError::WrongPart { seq: 2, part: Part::Public }]);

    let mut time = chain();
    time[2].received_at -= chrono::TimeDelta::days(1);
    assert_eq!(chain_errors(&time), [ChainError::Altered(3), ChainError::TimeFell(3)]);

    let mut dropped = chain();
    dropped.remove(1);
    assert_eq!(
        chain_errors(&dropped)[..2],
        [ChainError::Gap { expected: 2, found: 3 }, ChainError::Unlinked(3)]
    );

    let mut swapped = chain();
    swapped.swap(1, 2);
    assert!(chain_errors(&swapped).contains(&ChainError::Gap { expected: 2, found: 3 }));

    let mut other = chain();
    other[3].subject = Hash([1; 32]);
    assert_eq!(chain_errors(&other), [ChainError::Altered(4), ChainError::OtherSubject(4)]);

    let mut rehashed = chain();
    rehashed[1].hash = Hash([9; 32]);
    assert_eq!(chain_errors(&rehashed), [ChainError::Altered(2), ChainError::Unlinked(3)]);
}

//! The checks of one chain that need only the chain, as listed in docs/CHAIN.md.

use super::export::{Event, PARTS};
use super::report::{Check, Report};
use crate::evidence::chain::bytes::{Hash, commit, record};

/// Checks events, which should be the first events of the chain of `subject`.
pub(super) fn check(report: &mut Report, subject: Hash, events: &[Event]) {
    let placed = || (1..).zip(events);
    let pairs = || (2..).zip(events.windows(2));
    let each = |error: &dyn Fn(usize, &Event) -> Option<String>| {
        placed().filter_map(|(at, event)| Some((at, error(at, event)?))).collect::<Vec<_>>()
    };

    let other =
        each(&|_, event| (!event.entry.is_known_version()).then(|| "the entry is not of version 1".into()));
    report.failed_each(Check::Entry, other, format!("entries: {}, all of format version 1", events.len()));

    let other =
        each(&|_, event| (event.entry.subject() != subject).then(|| "belongs to another subject".into()));
    report.failed_each(Check::Subject, other, "every entry is of this subject");

    let misplaced = each(&|at, event| {
        let seq = event.entry.seq();
        (u64::try_from(at) != Ok(seq)).then(|| format!("event {seq} stands where {at} belongs"))
    });
    report.failed_each(Check::Sequence, misplaced, format!("1 to {} without a gap", events.len()));

    let fell = pairs().filter(|(_, pair)| pair[1].entry.received_at() < pair[0].entry.received_at());
    let fell = fell.map(|(at, _)| (at, "was received before the event in front of it".into()));
    report.failed_each(Check::Time, fell.collect(), "never falls");

    let first = events.first().filter(|event| event.entry.prev() != Hash::ZERO);
    let first = first.map(|_| (1, "the first event follows from another".into()));
    let unlinked = pairs().filter(|(_, pair)| pair[1].entry.prev() != pair[0].hash);
    let unlinked = unlinked.map(|(at, _)| (at, format!("does not follow from event {}", at - 1)));
    report.failed_each(
        Check::Link,
        first.into_iter().chain(unlinked).collect(),
        "each follows from the one before it",
    );

    parts(report, events);

    let other = each(&|_, event| {
        let [public, business, personal] = [0, 1, 2].map(|part| event.parts[part].commitment);
        (record(public, business, personal) != event.entry.record())
            .then(|| "the entry commits to other parts".into())
    });
    report.failed_each(Check::Record, other, "every entry's record is the hash of its three commitments");
}

fn parts(report: &mut Report, events: &[Event]) {
    let mut errors = Vec::new();
    let (mut opened, mut erased) = (0, 0);
    for (at, event) in (1..).zip(events) {
        for ((name, number), part) in PARTS.iter().zip(&event.parts) {
            erased += usize::from(part.erased);
            let Some((salt, text)) = &part.opening else { continue };
            opened += 1;
            if commit(*number, salt, text) != part.commitment {
                errors.push((at, format!("the {name} part is not what was committed to")));
            }
        }
    }
    let mut found = format!("{opened} opened, each as committed to");
    if erased > 0 {
        found.push_str(&format!("; {erased} erased, commitment intact"));
    }
    report.failed_each(Check::Parts, errors, found);
    for (at, event) in (1..).zip(events) {
        // An erased part is listed too: the file claims that it was erased, and nothing in it proves that.
        let hidden: Vec<String> = (PARTS.iter().zip(&event.parts))
            .filter(|(_, part)| part.opening.is_none() && part.commitment != Hash::ZERO)
            .map(|((name, _), part)| {
                format!("{name}{}", if part.erased { " (erased, by the file)" } else { "" })
            })
            .collect();
        if !hidden.is_empty() {
            report.unchecked_at(Check::Parts, at, format!("not shown: {}", hidden.join(", ")));
        }
    }
}

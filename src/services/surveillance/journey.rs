//! How far apart two events are, and how long the way between them takes.

use super::threshold::Thresholds;
use super::window::Past;

/// Regions that have a common border, by the number of their ISO code. Where the border could not be made
/// certain, the pair is listed: a pair too many only makes the rule see less.
const NEIGHBOURS: &[(u8, &[u8])] = &[
    (10, &[33, 35, 55, 63]),
    (11, &[35, 39, 55, 59, 62]),
    (15, &[23, 27, 39, 43, 47, 62]),
    (19, &[31, 33, 35]),
    (23, &[27, 47]),
    (31, &[35, 61, 62]),
    (33, &[35, 63]),
    (35, &[55, 61, 62]),
    (39, &[59, 62]),
    (43, &[61, 62]),
    (47, &[]),
    (55, &[59, 63]),
    (61, &[62]),
];

/// A city of republican significance counts as the region around it.
fn region(code: &str) -> Option<u8> {
    match code.strip_prefix("KZ-")?.parse().ok()? {
        71 => Some(11),
        75 => Some(19),
        79 => Some(61),
        other => Some(other),
    }
}

fn are_neighbours(one: u8, other: u8) -> bool {
    NEIGHBOURS.iter().any(|(of, with)| *of == one.min(other) && with.contains(&one.max(other)))
}

/// How many regions lie between two regions at least: 0 for neighbours and for the same region, and if one of
/// them is not known.
pub(super) fn between(one: &str, other: &str) -> u32 {
    let (Some(one), Some(other)) = (region(one), region(other)) else { return 0 };
    let all = || NEIGHBOURS.iter().flat_map(|(of, with)| [*of].into_iter().chain(with.iter().copied()));
    let mut reached = vec![one];
    for steps in 0..NEIGHBOURS.len() {
        if reached.contains(&other) {
            return u32::try_from(steps).unwrap_or(0).saturating_sub(1);
        }
        let next: Vec<u8> =
            all().filter(|new| reached.iter().any(|known| are_neighbours(*known, *new))).collect();
        reached.extend(next);
        reached.sort_unstable();
        reached.dedup();
    }
    0
}

/// Metres between two positions, on a sphere.
pub(super) fn metres(one: (i32, i32), other: (i32, i32)) -> f64 {
    let radians = |count: i32| (f64::from(count) / 1e7).to_radians();
    let (lat1, lat2) = (radians(one.0), radians(other.0));
    let (north, east) = ((lat2 - lat1) / 2.0, (radians(other.1) - radians(one.1)) / 2.0);
    let square = north.sin().powi(2) + lat1.cos() * lat2.cos() * east.sin().powi(2);
    2.0 * 6_371_008.8 * square.sqrt().min(1.0).asin()
}

/// Kilometres that a log must have travelled between two events at least; `None` if unknown.
fn kilometres(one: &Past, other: &Past, t: &Thresholds) -> Option<f64> {
    if let (Some(a), Some(b)) = (one.fix, other.fix) {
        return Some(t.apart_m(a, b) / 1_000.0 - t.journey_slack_km).filter(|km| *km > 0.0);
    }
    let (a, b) = (one.region.as_deref()?, other.region.as_deref()?);
    Some(f64::from(between(a, b)) * t.journey_region_km).filter(|km| *km > 0.0)
}

/// By how much the claimed time of an event may be wrong: little if its record came in at once.
pub(super) fn slack(event: &Past, t: &Thresholds) -> i64 {
    if (event.received - event.at).abs() <= t.confirmed { t.confirmed } else { t.drift }
}

/// A way that cannot have been travelled in the time: kilometres, and hours that there were. `one` is claimed
/// before `other`.
pub(super) fn impossible(one: &Past, other: &Past, t: &Thresholds) -> Option<(f64, f64)> {
    impossible_within(one, other, slack(one, t).max(slack(other, t)), t)
}

/// Whether the way cannot have been travelled although neither claimed time is confirmed.
pub(super) fn is_impossible_by_any_clock(one: &Past, other: &Past, t: &Thresholds) -> bool {
    impossible_within(one, other, t.drift, t).is_some()
}

fn impossible_within(one: &Past, other: &Past, slack: i64, t: &Thresholds) -> Option<(f64, f64)> {
    if one.day_only || other.day_only {
        return None;
    }
    let km = kilometres(one, other, t)?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a few years")]
    let hours = |micros: i64| micros as f64 / 3.6e9;
    let gap = hours(other.at - one.at);
    (km > t.journey_kmh * (gap + hours(slack))).then_some((km, gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_cities_and_regions() {
        for (one, other) in [("KZ-10", "KZ-63"), ("KZ-71", "KZ-11"), ("KZ-71", "KZ-59"), ("KZ-10", "KZ-10")] {
            assert_eq!((between(one, other), between(other, one)), (0, 0), "{one} {other}");
        }
        assert_eq!(between("KZ-10", "KZ-71"), 1, "Astana counts as Akmola");
        assert_eq!(between("KZ-63", "KZ-47"), 4, "Abai, Karaganda, Ulytau, Aktobe");
        assert_eq!(between("KZ-79", "KZ-75"), 1);
        assert_eq!(between("KZ-10", "RU-NVS"), 0);
    }

    #[test]
    fn an_accuracy_excuses_a_hundred_metres_and_no_more() {
        let t = Thresholds::on(&crate::timber::parameter::Parameters::default(), chrono::NaiveDate::MIN);
        let (semey, oskemen) = ((504_111_000, 802_275_000), (499_714_000, 826_059_000));
        let apart = |accuracy| t.apart_m((semey.0, semey.1, accuracy), (oskemen.0, oskemen.1, 20));
        let whole = metres(semey, oskemen);
        assert!((whole - 119.0 - apart(99)).abs() < 0.01);
        for accuracy in [100, 101, 100_000, i32::MAX] {
            assert!((whole - 120.0 - apart(accuracy)).abs() < 0.01, "{accuracy}");
        }
        let event = |seq: u32, fix: (i32, i32), hours: i64| Past {
            seq,
            at: hours * super::super::threshold::HOUR,
            received: hours * super::super::threshold::HOUR,
            event: "loaded".to_owned(),
            organization: uuid::Uuid::nil(),
            region: None,
            fix: Some((fix.0, fix.1, 100_000)),
            to: None,
            outcome: None,
            seen: None,
            seal: None,
            ownership: false,
            possession: false,
            day_only: false,
            held: false,
            undone: false,
        };
        assert!(impossible(&event(1, semey, 0), &event(2, oskemen, 1), &t).is_some());
        assert!(impossible(&event(1, semey, 0), &event(2, oskemen, 2), &t).is_none());
    }

    #[test]
    fn semey_to_oskemen_is_about_180_km() {
        let metres = metres((504_111_000, 802_275_000), (499_714_000, 826_059_000));
        assert!((170_000.0..190_000.0).contains(&metres), "{metres}");
    }
}

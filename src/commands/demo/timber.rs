//! The timber of the demonstration: seals and logs, the same in every database.

use crate::base::units::{Diameter, Length, Volume};
use crate::timber::wood::volume_table::gost_volume;
use serde_json::{Value, json};

/// Lengths of saw logs, in metres.
const LENGTHS: [&str; 4] = ["4", "6", "6", "5"];
/// Top diameters in centimetres, as distributed in a real stand.
const DIAMETERS: [&str; 11] = ["22", "18", "26", "20", "30", "24", "16", "28", "20", "34", "24"];

/// Number of the n-th seal of the demonstration, from 1.
#[must_use]
pub fn seal(n: u32) -> String {
    format!("DEMO-{n:06}")
}

/// A saw log of a species under seal `n`, with the volume from the table of GOST 2708-75.
#[must_use]
pub fn saw_log(n: u32, species: &str, occurred_at: &str) -> Value {
    let (length, diameter) = measures(n);
    json!({
        "seal_number": seal(n),
        "kind": "log",
        "species": species,
        "wood": "commercial",
        "assortment": "saw_log",
        "grade": 1 + n % 3,
        "length_m": number(length),
        "top_diameter_cm": number(diameter),
        "volume_m3": volume(n),
        "measurement_method": "gost_2708_75",
        "occurred_at": occurred_at,
        // Stumps some metres apart, all within the plot.
        "position": {
            "lat": number(&format!("{:.4}", 50.7 + f64::from(n % 20) * 0.000_2)),
            "lon": number(&format!("{:.4}", 80.93 + f64::from(n / 20) * 0.000_3)),
            "accuracy_m": 5
        },
    })
}

/// A stack of firewood under seal `n`.
#[must_use]
pub fn stack(n: u32, species: &str, pieces: u32, volume_m3: f64, occurred_at: &str) -> Value {
    json!({
        "seal_number": seal(n),
        "kind": "stack",
        "species": species,
        "wood": "firewood",
        "assortment": "firewood",
        "pieces": pieces,
        "volume_m3": volume_m3,
        "measurement_method": "stack_geometric",
        "occurred_at": occurred_at,
    })
}

/// Volume of the log under seal `n`, cubic metres.
#[must_use]
pub fn volume(n: u32) -> Value {
    let (length, diameter) = measures(n);
    table_volume(length, diameter)
}

/// The measures of the log under seal `n`, if it is one grade of the table thinner than recorded.
#[must_use]
pub fn thinner(n: u32) -> Value {
    let (length, diameter) = measures(n);
    let thinner = diameter.parse::<u32>().unwrap_or_default().saturating_sub(2).to_string();
    json!({ "top_diameter_cm": number(&thinner), "volume_m3": table_volume(length, &thinner) })
}

fn table_volume(length: &str, diameter: &str) -> Value {
    let table = Length::parse(length).ok().zip(Diameter::parse(diameter).ok());
    let volume = table.and_then(|(length, diameter)| gost_volume(diameter, length)).map(|entry| entry.volume);
    number(&volume.map_or_else(|| "0.3".to_owned(), |volume| volume.to_string()))
}

/// Sum of the volumes of some logs, cubic metres.
#[must_use]
pub fn sum(seals: impl IntoIterator<Item = u32>) -> Option<Volume> {
    Volume::checked_sum(seals.into_iter().filter_map(|n| Volume::parse(&volume(n).to_string()).ok()))
}

fn measures(n: u32) -> (&'static str, &'static str) {
    let at = n as usize;
    // Each round goes through the diameters in steps of its own. Measures that repeat look copied to rule L15.
    let step = 1 + at / (LENGTHS.len() * DIAMETERS.len()) % (DIAMETERS.len() - 1);
    (LENGTHS[at % LENGTHS.len()], DIAMETERS[at * step % DIAMETERS.len()])
}

/// A decimal text as a JSON number.
#[must_use]
pub fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_log_is_in_the_table() {
        for length in LENGTHS {
            for diameter in DIAMETERS {
                let entry = gost_volume(Diameter::parse(diameter).unwrap(), Length::parse(length).unwrap());
                assert!(entry.is_some(), "{diameter} cm, {length} m");
            }
        }
        assert!(sum(1..=120).is_some());
    }
}

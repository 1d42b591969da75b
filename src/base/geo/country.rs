//! Checks whether a position can be in Kazakhstan.

use super::{Position, distance_to_line_m};
use geo::Intersects as _;
use std::sync::LazyLock;

/// How far outside the outline a position is still accepted, in metres.
///
/// The outline is coarse: about one vertex per 130 km of border, most coordinates rounded to 0.1° (about 11
/// km), so it can be wrong by that much. The check only has to notice a position in another country or on
/// another continent, not to decide on which side of the border it is. Bishkek and Tashkent, which are just
/// across the border, count as outside.
pub const OUTLINE_MARGIN_M: f64 = 12_000.0;

/// The outline, longitude and latitude, closed: the land border and the Caspian shore, entered by hand
/// after the public-domain Natural Earth map of 1 : 110 million.
#[rustfmt::skip]
const OUTLINE: [(f64, f64); 112] = [
    (71.0, 42.3), (70.39, 42.08), (69.07, 41.38), (68.6, 40.7), (68.3, 40.7), (68.0, 41.1), (66.7, 41.2), (66.5, 42.0),
    (66.0, 42.0), (66.1, 43.0), (64.9, 43.7), (63.2, 43.7), (62.0, 43.5), (61.1, 44.4), (60.2, 44.8), (58.7, 45.5),
    (58.5, 45.6), (55.9, 45.0), (56.0, 41.3), (55.5, 41.3), (54.8, 42.0), (54.1, 42.3), (52.9, 42.1), (52.5, 41.8),
    (52.4, 42.0), (52.7, 42.4), (52.5, 42.8), (51.3, 43.1), (50.9, 44.0), (50.3, 44.3), (50.3, 44.6), (51.3, 44.5),
    (51.3, 45.2), (52.2, 45.4), (53.0, 45.3), (53.2, 46.2), (53.0, 46.9), (52.0, 46.8), (51.2, 47.0), (50.0, 46.6),
    (49.1, 46.4), (48.6, 46.6), (48.7, 47.1), (48.1, 47.7), (47.3, 47.7), (46.5, 48.4), (47.0, 49.2), (46.8, 49.4),
    (47.5, 50.5), (48.6, 49.9), (48.7, 50.6), (50.8, 51.7), (52.3, 51.7), (54.5, 51.0), (55.7, 50.6), (56.8, 51.0),
    (58.4, 51.1), (59.6, 50.5), (59.9, 50.8), (61.3, 50.8), (61.6, 51.3), (60.0, 52.0), (60.9, 52.4), (60.7, 52.7),
    (61.7, 53.0), (61.0, 53.7), (61.4, 54.0), (65.2, 54.4), (65.7, 54.6), (68.2, 55.0), (69.1, 55.4), (70.9, 55.2),
    (71.2, 54.1), (72.2, 54.4), (73.5, 54.0), (73.4, 53.5), (74.4, 53.5), (76.9, 54.5), (76.5, 54.2), (77.8, 53.4),
    (80.0, 50.8), (80.6, 51.4), (81.9, 50.8), (83.4, 51.1), (83.9, 50.9), (84.4, 50.3), (85.1, 50.1), (85.5, 49.7),
    (86.8, 49.8), (87.4, 49.2), (86.6, 48.5), (85.8, 48.5), (85.7, 47.5), (85.2, 47.0), (83.2, 47.3), (82.5, 45.5),
    (81.9, 45.3), (80.0, 44.9), (80.9, 43.2), (80.2, 42.9), (80.3, 42.3), (79.6, 42.5), (79.1, 42.9), (77.7, 43.0),
    (76.0, 43.0), (75.6, 42.9), (74.2, 43.3), (73.6, 43.1), (73.5, 42.5), (71.8, 42.8), (71.2, 42.7), (71.0, 42.3),
];

static COUNTRY: LazyLock<geo::Polygon> =
    LazyLock::new(|| geo::Polygon::new(OUTLINE.into_iter().collect(), Vec::new()));

/// Whether a position is in Kazakhstan, or so near to the coarse outline that it may be: within
/// [`OUTLINE_MARGIN_M`] plus the position's own accuracy.
#[must_use]
pub fn within_kazakhstan(position: Position) -> bool {
    near(position.point(), OUTLINE_MARGIN_M + position.accuracy().map_or(0.0, super::Accuracy::metres))
}

/// [`within_kazakhstan`] for a longitude and a latitude in degrees.
pub(super) fn within_kazakhstan_degrees(lon: f64, lat: f64) -> bool {
    near(geo::Point::new(lon, lat), OUTLINE_MARGIN_M)
}

fn near(point: geo::Point, reach: f64) -> bool {
    COUNTRY.intersects(&point) || distance_to_line_m(point, COUNTRY.exterior()) <= reach
}

#[cfg(test)]
mod tests {
    use super::super::position;
    use super::*;
    use geo::Validation as _;

    #[test]
    fn the_outline_is_a_simple_closed_ring() {
        assert!(COUNTRY.is_valid());
        assert_eq!(COUNTRY.exterior().0.first(), COUNTRY.exterior().0.last());
        assert_eq!(COUNTRY.exterior().0.len(), 112);
    }

    #[test]
    fn towns_and_forests_are_inside() {
        for (name, lat, lon) in [
            ("Semey", "50.411", "80.2275"),
            ("Oskemen", "49.948", "82.628"),
            ("Ridder", "50.344", "83.513"),
            ("Zaysan", "47.467", "84.870"),
            ("Katon-Karagai", "49.173", "85.612"),
            ("Dolon, in the pine belt", "50.66", "79.30"),
            ("Borodulikha", "50.717", "80.930"),
            ("Pavlodar", "52.287", "76.967"),
            ("Petropavl", "54.872", "69.143"),
            ("Kostanay", "53.214", "63.624"),
            ("Astana", "51.169", "71.449"),
            ("Burabay", "53.083", "70.313"),
            ("Almaty", "43.238", "76.945"),
            ("Kegen", "43.020", "79.220"),
            ("Khorgos", "44.22", "80.25"),
            ("Taraz", "42.900", "71.365"),
            ("Shymkent", "42.315", "69.587"),
            ("Turkistan", "43.297", "68.251"),
            ("Kyzylorda", "44.848", "65.482"),
            ("Aktobe", "50.283", "57.167"),
            ("Oral", "51.230", "51.366"),
            ("Atyrau", "47.116", "51.883"),
            ("Aqtau", "43.653", "51.157"),
            ("Zhezkazgan", "47.783", "67.700"),
        ] {
            assert!(within_kazakhstan(position(lat, lon, None)), "{name}");
        }
    }

    #[test]
    fn neighbours_and_mistakes_are_outside() {
        for (name, lat, lon) in [
            ("Novosibirsk", "55.030", "82.920"),
            ("Barnaul", "53.348", "83.779"),
            ("Rubtsovsk", "51.514", "81.210"),
            ("Omsk", "54.989", "73.368"),
            ("Orenburg", "51.768", "55.097"),
            ("Saratov", "51.533", "46.034"),
            ("Astrakhan", "46.348", "48.041"),
            ("Tashkent", "41.311", "69.240"),
            ("Bishkek", "42.875", "74.590"),
            ("Urumqi", "43.825", "87.617"),
            ("Yining", "43.909", "81.327"),
            ("Gran, Norway: where the sample harvester stood", "60.92401", "9.30683"),
            ("nowhere", "0", "0"),
            ("Semey with its coordinates exchanged", "80.2275", "50.411"),
        ] {
            assert!(!within_kazakhstan(position(lat, lon, None)), "{name}");
        }
    }

    #[test]
    fn a_poor_fix_is_given_its_accuracy() {
        assert!(!within_kazakhstan(position("42.875", "74.590", None)));
        assert!(within_kazakhstan(position("42.875", "74.590", Some("30000"))));
    }
}

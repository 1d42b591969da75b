//! The area of a plot, and the area that two plots share.

use super::Plot;
use geo::{BooleanOps as _, BoundingRect as _, ChamberlainDuquetteArea as _, Intersects as _};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;

/// Square metres of a hectare.
const HECTARE_M2: f64 = 10_000.0;

impl Plot {
    /// Its area in hectares, on the sphere.
    #[must_use]
    pub fn area_ha(&self) -> f64 {
        self.shape.chamberlain_duquette_unsigned_area() / HECTARE_M2
    }

    /// The box around it in degrees: its western, southern, eastern and northern border. `None` for a plot without
    /// positions.
    #[must_use]
    pub fn bounds(&self) -> Option<[Decimal; 4]> {
        let around = self.shape.bounding_rect()?;
        let ((west, south), (east, north)) = (around.min().x_y(), around.max().x_y());
        // Positions have seven decimals.
        let degrees = |value| Some(Decimal::from_f64(value)?.round_dp(7).normalize());
        Some([degrees(west)?, degrees(south)?, degrees(east)?, degrees(north)?])
    }

    /// The area in hectares that it shares with another plot. The boxes around the plots are compared first, because
    /// that is cheap and most plots are far apart.
    #[must_use]
    pub fn shared_ha(&self, other: &Self) -> f64 {
        let boxes = self.shape.bounding_rect().zip(other.shape.bounding_rect());
        if boxes.is_some_and(|(own, other)| own.intersects(&other)) {
            self.shape.intersection(&other.shape).chamberlain_duquette_unsigned_area() / HECTARE_M2
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of `size` degrees north of Semey, from the corner `x`, `y`.
    fn square(x: f64, y: f64, size: f64) -> Plot {
        let (right, top) = (x + size, y + size);
        let text = format!(
            r#"{{"type":"Polygon","coordinates":[[[{x},{y}],[{right},{y}],[{right},{top}],[{x},{top}],[{x},{y}]]]}}"#
        );
        Plot::parse(&text).unwrap()
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < expected * 0.01 + 1e-9, "{found} instead of {expected}");
    }

    #[test]
    fn bounds_have_the_decimals_of_the_positions() {
        let text = r#"{"type":"MultiPolygon","coordinates":[
            [[[80.1,50.6],[80.1234567,50.6],[80.2,50.6000001],[80.1,50.6]]],[[[79,51],[79.5,51],[79.5,51.25],[79,51]]]]}"#;
        let bounds = Plot::parse(text).unwrap().bounds().unwrap().map(|degrees| degrees.to_string());
        assert_eq!(bounds, ["79", "50.6", "80.2", "51.25"]);
        let bounds = square(80.123_456_7, 50.7, 0.01).bounds().unwrap().map(|degrees| degrees.to_string());
        assert_eq!(bounds, ["80.1234567", "50.7", "80.1334567", "50.71"]);
    }

    #[test]
    fn areas_are_those_of_the_ellipsoid_within_a_percent() {
        // 0.01 degrees at 50.7 N are 707 m by 1,112 m.
        near(square(80.0, 50.7, 0.01).area_ha(), 78.6);
        let (plot, half) = (square(80.0, 50.7, 0.01), square(80.005, 50.7, 0.01));
        near(plot.shared_ha(&half), 39.3);
        near(half.shared_ha(&plot), 39.3);
        near(plot.shared_ha(&plot), 78.6);
        near(plot.shared_ha(&square(80.01, 50.7, 0.01)), 0.0);
        near(plot.shared_ha(&square(81.0, 50.7, 0.01)), 0.0);
    }
}

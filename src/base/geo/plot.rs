//! The contour of a felling site.

mod area;
mod overlap;

use super::country::within_kazakhstan_degrees;
use super::{DEGREE_SCALE, Position, coordinate, degrees, degrees_f64, distance_to_line_m};
use crate::base::error::Invalid;
use geo::{Intersects as _, Validation as _};
use overlap::{crosses_itself, crossing, overlap};
use serde_json::value::RawValue;

/// Maximum number of vertices of a plot, in all its rings.
pub const MAX_VERTICES: usize = 2_000;

/// Maximum number of polygons of a plot; checking that they do not overlap is quadratic.
pub const MAX_POLYGONS: usize = 32;

/// A felling site on the map: a `Polygon` or `MultiPolygon` of RFC 7946, WGS 84, longitude first.
///
/// Coordinates are rounded to seven decimals. The canonical text has the rings in the order in which they
/// were sent, no spaces, and minimal numbers.
#[derive(Clone, Debug)]
pub struct Plot {
    text: String,
    shape: geo::MultiPolygon,
    /// Whether it was sent as a `MultiPolygon`.
    many: bool,
}

/// Why a plot is invalid, and where: the indexes that lead from `coordinates` to a ring or a position, or no
/// indexes if the error concerns the entire plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlotError {
    /// The error.
    pub invalid: Invalid,
    /// Where.
    pub path: Vec<usize>,
}

impl PlotError {
    /// The JSON pointer of the error, if the plot is at `pointer` in the body.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> String {
        let Some(_) = self.path.first() else { return pointer.to_owned() };
        self.path.iter().fold(format!("{pointer}/coordinates"), |to, index| format!("{to}/{index}"))
    }

    fn refuse(self, node: crate::base::input::Node<'_>, errors: &mut crate::base::input::Errors) {
        let mut place = if self.path.is_empty() { Some(node) } else { node.get("coordinates") };
        for index in &self.path {
            place = place.and_then(|list| list.items().ok()?.nth(*index));
        }
        errors.refuse(place.unwrap_or(node), self.invalid);
    }
}

impl From<Invalid> for PlotError {
    fn from(invalid: Invalid) -> Self {
        Self { invalid, path: Vec::new() }
    }
}

/// The members of a geometry. Any other member is refused, so that the server never ignores what a client
/// sent.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Geometry<'a> {
    r#type: String,
    #[serde(borrow)]
    coordinates: &'a RawValue,
}

/// The items of a list at `path` of `coordinates`.
fn items<'a>(list: &'a RawValue, path: &[usize]) -> Result<Vec<&'a RawValue>, PlotError> {
    serde_json::from_str(list.get()).map_err(|_| PlotError { invalid: malformed(), path: path.to_vec() })
}

/// The rings of a polygon at `path` of `coordinates`, each with its positions.
fn rings<'a>(polygon: &'a RawValue, path: &[usize]) -> Result<Vec<Vec<&'a RawValue>>, PlotError> {
    let rings = items(polygon, path)?.into_iter().enumerate();
    rings.map(|(ring, positions)| items(positions, &[path, &[ring]].concat())).collect()
}

fn malformed() -> Invalid {
    Invalid::new(
        "plot-malformed",
        "A plot is a GeoJSON geometry of type Polygon or MultiPolygon with positions [longitude, latitude] and no \
         other members.",
    )
}

impl Plot {
    /// Reads GeoJSON text.
    ///
    /// Errors: `plot-malformed` (not a bare `Polygon` or `MultiPolygon` geometry; heights are not accepted),
    /// `plot-too-large` (more than [`MAX_VERTICES`] or [`MAX_POLYGONS`]), `plot-ring` (fewer than four
    /// positions, or not closed), `latitude-invalid`, `longitude-invalid`, `plot-invalid` (crosses itself,
    /// a hole outside, polygons that overlap).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let plot = Self::read(text).map_err(|error| error.invalid)?;
        plot.check_crossings().map_err(|error| error.invalid)?;
        Ok(plot)
    }

    /// Checks that the contour is a simple area: no ring crosses itself or another ring. Every edge is
    /// compared with every other, so the function must be called on a blocking thread.
    ///
    /// # Errors
    /// `plot-invalid`, at the position where the crossing edge begins, if a ring crosses itself or another; else at
    /// the first position of a hole outside its outer ring, or of a ring inside an earlier one.
    pub fn check_crossings(&self) -> Result<(), PlotError> {
        let Err(error) = self.shape.check_validation() else { return Ok(()) };
        for (polygon, rings) in self.shape.iter().enumerate() {
            for (ring, line) in std::iter::once(rings.exterior()).chain(rings.interiors()).enumerate() {
                if let Some(position) = crossing(&line.0) {
                    return Err(crosses_itself(self.path(&[polygon, ring, position])));
                }
            }
        }
        let PlotError { invalid, path } = overlap(&self.shape.0, &error);
        Err(PlotError { invalid, path: self.path(&path) })
    }

    /// Checks that every position of the plot is in Kazakhstan, by the coarse outline.
    ///
    /// # Errors
    /// `plot-outside-country`, at the first position outside.
    pub fn check_country(&self) -> Result<(), PlotError> {
        let inside = |x: f64, y: f64| within_kazakhstan_degrees(x, y);
        for (polygon, rings) in self.shape.iter().enumerate() {
            for (ring, line) in std::iter::once(rings.exterior()).chain(rings.interiors()).enumerate() {
                let Some(position) = line.coords().position(|point| !inside(point.x, point.y)) else {
                    continue;
                };
                let exchanged = line.coords().all(|point| inside(point.y, point.x));
                let detail = if exchanged {
                    "This position is outside Kazakhstan; with its numbers exchanged it is inside. A position is \
                     [longitude, latitude]: longitude first?"
                } else {
                    "This position is outside Kazakhstan; a felling site lies in it."
                };
                return Err(PlotError {
                    invalid: Invalid::new("plot-outside-country", detail),
                    path: self.path(&[polygon, ring, position]),
                });
            }
        }
        Ok(())
    }

    /// The indexes from `coordinates` to a polygon, a ring or a position. In a `Polygon` there is no index of
    /// the polygon, so it is left out.
    fn path(&self, path: &[usize]) -> Vec<usize> {
        path[usize::from(!self.many)..].to_vec()
    }

    /// Reads a canonical text that [`Plot::parse`] made. It is not checked for crossings again, because that
    /// check compares every edge with every other.
    pub fn from_stored(text: &str) -> Result<Self, Invalid> {
        Self::read(text).map_err(|error| error.invalid)
    }

    fn read(text: &str) -> Result<Self, PlotError> {
        let geometry: Geometry = serde_json::from_str(text).map_err(|_| malformed())?;
        let many = geometry.r#type == "MultiPolygon";
        let polygons = match geometry.r#type.as_str() {
            "Polygon" => vec![rings(geometry.coordinates, &[])?],
            "MultiPolygon" => items(geometry.coordinates, &[])?
                .into_iter()
                .enumerate()
                .map(|(at, polygon)| rings(polygon, &[at]))
                .collect::<Result<Vec<_>, _>>()?,
            _ => return Err(malformed().into()),
        };
        let vertices: usize = polygons.iter().flatten().map(Vec::len).sum();
        if vertices > MAX_VERTICES
            || polygons.len() > MAX_POLYGONS
            || polygons.iter().map(Vec::len).sum::<usize>() > 256
        {
            return Err(Invalid::new(
                "plot-too-large",
                format!(
                    "A plot has at most {MAX_VERTICES} vertices in at most {MAX_POLYGONS} polygons; simplify it."
                ),
            )
            .into());
        }
        let empty = polygons.iter().position(Vec::is_empty);
        if polygons.is_empty() || empty.is_some() {
            let invalid = Invalid::new("plot-ring", "A polygon has at least one ring.");
            return Err(PlotError { invalid, path: empty.into_iter().filter(|_| many).collect() });
        }

        let mut canonical = Vec::with_capacity(polygons.len());
        let mut shape = Vec::with_capacity(polygons.len());
        for (polygon, rings) in polygons.iter().enumerate() {
            let mut texts = Vec::with_capacity(rings.len());
            let mut lines = Vec::with_capacity(rings.len());
            for (ring, positions) in rings.iter().enumerate() {
                let path = |tail: &[usize]| {
                    let whole = [&[polygon, ring], tail].concat();
                    whole[usize::from(!many)..].to_vec()
                };
                let at = |tail: &[usize], invalid| PlotError { invalid, path: path(tail) };
                let positions = positions
                    .iter()
                    .enumerate()
                    .map(|(index, position)| read(position).map_err(|invalid| at(&[index], invalid)))
                    .collect::<Result<Vec<_>, _>>()?;
                if positions.len() < 4 || positions.first() != positions.last() {
                    let detail = "A ring has at least four positions, and its last is its first again.";
                    return Err(at(&[], Invalid::new("plot-ring", detail)));
                }
                if on_one_line(&positions) {
                    let detail = "A ring of the contour encloses nothing.";
                    return Err(at(&[], Invalid::new("plot-invalid", detail)));
                }
                let text: Vec<_> = positions
                    .iter()
                    .map(|(lon, lat)| format!("[{},{}]", degrees(*lon), degrees(*lat)))
                    .collect();
                texts.push(format!("[{}]", text.join(",")));
                lines.push(
                    positions.iter().map(|(lon, lat)| (degrees_f64(*lon), degrees_f64(*lat))).collect(),
                );
            }
            canonical.push(format!("[{}]", texts.join(",")));
            let mut lines = lines.into_iter();
            let outer = lines.next().unwrap_or_else(|| geo::LineString::new(Vec::new()));
            shape.push(geo::Polygon::new(outer, lines.collect()));
        }
        let shape = geo::MultiPolygon::new(shape);
        let coordinates = canonical.join(",");
        let text = if many {
            format!(r#"{{"coordinates":[{coordinates}],"type":"MultiPolygon"}}"#)
        } else {
            format!(r#"{{"coordinates":{coordinates},"type":"Polygon"}}"#)
        };
        Ok(Self { text, shape, many })
    }

    /// The canonical GeoJSON text, which is stored, hashed and returned in responses.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How far outside the plot a position is, in metres; 0 inside and on the border. The accuracy of the
    /// position is not subtracted.
    #[must_use]
    pub fn distance_outside_m(&self, position: Position) -> f64 {
        let point = position.point();
        if self.shape.intersects(&point) {
            return 0.0;
        }
        self.shape
            .iter()
            .flat_map(|polygon| std::iter::once(polygon.exterior()).chain(polygon.interiors()))
            .map(|ring| distance_to_line_m(point, ring))
            .fold(f64::INFINITY, f64::min)
    }
}

/// One position, [longitude, latitude] in 10⁻⁷ degrees.
fn read(position: &RawValue) -> Result<(i32, i32), Invalid> {
    let numbers: Vec<&RawValue> = serde_json::from_str(position.get()).unwrap_or_default();
    let [lon, lat] = numbers.as_slice() else {
        return Err(Invalid::new(
            "plot-malformed",
            "A position is [longitude, latitude], two numbers, no height.",
        ));
    };
    debug_assert_eq!(DEGREE_SCALE, 7);
    Ok((
        coordinate(
            lon.get(),
            180,
            "longitude-invalid",
            "A longitude is a number of degrees from -180 to 180.",
        )?,
        coordinate(lat.get(), 90, "latitude-invalid", "A latitude is a number of degrees from -90 to 90.")?,
    ))
}

/// Whether all positions of a ring are on one line, exactly. Other rings without area cross themselves.
fn on_one_line(ring: &[(i32, i32)]) -> bool {
    let exact = |(x, y): (i32, i32)| (i128::from(x), i128::from(y));
    let Some((x0, y0)) = ring.first().copied().map(exact) else { return true };
    let ends = || ring.iter().copied().map(exact).map(|(x, y)| (x - x0, y - y0));
    let Some((dx, dy)) = ends().find(|end| *end != (0, 0)) else { return true };
    ends().all(|(x, y)| x * dy == y * dx)
}

impl PartialEq for Plot {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Plot {}

impl std::fmt::Display for Plot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Plot {
    /// The GeoJSON object.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        serde_json::from_str::<&RawValue>(&self.text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl utoipa::PartialSchema for Plot {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
        ObjectBuilder::new()
            .description(Some(
                "GeoJSON geometry (RFC 7946), Polygon or MultiPolygon, WGS 84, longitude first, at most 2,000 vertices.",
            ))
            .property(
                "type",
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(["Polygon", "MultiPolygon"]))
                    .description(Some("The kind of geometry.")),
            )
            .property(
                "coordinates",
                ArrayBuilder::new()
                    .items(ArrayBuilder::new())
                    .description(Some("Rings of positions, or a list of such rings.")),
            )
            .required("type")
            .required("coordinates")
            .examples([serde_json::json!({"type": "Polygon", "coordinates":
                [[[80.10, 50.60], [80.12, 50.60], [80.12, 50.61], [80.10, 50.61], [80.10, 50.60]]]})])
            .into()
    }
}

impl utoipa::ToSchema for Plot {}

impl crate::base::input::Read for Plot {
    crate::base::input::whole!();

    /// Reads the shape without checking for crossings, which takes too long on the threads that parse
    /// requests. Code that stores the plot must call [`Plot::check_crossings`] on a blocking thread.
    fn read_partial(
        node: crate::base::input::Node<'_>,
        errors: &mut crate::base::input::Errors,
    ) -> Option<Self> {
        let read = node.json().map_err(PlotError::from).and_then(|text| Self::read(&text));
        let checked = read.and_then(|plot| plot.check_country().map(|()| plot));
        checked.map_err(|error| error.refuse(node, errors)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::position;
    use super::*;
    use proptest::prelude::*;

    /// A cutting area in the pine belt north of Semey, about 1,420 m by 1,112 m.
    const SITE: &str = r#"{"type":"Polygon","coordinates":[[[80.1,50.6],[80.12,50.60],[80.12,50.61],[80.1,50.61],[80.10,50.6]]]}"#;

    fn code(text: &str) -> &'static str {
        Plot::parse(text).unwrap_err().code
    }

    #[test]
    fn the_canonical_text_is_minimal_and_stable() {
        let plot = Plot::parse(SITE).unwrap();
        assert_eq!(
            plot.as_str(),
            r#"{"coordinates":[[[80.1,50.6],[80.12,50.6],[80.12,50.61],[80.1,50.61],[80.1,50.6]]],"type":"Polygon"}"#
        );
        assert_eq!(Plot::parse(plot.as_str()).unwrap(), plot);
        assert_eq!(Plot::from_stored(plot.as_str()).unwrap(), plot);
        assert_eq!(serde_json::to_string(&plot).unwrap(), plot.as_str());
        let many = r#"{"coordinates":[[[[1,1],[2,1],[2,2],[1,1]]],[[[5,5],[6,5],[6,6],[5,5]]]],"type":"MultiPolygon"}"#;
        assert_eq!(Plot::parse(many).unwrap().as_str(), many);
    }

    #[test]
    fn distances_are_metres() {
        let plot = Plot::parse(SITE).unwrap();
        assert!(plot.distance_outside_m(position("50.605", "80.11", None)).abs() < f64::EPSILON);
        assert!(
            plot.distance_outside_m(position("50.6", "80.11", None)).abs() < f64::EPSILON,
            "the border is inside"
        );
        // 0.01 degrees of latitude are 1,112 m; 0.01 degrees of longitude are 706 m at 50.6° north.
        let north = plot.distance_outside_m(position("50.62", "80.11", None));
        assert!((north - 1_112.0).abs() < 2.0, "{north}");
        let east = plot.distance_outside_m(position("50.605", "80.13", None));
        assert!((east - 705.8).abs() < 2.0, "{east}");
        let corner = plot.distance_outside_m(position("50.62", "80.13", None));
        assert!((corner - 1_317.0).abs() < 3.0, "{corner}");
    }

    #[test]
    fn a_hole_is_outside() {
        let plot = Plot::parse(
            r#"{"type":"Polygon","coordinates":[
                [[80.1,50.6],[80.2,50.6],[80.2,50.7],[80.1,50.7],[80.1,50.6]],
                [[80.14,50.64],[80.16,50.64],[80.16,50.66],[80.14,50.66],[80.14,50.64]]]}"#,
        )
        .unwrap();
        assert!(plot.distance_outside_m(position("50.65", "80.15", None)) > 600.0);
        assert!(plot.distance_outside_m(position("50.61", "80.15", None)).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_no_plot_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            r#"{"type":"Point","coordinates":[80,50]}"#,
            r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[]},"properties":{}}"#,
            r#"{"type":"Polygon","coordinates":[[[80,50]]],"crs":"EPSG:4326"}"#,
            r#"{"type":"Polygon","type":"Polygon","coordinates":[]}"#,
            r#"{"type":"Polygon","coordinates":[[["80","50"],[81,50],[81,51],[80,50]]]} "#,
            r#"{"type":"Polygon","coordinates":[[[80,50,100],[81,50,100],[81,51,100],[80,50,100]]]}"#,
            r#"{"type":"Polygon","coordinates":[[[80],[81,50],[81,51],[80]]]}"#,
        ] {
            assert!(["plot-malformed", "longitude-invalid"].contains(&code(text)), "{text}");
        }
        assert_eq!(code(r#"{"type":"Polygon","coordinates":[]}"#), "plot-ring");
        assert_eq!(code(r#"{"type":"MultiPolygon","coordinates":[]}"#), "plot-ring");
        assert_eq!(
            code(r#"{"type":"Polygon","coordinates":[[[80,50],[81,50],[81,51],[80,51]]]}"#),
            "plot-ring"
        );
        assert_eq!(code(r#"{"type":"Polygon","coordinates":[[[80,50],[81,50],[80,50]]]}"#), "plot-ring");
        // Coordinates in the wrong order, latitude first. The error is detected because 120 is no latitude;
        // with a longitude below 90, such as 80, it could not be detected here.
        assert_eq!(
            code(r#"{"type":"Polygon","coordinates":[[[50,120],[51,120],[51,121],[50,120]]]}"#),
            "latitude-invalid"
        );
        assert_eq!(
            code(r#"{"type":"Polygon","coordinates":[[[1e999,1],[2,1],[2,2],[1,1]]]}"#),
            "longitude-invalid"
        );
    }

    #[test]
    fn an_area_is_simple() {
        let bow_tie = r#"{"type":"Polygon","coordinates":[[[80,50],[81,51],[81,50],[80,51],[80,50]]]}"#;
        assert_eq!(code(bow_tie), "plot-invalid");
        let flat = r#"{"type":"Polygon","coordinates":[[[80,50],[81,50],[80.5,50],[80,50]]]}"#;
        assert_eq!(code(flat), "plot-invalid");
        assert!(Plot::parse(flat).unwrap_err().detail.contains("encloses nothing"));
        // Plots with a ring that crosses itself: a bow tie with equal halves, one with unequal halves, and
        // one as the second polygon of two.
        for (text, pointer) in [
            (bow_tie, "/plot/coordinates/0/2"),
            (
                r#"{"type":"Polygon","coordinates":[[[80,50],[82,52],[82,50],[80,51],[80,50]]]}"#,
                "/plot/coordinates/0/2",
            ),
            (
                r#"{"type":"MultiPolygon","coordinates":[[[[70,50],[71,50],[71,51],[70,50]]],[[[80,50],[81,51],[81,50],[80,51],[80,50]]]]}"#,
                "/plot/coordinates/1/0/2",
            ),
        ] {
            let error = Plot::read(text).and_then(|plot| plot.check_crossings()).unwrap_err();
            assert!(error.invalid.detail.contains("crosses itself"), "{}", error.invalid);
            assert_eq!(error.pointer("/plot"), pointer);
        }
        const OUTER: &str = "[[80,50],[84,50],[84,54],[80,54],[80,50]]";
        // Invalid holes: outside, across or along the border, across itself or a hole, in a hole, malformed.
        for (coordinates, pointer) in [
            ("[[85,51],[86,51],[86,52],[85,51]]", "/plot/coordinates/1/0"),
            ("[[83,51],[85,51],[83,52],[83,51]]", "/plot/coordinates/1/1"),
            ("[[81,51],[81,50],[82,50],[81,51]]", "/plot/coordinates/1/1"),
            ("[[81,51],[82,52],[82,51],[81,52],[81,51]]", "/plot/coordinates/1/2"),
            (
                "[[81,51],[82,51],[82,52],[81,51]],[[83,53],[85,53],[83,53.5],[83,53]]",
                "/plot/coordinates/2/1",
            ),
            (
                "[[81,51],[83,51],[83,53],[81,53],[81,51]],[[83.5,52],[82,52],[83.5,52.5],[83.5,52]]",
                "/plot/coordinates/2/0",
            ),
            (
                "[[81,51],[83,51],[83,53],[81,51]],[[82.5,51.5],[82.6,51.5],[82.6,51.6],[82.5,51.5]]",
                "/plot/coordinates/2/0",
            ),
            ("[[81,51],[82,51],[81,51]]", "/plot/coordinates/1"),
            ("[[81,51],[82,51],[82,52],[81,52]]", "/plot/coordinates/1"),
            ("[[81,51],[81.5,51.5],[82,52],[81,51]]", "/plot/coordinates/1"),
            ("[[81,51],[82,51],[82,\"52\"],[81,51]]", "/plot/coordinates/1/2"),
            ("[[81,51],[82,51],[82,52,7],[81,51]]", "/plot/coordinates/1/2"),
            ("[[81,51],[82,51],null,[81,51]]", "/plot/coordinates/1/2"),
            ("null", "/plot/coordinates/1"),
        ] {
            let text = format!(r#"{{"type":"Polygon","coordinates":[{OUTER},{coordinates}]}}"#);
            let error = Plot::read(&text).and_then(|plot| plot.check_crossings()).unwrap_err();
            assert_eq!(error.pointer("/plot"), pointer, "{text}: {}", error.invalid);
            // The same as the second polygon of two.
            let first = "[[[70,50],[71,50],[71,51],[70,50]]]";
            let text =
                format!(r#"{{"type":"MultiPolygon","coordinates":[{first},[{OUTER},{coordinates}]]}}"#);
            let error = Plot::read(&text).and_then(|plot| plot.check_crossings()).unwrap_err();
            let pointer = pointer.replace("coordinates", "coordinates/1");
            assert_eq!(error.pointer("/plot"), pointer, "{text}: {}", error.invalid);
        }
        for (second, pointer) in [
            ("[[[83,53],[85,53],[85,55],[83,53]]]", "/plot/coordinates/1/0/0"),
            ("[[[85,51],[85,52],[83,51],[85,51]]]", "/plot/coordinates/1/0/1"),
            ("[[[84,51],[85,51],[85,52],[84,52],[84,51]]]", "/plot/coordinates/1/0/3"),
            ("[]", "/plot/coordinates/1"),
            ("7", "/plot/coordinates/1"),
        ] {
            let text = format!(r#"{{"type":"MultiPolygon","coordinates":[[{OUTER}],{second}]}}"#);
            let error = Plot::read(&text).and_then(|plot| plot.check_crossings()).unwrap_err();
            assert_eq!(error.pointer("/plot"), pointer, "{text}: {}", error.invalid);
        }
        let wrong = r#"{"type":"Polygon","coordinates":[[[80,50],[81,50],[81,95],[80,50]]]}"#;
        assert_eq!(Plot::read(wrong).unwrap_err().pointer("/plot"), "/plot/coordinates/0/2");
        let open = r#"{"type":"Polygon","coordinates":[[[80,50],[81,50],[81,51],[80,51]]]}"#;
        assert_eq!(Plot::read(open).unwrap_err().pointer("/plot"), "/plot/coordinates/0");
        let point = r#"{"type":"Polygon","coordinates":[[[80,50],[80,50],[80,50],[80,50]]]}"#;
        assert_eq!(code(point), "plot-invalid");
        let overlapping = r#"{"type":"MultiPolygon","coordinates":[[[[0,0],[4,0],[4,4],[0,4],[0,0]]],[[[2,2],[6,2],[6,6],[2,6],[2,2]]]]}"#;
        assert_eq!(code(overlapping), "plot-invalid");
    }

    #[test]
    fn a_felling_site_is_in_the_country() {
        let country = |text: &str| Plot::parse(text).unwrap().check_country();
        assert_eq!(country(SITE), Ok(()));
        for (text, pointer, hint) in [
            // Axes exchanged.
            (
                r#"{"type":"Polygon","coordinates":[[[50.6,80.1],[50.6,80.12],[50.61,80.12],[50.6,80.1]]]}"#,
                "/plot/coordinates/0/0",
                true,
            ),
            (
                r#"{"type":"Polygon","coordinates":[[[9.3,60.9],[9.4,60.9],[9.4,61],[9.3,60.9]]]}"#,
                "/plot/coordinates/0/0",
                false,
            ),
            (
                r#"{"type":"Polygon","coordinates":[[[-180,-90],[180,-90],[180,90],[-180,90],[-180,-90]]]}"#,
                "/plot/coordinates/0/0",
                false,
            ),
            (
                r#"{"type":"MultiPolygon","coordinates":[[[[80.1,50.6],[80.2,50.6],[80.2,50.7],[80.1,50.6]]],[[[80.3,50.6],[99,50.6],[80.3,50.7],[80.3,50.6]]]]}"#,
                "/plot/coordinates/1/0/1",
                false,
            ),
        ] {
            let error = country(text).unwrap_err();
            assert_eq!(
                (error.invalid.code, error.pointer("/plot").as_str()),
                ("plot-outside-country", pointer)
            );
            assert_eq!(error.invalid.detail.contains("longitude first?"), hint, "{text}");
        }
    }

    #[test]
    fn vertices_and_polygons_are_bounded() {
        // A circle with `corners` corners, 1 km wide.
        let circle = |corners: i32| {
            let mut ring: Vec<String> = (0..corners)
                .map(|at| {
                    let angle = f64::from(at) * std::f64::consts::TAU / f64::from(corners);
                    format!("[{:.7},{:.7}]", 80.0 + 0.007 * angle.cos(), 50.0 + 0.0045 * angle.sin())
                })
                .collect();
            ring.push(ring[0].clone());
            format!(r#"{{"type":"Polygon","coordinates":[[{}]]}}"#, ring.join(","))
        };
        assert!(Plot::parse(&circle(1_999)).is_ok());
        assert_eq!(code(&circle(2_000)), "plot-too-large");
        let square = |at: usize| format!("[[[{at},1],[{at}.5,1],[{at}.5,1.5],[{at},1]]]");
        let squares = |many: usize| {
            format!(
                r#"{{"type":"MultiPolygon","coordinates":[{}]}}"#,
                (0..many).map(square).collect::<Vec<_>>().join(",")
            )
        };
        assert!(Plot::parse(&squares(MAX_POLYGONS)).is_ok());
        assert_eq!(code(&squares(MAX_POLYGONS + 1)), "plot-too-large");
    }

    #[test]
    fn depth_and_garbage_are_refused() {
        let deep =
            format!(r#"{{"type":"Polygon","coordinates":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(code(&deep), "plot-malformed");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_stumble(ring in proptest::collection::vec((-181.0_f64..181.0, -91.0_f64..91.0), 0..8)) {
            let mut ring: Vec<_> = ring.iter().map(|(lon, lat)| format!("[{lon},{lat}]")).collect();
            ring.extend(ring.first().cloned());
            let text = format!(r#"{{"type":"Polygon","coordinates":[[{}]]}}"#, ring.join(","));
            if let Ok(plot) = Plot::parse(&text) {
                prop_assert_eq!(&Plot::parse(plot.as_str()).unwrap(), &plot);
                prop_assert!(plot.distance_outside_m(position("50", "80", None)).is_finite());
            }
        }
    }
}

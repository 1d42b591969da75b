//! Where the rings of a contour cross themselves or each other, so that they are no simple area.

use super::PlotError;
use crate::base::error::Invalid;
use geo::algorithm::validation::{GeometryIndex, InvalidMultiPolygon, InvalidPolygon, RingRole};
use geo::line_intersection::{LineIntersection, line_intersection};
use geo::{Contains as _, Intersects as _};

pub(super) fn crosses_itself(path: Vec<usize>) -> PlotError {
    let detail = "The contour crosses itself: the edge that begins at this position crosses an earlier one.";
    PlotError { invalid: Invalid::new("plot-invalid", detail), path }
}

/// The index of the position at which the first invalid edge of a closed ring begins. An edge is invalid if it
/// crosses an earlier edge, or if it touches, at one point, an earlier edge that is not its neighbour.
pub(super) fn crossing(ring: &[geo::Coord]) -> Option<usize> {
    let edges: Vec<geo::Line> = ring.windows(2).map(|ends| geo::Line::new(ends[0], ends[1])).collect();
    (0..edges.len()).find(|later| {
        let neighbours = |earlier: usize| earlier + 1 == *later || (earlier == 0 && later + 1 == edges.len());
        edges[..*later].iter().enumerate().any(|(earlier, edge)| {
            match line_intersection(*edge, edges[*later]) {
                None | Some(LineIntersection::Collinear { .. }) => false,
                Some(LineIntersection::SinglePoint { is_proper, .. }) => is_proper || !neighbours(earlier),
            }
        })
    })
}

/// The error for rings of which none crosses itself, but which together do not form a simple area: why, and where.
pub(super) fn overlap(polygons: &[geo::Polygon], error: &InvalidMultiPolygon) -> PlotError {
    use InvalidMultiPolygon as Many;
    use InvalidPolygon as One;
    let refuse = |detail: &str, path: Vec<usize>| PlotError {
        invalid: Invalid::new("plot-invalid", detail.to_owned()),
        path,
    };
    let located = |path: [usize; 2], position: Option<usize>| path.into_iter().chain(position).collect();
    // Rings are counted as in `coordinates`: the outer ring is 0.
    let of_role = |role: &RingRole| match role {
        RingRole::Exterior => 0,
        RingRole::Interior(hole) => hole + 1,
    };
    let ring = |polygon: usize, ring: usize| match ring {
        0 => polygons[polygon].exterior(),
        hole => &polygons[polygon].interiors()[hole - 1],
    };
    match error {
        Many::InvalidPolygon(GeometryIndex(at), One::InteriorRingNotContainedInExteriorRing(role)) => {
            let (hole, outer) = (ring(*at, of_role(role)), polygons[*at].exterior());
            let area = geo::Polygon::new(outer.clone(), Vec::new());
            let outside = hole.coords().position(|position| !area.intersects(position));
            let position = outside.or_else(|| meeting(hole, outer));
            refuse("This hole is not inside its outer ring.", located([*at, of_role(role)], position))
        }
        Many::InvalidPolygon(
            GeometryIndex(at),
            One::IntersectingRingsOnALine(a, b) | One::IntersectingRingsOnAnArea(a, b),
        ) => {
            let (earlier, later) = (of_role(a).min(of_role(b)), of_role(a).max(of_role(b)));
            let position = first_common(ring(*at, later), ring(*at, earlier), earlier != 0);
            let detail = "This ring overlaps an earlier ring of its polygon; rings may touch at points only.";
            refuse(detail, located([*at, later], position))
        }
        Many::ElementsOverlaps(GeometryIndex(a), GeometryIndex(b))
        | Many::ElementsTouchOnALine(GeometryIndex(a), GeometryIndex(b)) => {
            let (earlier, later) = (*a.min(b), *a.max(b));
            let position = first_common(ring(later, 0), ring(earlier, 0), true);
            let detail = "This polygon overlaps an earlier one; polygons may touch at points only.";
            refuse(detail, located([later, 0], position))
        }
        Many::InvalidPolygon(GeometryIndex(at), _) => {
            refuse(&format!("The contour is not a simple area: {error}."), vec![*at])
        }
    }
}

/// The index of the first position of `later` that is inside `earlier` (if `inside` is set), or at which an edge
/// begins that [`meeting`] finds.
fn first_common(later: &geo::LineString, earlier: &geo::LineString, inside: bool) -> Option<usize> {
    let area = geo::Polygon::new(earlier.clone(), Vec::new());
    let within = later.coords().position(|position| inside && area.contains(position));
    within.into_iter().chain(meeting(later, earlier)).min()
}

/// The index of the position at which the first edge of `later` begins that crosses an edge of `earlier` or runs
/// along a part of it.
fn meeting(later: &geo::LineString, earlier: &geo::LineString) -> Option<usize> {
    later.lines().position(|edge| {
        earlier.lines().any(|other| match line_intersection(edge, other) {
            None => false,
            Some(LineIntersection::Collinear { intersection }) => intersection.start != intersection.end,
            Some(LineIntersection::SinglePoint { is_proper, .. }) => is_proper,
        })
    })
}

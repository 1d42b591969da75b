//! Which volume a log or a stack can have: the declared volume against its own measures.
//!
//! A tree tapers and is rough, so the volume of a log is not a function of its top diameter and length. But it
//! has bounds. Of 489 logs that harvesters measured (231 of them are the data of the tests), those from 14 cm
//! top diameter have 0.88 to 1.88 times the volume of a cylinder of that diameter, and thinner ones up to 5.56
//! times; those that the table of GOST 2708-75 covers have 0.81 to 1.75 times its volume, except for one thin
//! piece. A volume outside of [`Bounds`] is refused. Otherwise many logs could be felled on the permitted
//! volume of one.
//!
//! All comparisons are exact, in decimals. The factors are dated parameters, so this module takes them as
//! arguments.

use super::species::{LogKind, MeasurementMethod};
use super::volume_table::{self, gost_volume};
use crate::base::error::Invalid;
use crate::base::units::{Diameter, Length, Pieces, Volume};
use rust_decimal::{Decimal, RoundingStrategy};

/// The factors of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Top diameter in cm from which a log counts as thick.
    pub thick_from_cm: Decimal,
    /// Lowest volume, as a factor of the cylinder.
    pub cylinder_min: Decimal,
    /// Highest volume of a thick log, as a factor of the cylinder.
    pub thick_cylinder_max: Decimal,
    /// Highest volume of a thinner log, as a factor of the cylinder.
    pub thin_cylinder_max: Decimal,
    /// Lowest volume of a log that the table covers, as a factor of the table's volume.
    pub table_min: Decimal,
    /// Above this factor of the table's volume, a volume is possible but a finding.
    pub table_remarkable: Decimal,
    /// By how many percent a volume declared to be from the table may differ from a cell of the table.
    pub cell_percent: Decimal,
    /// Lowest volume declared to be from the table where the table does not cover the log, as a factor of the
    /// cylinder.
    pub uncovered_min: Decimal,
    /// Highest such volume.
    pub uncovered_max: Decimal,
    /// Lowest volume in m³ of a piece of a stack.
    pub piece_min_m3: Decimal,
    /// Highest volume in m³ of a piece of a stack.
    pub piece_max_m3: Decimal,
    /// Above this volume in m³ a piece, a stack of commercial wood is a finding.
    pub commercial_piece_max_m3: Decimal,
    /// Top diameter in cm from which a piece is a saw log, if it is long enough.
    pub saw_log_from_cm: Decimal,
    /// Length in m above which a piece is a saw log, if it is thick enough.
    pub saw_log_above_m: Decimal,
    /// Lowest sum of the declared volumes of a ticket's logs, as a factor of the sum of their table volumes.
    pub sum_min: Decimal,
    /// The number of logs from which on the sums are compared.
    pub sum_from_logs: Decimal,
}

/// The declared volume of a log or stack, and what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    /// Log or stack.
    pub kind: LogKind,
    /// How the volume was determined.
    pub method: MeasurementMethod,
    /// Top diameter of the log, or of each piece of the stack.
    pub top_diameter: Option<Diameter>,
    /// Length of the log, or of each piece of the stack.
    pub length: Option<Length>,
    /// Pieces of a stack.
    pub pieces: Option<Pieces>,
    /// Declared volume.
    pub volume: Volume,
}

/// 355/113, which exceeds π by less than 9 parts in 10⁸. Even for the thickest and longest log, of 212 m³, the
/// error is less than 0.00002 m³, which is below the last decimal of a volume.
const PI: (i64, i64) = (355, 113);

/// The volume of a cylinder, as a whole number of parts; [`Self::PARTS`] of them are 1 m³.
#[derive(Clone, Copy)]
struct Cylinder(Decimal);

impl Cylinder {
    /// Parts of one m³. The volume is pi · d² · l / 4; here d is counted in 0.1 cm and l in 0.01 m, which
    /// are 10⁻³ m and 10⁻² m.
    const PARTS: i64 = PI.1 * 4 * 100_000_000;

    /// The volume of `pieces` cylinders of this diameter and length.
    fn of(diameter: Diameter, length: Length, pieces: Decimal) -> Self {
        let (tenths, hundredths) =
            (diameter.decimal() * Decimal::TEN, length.decimal() * Decimal::ONE_HUNDRED);
        Self(Decimal::from(PI.0) * tenths * tenths * hundredths * pieces)
    }

    /// Compares a volume with this cylinder times `factor`.
    fn compare(self, volume: Decimal, factor: Decimal) -> std::cmp::Ordering {
        (volume * Decimal::from(Self::PARTS)).cmp(&(self.0 * factor))
    }

    /// This cylinder times `factor`, in m³.
    fn m3(self, factor: Decimal) -> Decimal {
        self.0 * factor / Decimal::from(Self::PARTS)
    }
}

fn rounded(m3: Decimal, strategy: RoundingStrategy) -> Decimal {
    m3.round_dp_with_strategy(Volume::SCALE, strategy).normalize()
}

/// A lower bound, rounded up to the decimals of a volume, so that it is itself allowed.
fn at_least(m3: Decimal) -> Decimal {
    rounded(m3, RoundingStrategy::ToPositiveInfinity)
}

/// An upper bound, rounded down to the decimals of a volume, so that it is itself allowed.
fn at_most(m3: Decimal) -> Decimal {
    rounded(m3, RoundingStrategy::ToZero)
}

impl Measures {
    /// Why this volume cannot be true: `volume-unlike-measures`, `volume-unlike-table`, or both. Empty if
    /// the measures to compare it with are missing.
    pub fn refusals(&self, bounds: &Bounds) -> impl Iterator<Item = Invalid> + use<> {
        [self.unlike_measures(bounds), self.unlike_table(bounds)].into_iter().flatten()
    }

    /// Whether there is no reason to refuse this volume.
    #[must_use]
    pub fn are_possible(&self, bounds: &Bounds) -> bool {
        self.refusals(bounds).next().is_none()
    }

    /// Why the corrected measures `after` cannot replace these ones. A log recorded before these bounds may
    /// be outside of them: its volume may then be corrected towards the table, or where the table does not
    /// cover the log, towards the bounds.
    #[must_use]
    pub fn refusals_of_correction(&self, after: &Self, bounds: &Bounds) -> Vec<Invalid> {
        let only_volume = Self { volume: after.volume, ..*self } == *after;
        if self == after || (only_volume && !self.are_possible(bounds) && self.leads_to(after.volume, bounds))
        {
            return Vec::new();
        }
        after.refusals(bounds).collect()
    }

    /// Whether a change of this volume to `volume` approaches the table's volume (without a table, the nearest
    /// bound) and does not go beyond it.
    fn leads_to(&self, volume: Volume, bounds: &Bounds) -> bool {
        let (declared, volume) = (self.volume.decimal(), volume.decimal());
        let goal = match (self.table(), self.range(bounds)) {
            (Some(table), _) => table.decimal(),
            (None, Some(range)) => declared.clamp(at_least(range.0), at_most(range.1).max(at_least(range.0))),
            (None, None) => return false,
        };
        (declared < volume && volume <= goal) || (goal <= volume && volume < declared)
    }

    /// The volume of the log's own cell of the table.
    #[must_use]
    pub fn table(&self) -> Option<Volume> {
        let measured = self.top_diameter.zip(self.length).filter(|_| self.kind == LogKind::Log)?;
        gost_volume(measured.0, measured.1).map(|cell| cell.volume)
    }

    /// The volume of the log's own cell of the table, if its volume is declared to be from the table.
    #[must_use]
    pub fn table_if_its_method(&self) -> Option<Volume> {
        self.table().filter(|_| self.is_by_table())
    }

    /// Whether this is a stack without the number of its pieces.
    #[must_use]
    pub fn lacks_pieces(&self) -> bool {
        self.kind == LogKind::Stack && self.pieces.is_none()
    }

    /// Whether the volume is declared to be from the table, but the table does not cover the log.
    #[must_use]
    pub fn lacks_table(&self) -> bool {
        self.is_by_table() && self.top_diameter.is_some() && self.length.is_some() && self.table().is_none()
    }

    /// Whether this is a log with a volume declared to be from the table.
    #[must_use]
    pub fn is_by_table(&self) -> bool {
        self.kind == LogKind::Log && self.method == MeasurementMethod::Gost2708_75
    }

    /// Whether this is a stack in pieces as large as logs.
    #[must_use]
    pub fn are_logs_as_stack(&self, bounds: &Bounds) -> bool {
        self.kind == LogKind::Stack
            && self.pieces.is_some_and(|pieces| {
                self.volume.decimal() > bounds.commercial_piece_max_m3 * Decimal::from(pieces.get())
            })
    }

    /// The diameter and length of the log, or of each piece of the stack, if they are those of a saw log.
    #[must_use]
    pub fn saw_log(&self, bounds: &Bounds) -> Option<(Diameter, Length)> {
        self.top_diameter.zip(self.length).filter(|(diameter, length)| {
            diameter.decimal() >= bounds.saw_log_from_cm && length.decimal() > bounds.saw_log_above_m
        })
    }

    /// Whether the volume is above `factor` times the table's.
    #[must_use]
    pub fn exceed_table(&self, factor: Decimal) -> bool {
        self.table().is_some_and(|table| self.volume.decimal() > table.decimal() * factor)
    }

    /// Whether the volume is that of `cell`, within the tolerance.
    #[must_use]
    pub fn are_of_cell(&self, cell: Volume, bounds: &Bounds) -> bool {
        let difference = (self.volume.decimal() - cell.decimal()).abs();
        difference * Decimal::ONE_HUNDRED <= cell.decimal() * bounds.cell_percent
    }

    fn cylinder(&self) -> Option<Cylinder> {
        let pieces = match self.kind {
            LogKind::Log => Decimal::ONE,
            LogKind::Stack => Decimal::from(self.pieces?.get()),
        };
        Some(Cylinder::of(self.top_diameter?, self.length?, pieces))
    }

    /// The lowest and the highest volume, as factors of the cylinder.
    fn factors(&self, bounds: &Bounds) -> (Decimal, Decimal) {
        let thick = self.top_diameter.is_some_and(|diameter| diameter.decimal() >= bounds.thick_from_cm);
        let max = if thick { bounds.thick_cylinder_max } else { bounds.thin_cylinder_max };
        if self.lacks_table() {
            (bounds.cylinder_min.max(bounds.uncovered_min), max.min(bounds.uncovered_max))
        } else {
            (bounds.cylinder_min, max)
        }
    }

    /// The lowest and the highest volume in m³, without regard to the table; `None` if they are not known.
    fn range(&self, bounds: &Bounds) -> Option<(Decimal, Decimal)> {
        let pieces = match self.kind {
            LogKind::Log => None,
            LogKind::Stack => {
                let pieces = Decimal::from(self.pieces?.get());
                Some((bounds.piece_min_m3 * pieces, bounds.piece_max_m3 * pieces))
            }
        };
        let cylinder = self.cylinder().map(|cylinder| {
            let (min, max) = self.factors(bounds);
            (cylinder.m3(min), cylinder.m3(max))
        });
        match (pieces, cylinder) {
            (Some(pieces), Some(cylinder)) => Some((pieces.0.max(cylinder.0), pieces.1.min(cylinder.1))),
            (known, None) | (None, known) => known,
        }
    }

    fn unlike_measures(&self, bounds: &Bounds) -> Option<Invalid> {
        let declared = self.volume;
        let refuse = |detail| Some(Invalid::new("volume-unlike-measures", detail));
        if let Some(pieces) = self.pieces.filter(|_| self.kind == LogKind::Stack) {
            let count = Decimal::from(pieces.get());
            let (min, max) = (bounds.piece_min_m3, bounds.piece_max_m3);
            if declared.decimal() < min * count || declared.decimal() > max * count {
                return refuse(format!(
                    "{declared} m³ are declared for {pieces} pieces. A piece of a stack has {min} to {max} m³, so \
                     these have {} to {} m³.",
                    (min * count).normalize(),
                    (max * count).normalize()
                ));
            }
        }
        let cylinder = self.cylinder()?;
        let (diameter, length) = (self.top_diameter?, self.length?);
        let (min, max) = self.factors(bounds);
        if cylinder.compare(declared.decimal(), min).is_lt()
            || cylinder.compare(declared.decimal(), max).is_gt()
        {
            let count = self.pieces.filter(|_| self.kind == LogKind::Stack).map_or(1, Pieces::get);
            return refuse(format!(
                "{declared} m³ are declared. The volume of {count} × {diameter} cm × {length} m as cylinder is {} m³; \
                 {min} to {max} times that is possible, which is {} to {} m³.",
                rounded(cylinder.m3(Decimal::ONE), RoundingStrategy::MidpointAwayFromZero),
                at_least(cylinder.m3(min)),
                at_most(cylinder.m3(max)),
            ));
        }
        let table = self.table()?;
        let least = table.decimal() * bounds.table_min;
        if declared.decimal() < least {
            return refuse(format!(
                "{declared} m³ are declared. {} has {table} m³ for {diameter} cm and {length} m, and no log has less \
                 than {} of that, which is {} m³.",
                volume_table::VERSION,
                bounds.table_min,
                at_least(least)
            ));
        }
        None
    }

    fn unlike_table(&self, bounds: &Bounds) -> Option<Invalid> {
        let (diameter, length) = (self.top_diameter?, self.length?);
        let own = self.table_if_its_method()?;
        if volume_table::cells(diameter, length).any(|cell| self.are_of_cell(cell, bounds)) {
            return None;
        }
        Some(Invalid::new(
            "volume-unlike-table",
            format!(
                "{} m³ are declared by {}. {} has {own} m³ for {diameter} cm and {length} m, and the volume is more \
                 than {} % away from that and from the neighbouring cells.",
                self.volume,
                self.method,
                volume_table::VERSION,
                bounds.cell_percent
            ),
        ))
    }
}

/// What a log adds to its ticket line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its declared volume.
    pub volume: Volume,
    /// The table's volume, if the declared one is from the table and the table covers the log.
    pub table: Option<Volume>,
}

impl From<&Measures> for Share {
    fn from(measures: &Measures) -> Self {
        Self { volume: measures.volume, table: measures.table_if_its_method() }
    }
}

/// Sums over the logs that the table covers and that have a volume declared to be from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSums {
    /// Number of these logs.
    pub logs: i32,
    /// Sum of their declared volumes.
    pub declared: Volume,
    /// Sum of the table's volumes.
    pub table: Volume,
}

impl TableSums {
    /// No logs.
    pub const ZERO: Self = Self { logs: 0, declared: Volume::ZERO, table: Volume::ZERO };

    /// With one more log; unchanged by a log without a table volume. `None` if a sum is too large.
    #[must_use]
    pub fn with(self, share: Share) -> Option<Self> {
        let Some(table) = share.table else { return Some(self) };
        self.checked_add(Self { logs: 1, declared: share.volume, table })
    }

    /// Without a log that was added before.
    #[must_use]
    pub fn without(self, share: Share) -> Option<Self> {
        let Some(table) = share.table else { return Some(self) };
        self.checked_sub(Self { logs: 1, declared: share.volume, table })
    }

    /// The sums of both; `None` if one is too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            logs: self.logs.checked_add(other.logs)?,
            declared: self.declared.checked_add(other.declared)?,
            table: self.table.checked_add(other.table)?,
        })
    }

    /// The sums of all; `None` if one is too large.
    #[must_use]
    pub fn checked_sum(sums: impl IntoIterator<Item = Self>) -> Option<Self> {
        sums.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// The difference, which may be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self {
            logs: self.logs.checked_sub(other.logs)?,
            declared: self.declared.checked_sub(other.declared)?,
            table: self.table.checked_sub(other.table)?,
        })
    }

    /// Whether the logs are enough to be compared, and the sum of their declared volumes is below the limit.
    #[must_use]
    pub fn are_low(self, bounds: &Bounds) -> bool {
        Decimal::from(self.logs) >= bounds.sum_from_logs
            && self.declared.decimal() < self.table.decimal() * bounds.sum_min
    }
}

#[cfg(test)]
mod tests;

//! Checks whether a ticket's lines have enough volume left for a harvest. Sums are exact, and there is no SQL
//! here.

use crate::base::error::{FieldError, Location};
use crate::base::ids::LineId;
use crate::base::units::Volume;
use crate::timber::finding::rules::{self, Draft};
use crate::timber::ticket::LockedLine;
use crate::timber::wood::species::{Species, Wood};
use crate::timber::wood::tolerance::{Standing, standing, tolerance};
use chrono::NaiveDate;

/// The running balance of a ticket's lines while volumes are marked on them.
pub struct Balance<'t> {
    lines: &'t [LockedLine],
    on: NaiveDate,
    marked: Vec<Volume>,
    refused: Vec<bool>,
}

/// The result of marking volumes: the change of each line, and the findings of the rules.
#[derive(Debug)]
pub struct Marked {
    /// Change of each line that changed; negative where a correction removed volume.
    pub changes: Vec<(LineId, Volume)>,
    /// Findings, at most one per line.
    pub findings: Vec<Draft>,
}

impl<'t> Balance<'t> {
    /// A balance that starts from the volumes already marked on `lines`, the ticket's locked lines. It
    /// applies the tolerances in force on the day `on`.
    #[must_use]
    pub fn new(lines: &'t [LockedLine], on: NaiveDate) -> Self {
        let marked = lines.iter().map(|line| line.marked).collect();
        Self { lines, on, marked, refused: vec![false; lines.len()] }
    }

    /// The line for a species and kind of wood, if the ticket has one.
    #[must_use]
    pub fn line(&self, species: Species, wood: Wood) -> Option<usize> {
        self.lines.iter().position(|line| line.species == species && line.wood == wood)
    }

    /// The id of a line by its index.
    #[must_use]
    pub fn id(&self, line: usize) -> LineId {
        self.lines[line].id
    }

    /// Subtracts a volume from a line's marked volume, for corrections.
    pub fn unmark(&mut self, line: LineId, volume: Volume) {
        if let Some(index) = self.lines.iter().position(|known| known.id == line)
            && let Some(less) = self.marked[index].checked_sub(volume)
        {
            self.marked[index] = less;
        }
    }

    /// Marks a volume on a line. Returns an error for the first volume that exceeds the line's limit; later
    /// volumes on the same line give no further error.
    pub fn mark(&mut self, line: usize, volume: Volume, at: impl FnOnce() -> Location) -> Option<FieldError> {
        let known = &self.lines[line];
        let before = self.marked[line];
        let after = before.checked_add(volume)?;
        self.marked[line] = after;
        if self.refused[line] || standing(after, known.permitted, self.on) != Standing::Exceeded {
            return None;
        }
        self.refused[line] = true;
        let allowed = tolerance(known.permitted, self.on);
        let detail = format!(
            "The line {} {} permits {} m³ (plus {} % tolerance); {} m³ are marked, including those before this one, and {} m³ more would exceed it.",
            known.species, known.wood, known.permitted, allowed.percent, before, volume
        );
        Some(FieldError::new(at(), "line-exceeded", detail))
    }

    /// Adds a volume to a line's marked volume without checking the limit. A correction on the same line uses
    /// this after [`Self::unmark`], if the corrected volume is not larger than the old one.
    pub fn lower(&mut self, line: usize, volume: Volume) {
        if let Some(after) = self.marked[line].checked_add(volume) {
            self.marked[line] = after;
        }
    }

    /// The changes and the findings.
    #[must_use]
    pub fn finish(self) -> Marked {
        let mut marked = Marked { changes: Vec::new(), findings: Vec::new() };
        for (line, after) in self.lines.iter().zip(self.marked) {
            let Some(change) = after.checked_sub(line.marked).filter(|change| *change != Volume::ZERO) else {
                continue;
            };
            marked.changes.push((line.id, change));
            let found = rules::over_permitted(line.marked, after, line.permitted, self.on);
            marked.findings.extend(found.map(|draft| draft.key_within(line.id)));
        }
        marked
    }
}

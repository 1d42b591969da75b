//! Checks whether a ticket's lines have enough volume left for a harvest. Sums are exact, and there is no SQL
//! here.

use crate::base::error::{FieldError, Location};
use crate::base::ids::LineId;
use crate::base::units::{LocalDate, Volume};
use crate::timber::finding::rules::{self, Draft};
use crate::timber::parameter::Parameters;
use crate::timber::ticket::{LineChange, LockedLine};
use crate::timber::wood::bounds::{Bounds, Share, TableSums};
use crate::timber::wood::species::{Species, Wood};
use crate::timber::wood::tolerance::{Standing, standing, tolerance};
use chrono::NaiveDate;

/// The running balance of a ticket's lines while volumes are marked on them.
pub struct Balance<'t> {
    lines: &'t [LockedLine],
    on: NaiveDate,
    parameters: &'t Parameters,
    marked: Vec<Volume>,
    by_table: Vec<TableSums>,
    refused: Vec<bool>,
}

/// The result of marking volumes: the change of each line, and the findings of the rules.
#[derive(Debug)]
pub struct Marked {
    /// Change of each line that changed; negative where a correction removed volume.
    pub changes: Vec<LineChange>,
    /// Findings, at most one per line and one about all lines.
    pub findings: Vec<Draft>,
}

impl<'t> Balance<'t> {
    /// A balance that starts from the volumes already marked on `lines`, the ticket's locked lines. It
    /// applies the tolerances and parameters in force on the day `on`.
    #[must_use]
    pub fn new(lines: &'t [LockedLine], on: LocalDate, parameters: &'t Parameters) -> Self {
        let marked = lines.iter().map(|line| line.marked).collect();
        let by_table = lines.iter().map(|line| line.by_table).collect();
        Self { lines, on: on.day(), parameters, marked, by_table, refused: vec![false; lines.len()] }
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

    /// Takes a log off a line, for corrections.
    pub fn unmark(&mut self, line: LineId, share: Share) {
        if let Some(index) = self.lines.iter().position(|known| known.id == line)
            && let Some(less) = self.marked[index].checked_sub(share.volume)
        {
            self.marked[index] = less;
            self.by_table[index] = self.by_table[index].without(share).unwrap_or(self.by_table[index]);
        }
    }

    /// Marks a log on a line. Returns an error for the first volume that exceeds the line's limit; later
    /// volumes on the same line give no further error.
    pub fn mark(&mut self, line: usize, share: Share, at: impl FnOnce() -> Location) -> Option<FieldError> {
        let known = &self.lines[line];
        let (before, volume) = (self.marked[line], share.volume);
        self.lower(line, share);
        let after = self.marked[line];
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

    /// Marks a log on a line without checking the limit. A correction on the same line uses this after
    /// [`Self::unmark`], if the corrected volume is not larger than the old one.
    pub fn lower(&mut self, line: usize, share: Share) {
        if let Some(after) = self.marked[line].checked_add(share.volume) {
            self.marked[line] = after;
            self.by_table[line] = self.by_table[line].with(share).unwrap_or(self.by_table[line]);
        }
    }

    /// The changes and the findings. The sums of the whole ticket are compared with `bounds`.
    #[must_use]
    pub fn finish(self, bounds: &Bounds) -> Marked {
        let mut marked = Marked { changes: Vec::new(), findings: Vec::new() };
        let before = TableSums::checked_sum(self.lines.iter().map(|line| line.by_table));
        let after = TableSums::checked_sum(self.by_table.iter().copied());
        for ((line, after), sums) in self.lines.iter().zip(self.marked).zip(self.by_table) {
            let change = after.checked_sub(line.marked).zip(sums.checked_sub(line.by_table));
            let Some((change, by_table)) = change else { continue };
            if (change, by_table) == (Volume::ZERO, TableSums::ZERO) {
                continue;
            }
            marked.changes.push(LineChange { id: line.id, marked: change, by_table });
            let (before, permitted) = (line.marked, line.permitted);
            let found = rules::over_permitted(before, after, permitted, self.on, self.parameters);
            marked.findings.extend(found.map(|draft| draft.key_within(line.id)));
        }
        let low =
            before.zip(after).and_then(|(before, after)| rules::sums_below_table(before, after, bounds));
        marked.findings.extend(low);
        marked
    }
}

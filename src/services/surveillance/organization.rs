//! What the events of one organisation show together: its yards, its stock (L17) and its corrections (L18).

use super::finding::{About, Change, changes};
use super::journey::metres;
use super::leaf::{Fix, day_of, month_text};
use super::threshold::Thresholds;
use super::window::{BackWindow, MAX_EVIDENCE, MAX_YARDS, StockWindow, Yards};
use crate::evidence::chain::SubjectKind;
use crate::timber::finding::rules::Severity;
use crate::timber::finding::rules::surveillance as rules;
use serde_json::json;
use uuid::Uuid;

/// Logs that were taken over at a place before it counts as a yard.
const YARD_LOGS: u32 = 10;

/// A finding's subject if it is about an organisation.
pub(super) fn about(organization: Uuid) -> About {
    About { kind: SubjectKind::Organization, subject: organization, organization, ticket: None }
}

/// 10⁻⁴ m³ as text.
fn cubic(volume: i64) -> String {
    rust_decimal::Decimal::new(volume, 4).normalize().to_string()
}

fn note(evidence: &mut Vec<(Uuid, u32)>, event: (Uuid, u32)) {
    if evidence.len() == MAX_EVIDENCE {
        evidence.remove(0);
    }
    evidence.push(event);
}

impl Yards {
    /// Notes that a log was taken over at a place.
    pub(super) fn seen(&mut self, fix: Fix, t: &Thresholds) {
        let near = self.yards.iter_mut().find(|yard| metres((yard.0, yard.1), (fix.0, fix.1)) <= t.yard_m);
        if let Some(yard) = near {
            yard.2 = yard.2.saturating_add(1);
            return;
        }
        if self.yards.len() == MAX_YARDS
            && let Some(least) = (0..MAX_YARDS).min_by_key(|at| self.yards[*at].2)
        {
            self.yards.remove(least);
        }
        self.yards.push((fix.0, fix.1, 1));
    }

    /// Whether a place is at a yard.
    pub(super) fn has(&self, fix: Fix, t: &Thresholds) -> bool {
        self.yards
            .iter()
            .any(|yard| yard.2 >= YARD_LOGS && metres((yard.0, yard.1), (fix.0, fix.1)) <= t.yard_m)
    }
}

impl StockWindow {
    /// Adds to the stock, or takes from it.
    pub(super) fn change(&mut self, volume: i64, received: i64, event: (Uuid, u32), t: &Thresholds) {
        self.balance += volume;
        if self.balance >= -t.stock_below {
            (self.below_since, self.due) = (None, None);
            self.evidence.clear();
            return;
        }
        if volume < 0 {
            note(&mut self.evidence, event);
        }
        if self.below_since.is_none() {
            self.below_since = Some(received);
            self.due = Some(received + t.stock_grace);
        }
    }

    /// L17: the stock has been below zero for too long to be a late acceptance.
    pub(super) fn sweep(&mut self, until: i64, out: &mut Vec<Change>) {
        let Some(since) = self.below_since.filter(|_| self.due.is_some_and(|due| due < until)) else {
            return;
        };
        self.due = None;
        let month = month_text(day_of(since));
        out.push(Change::Found(Box::new(about(self.organization).finding(
            &rules::WITHOUT_STOCK,
            Severity::Warning,
            format!("{}-{month}", self.species),
            json!({"case": "stock", "species": self.species, "balance_m3": cubic(self.balance)}),
            self.evidence.clone(),
        ))));
    }
}

impl BackWindow {
    /// Notes a correction of a volume, by `delta`.
    pub(super) fn correct(&mut self, delta: i64, event: (Uuid, u32)) {
        let side = if delta < 0 { &mut self.down } else { &mut self.up };
        *side = (side.0 + 1, side.1 + delta.abs());
        if delta < 0 {
            note(&mut self.evidence, event);
        }
    }

    /// L18: corrections down prevail by more than the errors of measuring do, which go both ways.
    pub(super) fn judge(&mut self, organization: Uuid, month: &str, t: &Thresholds, out: &mut Vec<Change>) {
        #[expect(clippy::cast_precision_loss, reason = "volumes of a month")]
        let (net, harvested) = ((self.down.1 - self.up.1) as f64, self.harvested as f64);
        let (down, up) = (f64::from(self.down.0), f64::from(self.up.0));
        let one_sided = down - up >= 3.0 * (down + up).sqrt();
        let found = self.down.0 >= t.back_count && one_sided && net > 0.0 && net >= t.back_share * harvested;
        let now = found.then(|| {
            about(organization).finding(
                &rules::VOLUME_GIVEN_BACK,
                Severity::Warning,
                month.to_owned(),
                json!({
                    "corrections": self.down.0, "given_back_m3": cubic(self.down.1),
                    "raised_m3": cubic(self.up.1), "harvested_m3": cubic(self.harvested),
                }),
                self.evidence.clone(),
            )
        });
        changes(about(organization), &mut self.findings, now.into_iter().collect(), out);
    }
}

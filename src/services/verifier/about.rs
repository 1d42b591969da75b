//! Determines what a file is about, from the texts that it discloses. Without this check, a valid file of
//! another log would pass as the file of the log in hand.

use super::Trust;
use super::export::{Event, PARTS};
use super::json::Json;
use super::report::{Check, Report};
use crate::evidence::chain::bytes::{SubjectKind, commit};
use crate::timber::event::types::LogEventType;
use crate::timber::seal::{Code, gs1};
use uuid::Uuid;

/// Adds the line `about` to the report, for an export of the subject of the kind `kind` with the id `id`.
pub(super) fn check(report: &mut Report, trust: &Trust, (kind, id): (SubjectKind, Uuid), events: &[Event]) {
    let texts: Vec<[Option<Json>; 3]> = events.iter().map(texts).collect();
    let seals = seals(&texts);
    let void = void(&texts, &seals);
    let name = match kind {
        SubjectKind::Log => log(&texts, &seals, void),
        SubjectKind::FellingTicket => texts.iter().find_map(|[public, ..]| ticket(public.as_ref()?)),
        SubjectKind::SealBatch => texts.iter().find_map(batch),
        SubjectKind::Organization => texts.iter().find_map(organization),
        _ => Some(format!("{} {id}", kind.name().replace('_', " "))),
    };
    let Some(asked) = &trust.seal else {
        return match name {
            Some(name) => report.ok(Check::About, name),
            None => report.unchecked(Check::About, "no text that is shown says what the file is about"),
        };
    };
    let current = seals.last();
    let replaced =
        seals.iter().zip(seals.iter().skip(1)).find(|(seal, _)| seal.is(asked)).map(|(_, next)| next);
    let hidden = current
        .and_then(|seal| (seal.event..).zip(&texts[seal.event..]).find(|(_, [public, ..])| public.is_none()));
    match (current, replaced, hidden) {
        (Some(seal), _, None) if seal.is(asked) => report.ok(Check::About, name.unwrap_or_default()),
        (Some(seal), _, Some((at, _))) if seal.is(asked) => report.failed(
            Check::About,
            format!("the public part of event {} is not shown: the seal may have been replaced", at + 1),
        ),
        (Some(seal), Some(next), _) => {
            // The present seal is named apart only if it is not the one that replaced this seal.
            let present = if next.event == seal.event {
                String::new()
            } else {
                format!("; the log's seal is {}", seal.number)
            };
            report.failed(
                Check::About,
                format!(
                    "seal {asked} was replaced by {} at event {} and is void since{present}",
                    next.number, next.event
                ),
            );
        }
        (Some(seal), None, _) => {
            report.failed(Check::About, format!("the file is about seal {}, not {asked}", seal.number));
        }
        (None, ..) => {
            report.failed(Check::About, format!("the file does not show that it is about seal {asked}"));
        }
    }
}

/// Adds the line `about` to the report, for a proof. A proof contains an entry but no text, so it cannot show
/// what it is about.
pub(super) fn of_proof(report: &mut Report, trust: &Trust) {
    if trust.seal.is_none() {
        report.unchecked(Check::About, "a proof does not show which log it is of; an export does");
    }
    without_text(report, trust);
}

/// Adds a line for a receipt, which promises entries by their hashes alone.
pub(super) fn of_receipt(report: &mut Report, trust: &Trust) {
    if trust.seal.is_none() {
        let detail = "only the hashes are promised; ids, seq, seals and all else in the response are what the file says, \
                      and not proven: an export proves them";
        report.unchecked(Check::About, detail);
    }
    without_text(report, trust);
}

/// Adds a line if a seal was named: the file shows no text that was hashed.
pub(super) fn without_text(report: &mut Report, trust: &Trust) {
    if let Some(asked) = &trust.seal {
        let detail = format!("the file does not show that it is about seal {asked}; an export does");
        report.failed(Check::About, detail);
    }
}

/// The disclosed texts of an event that match their commitments.
fn texts(event: &Event) -> [Option<Json>; 3] {
    std::array::from_fn(|at| {
        let part = &event.parts[at];
        let (salt, text) = part.opening.as_ref()?;
        let committed = commit(PARTS[at].1, salt, text) == part.commitment;
        Json::read(text.as_bytes()).ok().filter(|_| committed)
    })
}

/// A seal that a log's public part names.
struct Seal<'t> {
    number: &'t str,
    identification: Option<&'t str>,
    /// Number of the event, from 1, that put the seal on the log.
    event: usize,
}

impl Seal<'_> {
    /// Whether `asked` names this seal: its number or its marking code, in every spelling that the server takes.
    fn is(&self, asked: &str) -> bool {
        let Ok(code) = Code::parse_public(asked) else {
            return self.identification.is_some_and(|identification| {
                // `asked` has elements that cannot be parsed: only the identification before a group separator counts.
                let rest = gs1::without_symbology(asked.trim_matches(BLANK)).strip_prefix(identification);
                rest.is_some_and(|rest| rest.starts_with('\u{1d}'))
            });
        };
        let other = code.other_reading();
        [Some(code), other].into_iter().flatten().any(|code| match code {
            Code::SealNumber(number) => number.as_str() == self.number,
            code => code.identification().is_some_and(|asked| Some(asked.as_str()) == self.identification),
        })
    }
}

const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

fn seals(texts: &[[Option<Json>; 3]]) -> Vec<Seal<'_>> {
    (1..)
        .zip(texts)
        .filter_map(|(event, [public, ..])| {
            let public = public.as_ref()?;
            Some(Seal {
                number: word(public, "seal")?,
                identification: word(public, "identification"),
                event,
            })
        })
        .collect()
}

/// The event, from 1, that voided the log's present seal.
fn void(texts: &[[Option<Json>; 3]], seals: &[Seal<'_>]) -> Option<usize> {
    let present = seals.last()?.event;
    let voided = |[public, ..]: &[Option<Json>; 3]| {
        public.as_ref().and_then(|public| word(public, "type")) == Some(LogEventType::SealVoided.as_str())
    };
    (1..).zip(texts).skip(present).find(|(_, texts)| voided(texts)).map(|(event, _)| event)
}

fn word<'j>(object: &'j Json, name: &str) -> Option<&'j str> {
    object.member(name)?.text().ok()
}

fn log(texts: &[[Option<Json>; 3]], seals: &[Seal<'_>], void: Option<usize>) -> Option<String> {
    let public = || texts.iter().filter_map(|[public, ..]| public.as_ref());
    let void = void.map_or_else(String::new, |event| format!(" (void since event {event})"));
    let seal = seals.last().map(|seal| format!("seal {}{void}", seal.number));
    let species = public().filter_map(|public| word(public, "species")).next_back().map(str::to_owned);
    let all: Vec<String> = [seal, species, public().find_map(ticket)].into_iter().flatten().collect();
    Some(all.join(", ")).filter(|all| !all.is_empty())
}

fn ticket(public: &Json) -> Option<String> {
    let ticket = public.member("ticket")?;
    Some(format!("felling ticket {} {}", word(ticket, "series")?, word(ticket, "number")?))
}

fn batch([_, business, _]: &[Option<Json>; 3]) -> Option<String> {
    let business = business.as_ref()?;
    Some(format!("seals {} to {}", word(business, "first")?, word(business, "last")?))
}

fn organization([.., personal]: &[Option<Json>; 3]) -> Option<String> {
    let personal = personal.as_ref()?;
    Some(format!("organisation {}, {}", word(personal, "bin")?, word(personal, "name")?))
}

//! The response of the public check, as `GET /v1/verify/{code}` returns it and as the page shows it.
//!
//! Every response comes from one of the builders of [`Verification`], each for one verdict, so that the
//! sentences always match the facts. It names no person: there is no field for one.

use super::cached_json::{CachedJson, JsonCache};
use crate::base::error::Invalid;
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::services::register_lookup::RegisterEntry;
use crate::timber::seal::{Code, SealNumber, VoidReason};
use chrono::NaiveDate;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// The verdict on the timber that carries the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// In circulation.
    Valid,
    /// In circulation, but stopped: it must not be bought until it is released.
    Held,
    /// Processed, exported, sold, destroyed or lost: it should not be on offer.
    Closed,
    /// The seal is void.
    Void,
    /// The seal is issued, but on no log.
    Unused,
    /// No such seal, a forged code, or input that is not a code.
    Unknown,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] =
        [Self::Valid, Self::Held, Self::Closed, Self::Void, Self::Unused, Self::Unknown];

    /// The verdict's name in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Held => "held",
            Self::Closed => "closed",
            Self::Void => "void",
            Self::Unused => "unused",
            Self::Unknown => "unknown",
        }
    }

    /// The one or two words that the page shows first.
    #[must_use]
    pub fn word(self, lang: Lang) -> String {
        say(lang, &format!("verdict-{}", self.as_str()))
    }
}

/// One text in three languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Texts {
    /// In Kazakh.
    pub kk: String,
    /// In Russian.
    pub ru: String,
    /// In English.
    pub en: String,
}

impl Texts {
    /// Calls `in_language` for each language.
    pub fn of(mut in_language: impl FnMut(Lang) -> String) -> Self {
        Self { kk: in_language(Lang::Kk), ru: in_language(Lang::Ru), en: in_language(Lang::En) }
    }

    /// The text in one language.
    #[must_use]
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Kk => &self.kk,
            Lang::Ru => &self.ru,
            Lang::En => &self.en,
        }
    }
}

/// Whether timber in circulation is on offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ForSale {
    /// Whether it may be offered for sale.
    pub offered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<NotForSale>,
}

/// Why timber in circulation is not on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotForSale {
    /// It is loaded, on the road, or not yet taken over.
    OnTheRoad,
    /// It is offered to another organisation, which has not answered yet.
    Promised,
    /// An inspection found the seal missing or damaged, and the seal has not been replaced yet.
    Reseal,
    /// It is an individual's, for own use.
    OwnUse,
}

/// The reason for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reason {
    /// Stable code: the state that closed the log, the reason of a void seal, `not-registered`,
    /// `forged`, or the parser's error code for input that is not a code.
    pub code: String,
    /// The reason in words.
    #[serde(flatten)]
    pub text: Texts,
}

/// The outcome of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CheckOutcome)]
pub enum Outcome {
    /// The check passed.
    Pass,
    /// The check failed.
    Fail,
    /// The server could not check it, or only the buyer can.
    Unknown,
}

impl Outcome {
    /// The outcome's name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// `format`, `signature`, `registered`, `in-circulation` or `compare`. More may come.
    pub code: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// The outcome in words.
    #[serde(flatten)]
    pub text: Texts,
}

/// The result of verifying the signature of a marking code (its `91` and `92` parts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signature {
    /// A key of this system made the signature, for this code.
    Valid,
    /// The signature names a key of this system, but that key did not make it for this code.
    Forged,
    /// The signature names no key of this system. The code may be another issuer's (the operator can register
    /// such codes too), or it may be invented.
    UnknownKey,
    /// No signature was sent: the text is a seal number, or a code without its signature.
    Absent,
}

impl Signature {
    fn check(self) -> CachedJson<Check> {
        let (outcome, how) = match self {
            Self::Valid => (Outcome::Pass, "pass"),
            Self::Forged => (Outcome::Fail, "fail"),
            Self::UnknownKey => (Outcome::Unknown, "foreign"),
            Self::Absent => (Outcome::Unknown, "absent"),
        };
        check("signature", outcome, how)
    }
}

/// The code that was sent, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedCode {
    /// The code in its plain form: the seal number, or the identification part `01…21…`.
    pub code: String,
    /// The number printed on the seal, if the seal is known: what the buyer compares first.
    pub seal_number: Option<String>,
    /// The result of verifying the code's signature.
    pub signature: Signature,
}

/// The names of a species in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SpeciesName {
    /// In Kazakh.
    pub kk: String,
    /// In Russian.
    pub ru: String,
    /// In Latin.
    pub latin: String,
}

/// A region by its ISO 3166-2 code, with its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifiedRegion {
    /// Such as `KZ-10`.
    pub code: String,
    /// The names.
    #[serde(flatten)]
    pub name: Texts,
}

/// Where the timber was felled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifiedOrigin {
    /// The region.
    #[schema(value_type = VerifiedRegion)]
    pub region: CachedJson<VerifiedRegion>,
    /// The forestry, as the felling ticket names it.
    pub forestry: String,
}

/// The last event of the timber, in the detail that is public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifiedEvent {
    /// Type of the event, such as `loaded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The local date.
    pub on: NaiveDate,
    /// Of an inspection: whether each inspection of the log found it as recorded. For the page, which calls only such
    /// timber checked.
    #[serde(skip)]
    pub as_recorded: bool,
    /// The last region that an event of the log named.
    #[schema(value_type = Option<VerifiedRegion>)]
    pub region: Option<CachedJson<VerifiedRegion>>,
}

/// The public data of the log or stack that carries the seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifiedLog {
    /// Code of the species, such as `pinus_sylvestris`.
    pub species: String,
    /// The names of the species.
    #[schema(value_type = SpeciesName)]
    pub species_name: CachedJson<SpeciesName>,
    /// `log` or `stack`.
    pub kind: String,
    /// Length in metres; a stack may have none.
    #[serde(serialize_with = "number_or_null")]
    pub length_m: Option<Decimal>,
    /// Diameter at the top end without bark, in centimetres; a stack may have none.
    #[serde(serialize_with = "number_or_null")]
    pub top_diameter_cm: Option<Decimal>,
    /// How many pieces a stack has.
    pub pieces: Option<u32>,
    /// Volume in dense cubic metres.
    #[serde(serialize_with = "number")]
    pub volume_m3: Decimal,
    /// Where it was felled.
    pub origin: VerifiedOrigin,
    /// The local date of felling.
    pub felled_on: NaiveDate,
    /// Series and number of the felling ticket.
    pub felling_ticket: String,
    /// The present status, such as `stored`.
    pub status: String,
    /// Name of the organisation that holds the timber; null if the holder is a sole trader or a farm, because
    /// their name is the name of a person.
    pub holder_name: Option<String>,
    /// The last event.
    pub last_event: VerifiedEvent,
}

/// The response of the public check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verification {
    /// The verdict.
    pub verdict: Verdict,
    /// The code in its plain form; the input as it was sent, if it is not a code.
    pub code: String,
    /// The number printed on the seal, if the seal is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal_number: Option<String>,
    /// Whether it is on offer; only with the verdict `valid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_sale: Option<ForSale>,
    /// The reason; absent for `valid` and `held`, and for `unused`, which has only one possible reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The timber that carries, or for a void seal carried, the seal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<VerifiedLog>,
    /// What was checked, in the order of checking.
    #[schema(value_type = Vec<Check>)]
    pub checks: Vec<CachedJson<Check>>,
    /// The verdict in a few plain sentences.
    #[schema(value_type = Texts)]
    pub message: CachedJson<Texts>,
    /// Where the newest event of the log is in the public register; null if it is not there yet.
    /// Absent unless requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RegisterEntry>)]
    // `None`, absent in JSON: not requested. `Some(None)`, null in JSON: requested, but not in the register
    // yet.
    pub register: Option<Option<RegisterEntry>>,
}

impl Verification {
    /// The seal is on timber in circulation; `why_not`: why the timber is not on offer.
    #[must_use]
    pub fn valid(parsed: ParsedCode, log: VerifiedLog, why_not: Option<NotForSale>) -> Self {
        let checks = vec![
            check("format", Outcome::Pass, "pass"),
            parsed.signature.check(),
            check("registered", Outcome::Pass, "pass"),
            check("in-circulation", Outcome::Pass, "pass"),
            check("compare", Outcome::Unknown, "unknown"),
        ];
        let message = cached_text(match why_not {
            None => "message-valid",
            Some(NotForSale::OnTheRoad) => "message-valid-on-the-road",
            Some(NotForSale::Promised) => "message-valid-promised",
            Some(NotForSale::Reseal) => "message-valid-reseal",
            Some(NotForSale::OwnUse) => "message-valid-own-use",
        });
        let for_sale = Some(ForSale { offered: why_not.is_none(), why: why_not });
        Self { for_sale, ..Self::new(Verdict::Valid, parsed, None, Some(log), checks, message) }
    }

    /// The seal is on timber that is stopped. Why, and by whom, is not public.
    #[must_use]
    pub fn held(parsed: ParsedCode, log: VerifiedLog) -> Self {
        let checks = registered(parsed.signature, "held");
        Self::new(Verdict::Held, parsed, None, Some(log), checks, cached_text("message-held"))
    }

    /// The seal is on timber that has left circulation; the log's `status` is the reason.
    #[must_use]
    pub fn closed(parsed: ParsedCode, log: VerifiedLog) -> Self {
        let checks = registered(parsed.signature, "closed");
        let message =
            Texts::of(|lang| say_with(lang, "message-closed", &[("reason", log.status.as_str().into())]))
                .into();
        let text = Texts::of(|lang| say_word(lang, "state", &log.status));
        let reason = Reason { code: log.status.clone(), text };
        Self::new(Verdict::Closed, parsed, Some(reason), Some(log), checks, message)
    }

    /// The seal is void, for the `reason` recorded (`spoiled`, `lost`, `stolen`, `destroyed` or
    /// `replaced`); with the log that carried it, if it ever was on one.
    #[must_use]
    pub fn void(parsed: ParsedCode, reason: VoidReason, log: Option<VerifiedLog>) -> Self {
        let reason = reason.as_str();
        let checks = registered(parsed.signature, "void");
        let message = Texts::of(|lang| say_with(lang, "message-void", &[("reason", reason.into())])).into();
        let text = Texts::of(|lang| say_word(lang, "void", reason));
        let reason = Reason { code: reason.to_owned(), text };
        Self::new(Verdict::Void, parsed, Some(reason), log, checks, message)
    }

    /// The seal is issued and on no log.
    #[must_use]
    pub fn unused(parsed: ParsedCode) -> Self {
        let checks = registered(parsed.signature, "unused");
        Self::new(Verdict::Unused, parsed, None, None, checks, cached_text("message-unused"))
    }

    /// The code is valid in form, but no such seal is registered. If its signature is forged, the reason is
    /// `forged` instead. A number is typed, and may be mistyped: if it has letters that look like digits, the message
    /// has the number with digits, which was not looked up, so that the response says nothing about it. Every other
    /// code is scanned, and a scan makes no mistakes.
    #[must_use]
    pub fn not_registered(parsed: ParsedCode, code: &Code) -> Self {
        let checks = vec![
            check("format", Outcome::Pass, "pass"),
            parsed.signature.check(),
            check("registered", Outcome::Fail, "fail"),
        ];
        if parsed.signature == Signature::Forged {
            return Self::unknown(parsed, "forged", cached_text("message-forged"), checks);
        }
        let message = match code {
            Code::SealNumber(typed) => match typed.with_digits() {
                Some(number) => {
                    let number = || [("number", number.as_str().into())];
                    Texts::of(|lang| say_with(lang, "message-letter-like-digit", &number())).into()
                }
                None => cached_text("message-not-registered"),
            },
            _ => cached_text("message-scanned-not-registered"),
        };
        Self::unknown(parsed, "not-registered", message, checks)
    }

    /// The code is valid in form, but forged: whatever is registered under its number, the code does not
    /// belong to that seal.
    #[must_use]
    pub fn forged(parsed: ParsedCode) -> Self {
        let checks = vec![
            check("format", Outcome::Pass, "pass"),
            Signature::Forged.check(),
            check("registered", Outcome::Unknown, "unknown"),
        ];
        let parsed = ParsedCode { seal_number: None, ..parsed };
        Self::unknown(parsed, "forged", cached_text("message-forged"), checks)
    }

    /// The input is neither a seal number nor a marking code; `why` is the parser's error.
    #[must_use]
    pub fn unreadable(sent: &str, why: &Invalid) -> Self {
        let family = unreadable_family(why.code);
        let text = Texts::of(|lang| say_word(lang, "unreadable", family));
        let meant = SealNumber::meant(sent).filter(|_| why.code == "seal-number-character");
        let message = Texts::of(|lang| {
            let reason = ("reason", text.get(lang).into());
            match &meant {
                Some(number) => {
                    let number = ("number", number.as_str().into());
                    say_with(lang, "message-unreadable-meant", &[reason, number])
                }
                None => say_with(lang, "message-unreadable", &[reason]),
            }
        })
        .into();
        let checks =
            vec![check("format", Outcome::Fail, "fail"), check("registered", Outcome::Unknown, "unknown")];
        let parsed = ParsedCode { code: sent.to_owned(), seal_number: None, signature: Signature::Absent };
        let reason = Reason { code: why.code.to_owned(), text };
        Self::new(Verdict::Unknown, parsed, Some(reason), None, checks, message)
    }

    fn unknown(
        parsed: ParsedCode,
        why: &'static str,
        message: CachedJson<Texts>,
        checks: Vec<CachedJson<Check>>,
    ) -> Self {
        let text = Texts::of(|lang| say(lang, &format!("unknown-{why}")));
        let reason = Reason { code: why.to_owned(), text };
        Self::new(Verdict::Unknown, parsed, Some(reason), None, checks, message)
    }

    fn new(
        verdict: Verdict,
        parsed: ParsedCode,
        reason: Option<Reason>,
        log: Option<VerifiedLog>,
        checks: Vec<CachedJson<Check>>,
        message: CachedJson<Texts>,
    ) -> Self {
        Self {
            verdict,
            code: parsed.code,
            seal_number: parsed.seal_number,
            for_sale: None,
            reason,
            log,
            checks,
            message,
            register: None,
        }
    }
}

/// The checks for a registered seal that is not on timber in circulation: `why` is the verdict (`closed`,
/// `void` or `unused`).
fn registered(signature: Signature, why: &'static str) -> Vec<CachedJson<Check>> {
    vec![
        check("format", Outcome::Pass, "pass"),
        signature.check(),
        check("registered", Outcome::Pass, "pass"),
        check("in-circulation", Outcome::Fail, why),
    ]
}

fn check(code: &'static str, outcome: Outcome, how: &'static str) -> CachedJson<Check> {
    static CHECKS: JsonCache<(&str, &str, Outcome), Check> = JsonCache::new();
    CHECKS.get((code, how, outcome), |_| {
        let text = Texts::of(|lang| say(lang, &format!("check-{code}-{how}")));
        Check { code: code.to_owned(), outcome, text }
    })
}

/// A sentence without values.
fn cached_text(key: &'static str) -> CachedJson<Texts> {
    static SENTENCES: JsonCache<&str, Texts> = JsonCache::new();
    SENTENCES.get(key, |key| Texts::of(|lang| say(lang, key)))
}

/// The family of a parser's error code; all error codes of a family share one sentence. An error code that is
/// not listed gets the general sentence: "enter it again" helps a buyer, details of the format do not.
fn unreadable_family(code: &str) -> &'static str {
    match code {
        "code-empty" | "seal-number-empty" => "empty",
        "code-too-long" | "element-long" => "long",
        "code-character" | "seal-number-character" | "gtin-digits" | "element-digits" => "characters",
        "code-keyboard-layout" => "keyboard",
        "gtin-check-digit" => "check-digit",
        "separator-lost" | "separator-in-value" | "code-ambiguous" => "separator",
        "gtin-missing"
        | "serial-missing"
        | "element-short"
        | "key-id-length"
        | "signature-length"
        | "signature-incomplete" => "incomplete",
        "link-without-code" | "link-percent-encoding" => "link",
        "code-is-internal-id" => "internal",
        _ => "other",
    }
}

/// A decimal of at most 4 places and 15 digits as a JSON number. Such a decimal is unchanged by conversion
/// to a double and back, so the digits written are the digits stored.
fn number<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    match value.to_f64() {
        Some(value) => serializer.serialize_f64(value),
        None => Err(serde::ser::Error::custom("decimal outside the range of a double")),
    }
}

#[expect(clippy::ref_option, reason = "the shape that serde calls")]
fn number_or_null<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => number(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(signature: Signature) -> ParsedCode {
        ParsedCode { code: "KZ00418826".into(), seal_number: Some("KZ00418826".into()), signature }
    }

    fn outcomes(verification: &Verification) -> Vec<(&str, &str)> {
        verification.checks.iter().map(|check| (check.code.as_str(), check.outcome.as_str())).collect()
    }

    #[test]
    fn the_parsers_reason_is_kept_and_told_in_each_language() {
        let why = Invalid::new("gtin-check-digit", "The check digit is 3, not 4.");
        let verification = Verification::unreadable("010487000000001321A", &why);
        assert_eq!(verification.verdict, Verdict::Unknown);
        let reason = verification.reason.unwrap();
        assert_eq!(reason.code, "gtin-check-digit");
        for lang in Lang::ALL {
            assert!(verification.message.get(lang).starts_with(reason.text.get(lang)), "{lang:?}");
        }
        assert_eq!(verification.seal_number, None);
    }

    #[test]
    fn a_parsers_new_reason_gets_the_general_sentence() {
        let verification = Verification::unreadable("?", &Invalid::new("made-up-tomorrow", "No."));
        assert_eq!(verification.reason.unwrap().text.en, say(Lang::En, "unreadable-other"));
    }

    #[test]
    fn every_family_of_reasons_has_its_sentences() {
        let codes = [
            "code-empty",
            "code-too-long",
            "code-character",
            "code-keyboard-layout",
            "gtin-check-digit",
            "separator-lost",
            "serial-missing",
            "link-without-code",
            "code-is-internal-id",
            "code-unrecognised",
        ];
        let mut texts: Vec<String> = codes
            .iter()
            .map(|code| Verification::unreadable("x", &Invalid::new(code, "")).message.kk.clone())
            .inspect(|message| assert!(!message.contains('⟦'), "{message}"))
            .collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), codes.len(), "each its own");
    }

    #[test]
    fn a_forged_code_is_told_as_such_and_gives_no_seal_away() {
        let verification = Verification::forged(parsed(Signature::Forged));
        assert_eq!(verification.reason.as_ref().unwrap().code, "forged");
        assert_eq!(verification.seal_number, None);
        assert_eq!(
            outcomes(&verification),
            [("format", "pass"), ("signature", "fail"), ("registered", "unknown")]
        );
        let typed = Code::SealNumber(SealNumber::parse("KZ000041").unwrap());
        let absent = Verification::not_registered(parsed(Signature::Forged), &typed);
        assert_eq!(absent.reason.unwrap().code, "forged");
    }

    #[test]
    fn a_void_seal_says_why() {
        let stolen = Verification::void(parsed(Signature::Absent), VoidReason::Stolen, None);
        assert!(stolen.message.ru.contains("украдена"));
        let expected = [
            ("format", "pass"),
            ("signature", "unknown"),
            ("registered", "pass"),
            ("in-circulation", "fail"),
        ];
        assert_eq!(outcomes(&stolen), expected);
    }

    #[test]
    fn numbers_in_json_are_the_stored_digits() {
        #[derive(Serialize)]
        struct One(#[serde(serialize_with = "number")] Decimal);
        for (stored, written) in [
            ("0.3300", "0.33"),
            ("0.0001", "0.0001"),
            ("999.9999", "999.9999"),
            ("1000", "1000.0"),
            ("0.1", "0.1"),
            ("49.9999", "49.9999"),
        ] {
            assert_eq!(serde_json::to_string(&One(stored.parse().unwrap())).unwrap(), written);
        }
    }
}

//! Timber that leaves the system: what `exported` and `sold` state about where it goes, and which of it is refused.
//!
//! An export states country and HS code from the day on from which [`ParameterName::ExportSpecified`] is 1. An export
//! on a day of an export ban needs a permit. A buyer's number (BIN or IIN) is hashed into the personal part, or replaced
//! by the id of the organisation that is registered with it.

use super::record::{Plan, Recorder, pointer};
use super::request::{NewCustodyEvent, Readable};
use crate::base::as_text;
use crate::base::country::Country;
use crate::base::error::{FieldError, Location, Result};
use crate::base::ids::{LogId, OrganizationId};
use crate::base::input::{RequestErrors, input};
use crate::base::units::{LocalDate, Reference, Text};
use crate::evidence::chain::Tx;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::BuyerKind;
use crate::timber::finding::rules::{Draft, departure as rules};
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use crate::timber::party::bin::Bin;
use crate::timber::ticket::ban::{ExportBan, export_bans};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

input! {
    /// A permit for an export that is banned.
    pub struct Permit {
        /// Number.
        pub number: Reference,
        /// Day of issue.
        pub issued_on: LocalDate,
        /// The authority that issued it.
        #[schema(example = "ҚР ЭТРМ Орман шаруашылығы комитеті")]
        pub issuer: Text<100>,
    }

    /// The buyer of sold timber.
    pub struct Buyer {
        /// A person or an organisation.
        pub kind: BuyerKind,
        /// BIN or IIN: personal data, unless an organisation is registered with it.
        pub bin: Option<Bin>,
        /// Country; default: KZ. Timber that goes to another country is exported, not sold.
        pub country: Option<Country>,
    }
}

/// A permit, as it is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitPart {
    /// Number.
    pub number: String,
    /// Day of issue.
    pub issued_on: NaiveDate,
    /// The authority that issued it.
    pub issuer: String,
}

/// A buyer, as it is hashed: without its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuyerPart {
    /// A person or an organisation.
    pub kind: BuyerKind,
    /// Country.
    #[serde(with = "as_text")]
    pub country: Country,
    /// The organisation that is registered with the buyer's number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub organization: Option<OrganizationId>,
}

/// The personal part of a sale to a buyer that is not registered.
#[derive(Serialize)]
pub(super) struct BuyerNumber {
    pub(super) v: u8,
    pub(super) bin: Bin,
}

impl Permit {
    /// As it is hashed.
    #[must_use]
    pub fn part(&self) -> PermitPart {
        PermitPart {
            number: self.number.as_str().to_owned(),
            issued_on: self.issued_on.day(),
            issuer: self.issuer.as_str().to_owned(),
        }
    }
}

impl Buyer {
    /// As it is hashed; `organization` is the one that is registered with its number.
    #[must_use]
    pub fn part(&self, organization: Option<OrganizationId>) -> BuyerPart {
        BuyerPart { kind: self.kind, country: self.country.unwrap_or(Country::KAZAKHSTAN), organization }
    }
}

/// Checks what the request itself states.
pub(super) fn check_request(request: &NewCustodyEvent, parameters: &Parameters, errors: &mut RequestErrors) {
    let mut refuse =
        |at, code, detail: &'static str| errors.invalid.push(FieldError::new(pointer(at), code, detail));
    if request.r#type == LogEventType::Exported {
        if parameters.whole(ParameterName::ExportSpecified, request.occurred_at.day().day()) == 1 {
            if request.country.is_none() {
                refuse("/country", "required", "`exported` needs `country`.");
            }
            if request.hs.is_none() {
                refuse("/hs", "required", "`exported` needs `hs`.");
            }
        }
        if request.country == Some(Country::KAZAKHSTAN) {
            refuse("/country", "country-not-foreign", "An export goes to another country than KZ.");
        }
    }
    let permit = request.permit.as_ref().map(|permit| permit.issued_on.day());
    if permit.is_some_and(|issued_on| issued_on > request.occurred_at.day().day()) {
        let detail = "The permit was issued after the day of the export: it permitted nothing on that day.";
        refuse("/permit/issued_on", "permit-after-export", detail);
    }
    let buyer = request.buyer.as_ref().and_then(|buyer| buyer.country);
    if buyer.is_some_and(|country| country != Country::KAZAKHSTAN) {
        let detail =
            "Timber that goes to another country is exported: record `exported` with country and HS code.";
        refuse("/buyer/country", "export-it", detail);
    }
}

/// The export bans that are on these logs, on the day of the export or on that of its receipt; none for another event.
///
/// # Errors
/// From the database.
pub(super) async fn bans_on(
    tx: &mut Tx<'_>,
    recorder: &Recorder<'_>,
    logs: &[LogId],
) -> Result<Vec<ExportBan>> {
    let request = recorder.request;
    if request.r#type != LogEventType::Exported {
        return Ok(Vec::new());
    }
    let days = [request.occurred_at.day().day(), LocalDate::of(recorder.now).day()];
    export_bans(tx, logs, request.hs.as_ref(), days).await
}

impl Recorder<'_> {
    /// Checks the HS code against the things, and each of them against the export bans.
    pub(super) fn check_departure(
        &self,
        plans: &[Plan],
        readable: &Readable,
        positions: &[usize],
        errors: &mut RequestErrors,
    ) {
        let request = self.request;
        if request.r#type != LogEventType::Exported {
            return;
        }
        if let Some(hs) = &request.hs
            && let Some(plan) = plans.iter().find(|plan| !hs.fits(plan.row.state.kind))
        {
            let detail = format!(
                "{hs} is not the code of a {}: logs are 4403, stacks 4401 or 4403.",
                plan.row.state.kind
            );
            errors.invalid.push(FieldError::new(pointer("/hs"), "hs-unlike-wood", detail));
        }
        if request.permit.is_some() {
            return;
        }
        let day = request.occurred_at.day().day();
        for (plan, position) in plans.iter().zip(positions) {
            let ban = self.bans.iter().find(|ban| ban.log == plan.row.id && ban.covers(day));
            errors.conflict.push_some(ban.map(|ban| banned(ban, readable.log(*position))));
        }
    }

    /// The findings about where a log goes.
    pub(super) fn departure_findings(&self, log: LogId) -> Vec<Draft> {
        let request = self.request;
        match request.r#type {
            LogEventType::Exported => {
                let day = request.occurred_at.day().day();
                let unspecified = rules::export_unspecified(request.country.is_some(), request.hs.is_some());
                let bans = self.bans.iter().filter(|ban| ban.log == log);
                let of_ban = |ban: &ExportBan| match &request.permit {
                    Some(permit) if ban.covers(day) => {
                        Some(rules::export_permit(permit.number.as_str(), &ban.number))
                    }
                    _ if day < ban.from => Some(rules::export_before_ban(day, &ban.number)),
                    _ => None,
                };
                unspecified.into_iter().chain(bans.filter_map(of_ban)).collect()
            }
            LogEventType::Sold => {
                rules::sale_without_buyer(request.buyer.is_some(), request.document.is_some())
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

fn banned(ban: &ExportBan, at: Location) -> FieldError {
    let detail = format!(
        "Export is banned from {} to {} (document {}); a permit is required.",
        ban.from, ban.until, ban.number
    );
    FieldError::new(at, "export-banned", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::OperationId;
    use crate::base::units::Moment;
    use crate::evidence::chain::bytes::{Part, Salt, commit};
    use crate::evidence::chain::canonical;
    use crate::timber::custody::content::{LogBusiness, LogPublic};
    use crate::timber::event::parts::LocalTime;
    use crate::timber::wood::hs::HsCode;
    use crate::timber::wood::species::LogKind;

    /// The vectors "Timber that leaves the system" in `docs/CHAIN.md`; their commitments were made with Python's
    /// hashlib.
    #[test]
    fn an_export_and_a_sale_have_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let bare = || {
            let at = LocalTime::of(Moment::parse("2026-11-28T09:00:00+05:00").unwrap());
            LogBusiness::bare(LogId(id(99)), at, id(2).into(), id(3).into(), OperationId(id(4)))
        };
        let public =
            |of| canonical::text(&LogPublic::bare(of, LogKind::Log, "2026-11-28".parse().unwrap(), None));
        let exported = LogBusiness {
            country: Some(Country::parse("UZ").unwrap()),
            hs: Some(HsCode::parse("4403").unwrap()),
            permit: Some(PermitPart {
                number: "77".to_owned(),
                issued_on: "2026-11-20".parse().unwrap(),
                issuer: "Орман комитеті".to_owned(),
            }),
            ..bare()
        };
        let buyer = Buyer { kind: BuyerKind::Organization, bin: None, country: None };
        let sold = LogBusiness { buyer: Some(buyer.part(None)), ..bare() };
        let bin = Bin::parse("040640000028").unwrap();
        let texts = [
            (Part::Public, public(LogEventType::Exported)),
            (Part::Business, canonical::text(&exported)),
            (Part::Public, public(LogEventType::Sold)),
            (Part::Business, canonical::text(&sold)),
            (Part::Personal, canonical::text(&BuyerNumber { v: 1, bin })),
        ];
        let page = include_str!("../../../docs/CHAIN.md");
        for (part, text) in texts {
            let salt = match part {
                Part::Public => "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
                Part::Business => "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
                Part::Personal => "d8e62e55185b2d880508db3ccb92dea262e87fa9853da45071d891c709d505d9",
            };
            let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
            assert!(page.contains(&format!("`{text}` | `{}`", commit(part, &salt, &text))), "{text}");
        }
    }
}

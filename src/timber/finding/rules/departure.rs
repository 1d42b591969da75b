//! Rules about timber that leaves the system: exported or sold.

use super::{Draft, Rule, Severity};
use chrono::NaiveDate;

/// An export without country and HS code.
pub const EXPORT_UNSPECIFIED: Rule = Rule {
    id: "export-unspecified",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "Timber was exported without a country or an HS code, on a day on which they were not required yet.",
};

/// An export in a ban, with a permit.
pub const EXPORT_PERMIT: Rule = Rule {
    id: "export-permit",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "Timber was exported in an export ban, with a permit.",
};

/// An export that was recorded in a ban for a day before it.
pub const EXPORT_BEFORE_BAN: Rule = Rule {
    id: "export-before-ban",
    version: 1,
    severity: Severity::Warning,
    legal_basis: None,
    about: "An export was recorded while an export ban was in force, for a day before it.",
};

/// A sale without a buyer.
pub const SALE_WITHOUT_BUYER: Rule = Rule {
    id: "sale-without-buyer",
    version: 1,
    severity: Severity::Notice,
    legal_basis: None,
    about: "Timber was sold without a buyer and without a document.",
};

/// The rules of this file.
pub const ALL: [Rule; 4] = [EXPORT_UNSPECIFIED, EXPORT_PERMIT, EXPORT_BEFORE_BAN, SALE_WITHOUT_BUYER];

/// A finding if an export states no country or no HS code.
#[must_use]
pub fn export_unspecified(has_country: bool, has_hs: bool) -> Option<Draft> {
    let lacks = match (has_country, has_hs) {
        (true, true) => return None,
        (false, true) => "country",
        (true, false) => "hs",
        (false, false) => "country_and_hs",
    };
    Some(EXPORT_UNSPECIFIED.found(EXPORT_UNSPECIFIED.severity).input("lacks", lacks))
}

/// The finding for an export on a day of a ban (`document` decided it), with a permit.
#[must_use]
pub fn export_permit(permit: &str, document: &str) -> Draft {
    EXPORT_PERMIT.found(EXPORT_PERMIT.severity).input("permit", permit).input("document", document)
}

/// The finding for an export that is said to have happened before a ban, and is recorded in it.
#[must_use]
pub fn export_before_ban(on: NaiveDate, document: &str) -> Draft {
    EXPORT_BEFORE_BAN.found(EXPORT_BEFORE_BAN.severity).input("exported_on", on).input("document", document)
}

/// A finding if a sale names neither buyer nor document.
#[must_use]
pub fn sale_without_buyer(has_buyer: bool, has_document: bool) -> Option<Draft> {
    (!has_buyer && !has_document).then(|| SALE_WITHOUT_BUYER.found(SALE_WITHOUT_BUYER.severity))
}

//! What an administrator still has to set before a server makes real seals, and who the operator is.

use super::publisher::is_loopback;
use crate::base::config::ServeSettings;
use crate::base::error::{Invalid, Result};
use crate::base::units::Text;
use crate::timber::party::bin::Bin;
use crate::timber::party::bootstrap::DEMONSTRATION_BIN;
use crate::timber::party::organization::{persons_as_legal_entities, with_conflicting_roles};
use crate::timber::seal::gs1::Gtin;
use sqlx::PgPool;

/// Name of the operator that a first start creates, unless the settings give one.
const OPERATOR: &str = "Орман таңбалау операторы";

/// Why this server should not make seals yet: their codes would lead to this machine only, or are those of
/// demonstrations. `None` if they are real, or the administrator allows it.
pub(super) fn demonstration_codes(settings: &ServeSettings, public_url: &str, gtin: Gtin) -> Option<String> {
    let mut reasons = Vec::new();
    if is_loopback(public_url) {
        reasons.push("the codes on seals would lead to this machine only: set --public-url");
    }
    if gtin.is_demonstration() {
        reasons.push("the GTIN is of the range for demonstrations: set --gtin");
    }
    (!settings.allow_demonstration_codes && !reasons.is_empty()).then(|| reasons.join("; "))
}

/// Name and BIN of the operator that a first start creates.
///
/// # Errors
/// The settings have a number that is no BIN.
pub(super) fn operator(settings: Option<&ServeSettings>) -> Result<(Text<200>, Bin), Invalid> {
    let name = settings.and_then(|settings| settings.operator_name.as_deref()).unwrap_or(OPERATOR);
    let bin = settings.and_then(|settings| settings.operator_bin.as_deref()).unwrap_or(DEMONSTRATION_BIN);
    Ok((Text::parse(name)?, Bin::parse(bin)?))
}

/// Warns about organisations that were registered before the rules of today.
pub(super) async fn warn_about_organizations(pool: &PgPool) -> Result<()> {
    let listed = |ids: Vec<crate::base::ids::OrganizationId>| {
        (!ids.is_empty()).then(|| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    };
    if let Some(ids) = listed(persons_as_legal_entities(pool).await?) {
        tracing::warn!(
            organizations = ids,
            "these organisations are registered as legal entities, but their number is a person's (IIN); the \
             public check does not show their names"
        );
    }
    if let Some(ids) = listed(with_conflicting_roles(pool).await?) {
        tracing::warn!(
            organizations = ids,
            "these organisations are an operator or inspector, and an enterprise or forest owner too: they would \
             supervise their own timber; change their roles (PATCH /v1/organizations/{{id}})"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: ServeSettings,
    }

    fn settings(arguments: &[&str]) -> ServeSettings {
        Line::try_parse_from([&["serve"], arguments].concat())
            .unwrap_or_else(|error| panic!("{error}"))
            .settings
    }

    #[test]
    fn seals_are_made_with_real_codes_or_with_permission() {
        let real = Gtin::parse("04870000000012").unwrap();
        for (url, gtin, allowed, reasons) in [
            ("https://wood.example", real, false, 0),
            ("http://127.0.0.1:8080", real, false, 1),
            ("https://wood.example", Gtin::DEMONSTRATION, false, 1),
            ("http://localhost", Gtin::DEMONSTRATION, false, 2),
            ("http://localhost", Gtin::DEMONSTRATION, true, 0),
        ] {
            let arguments: &[&str] = if allowed { &["--allow-demonstration-codes"] } else { &[] };
            let refused = demonstration_codes(&settings(arguments), url, gtin);
            assert_eq!(refused.map_or(0, |text| text.split("; ").count()), reasons, "{url} {gtin} {allowed}");
        }
    }

    #[test]
    fn the_operator_is_given_completely_or_not_at_all() {
        let real = settings(&["--operator-name", "РМҚК «Орман»", "--operator-bin", "040640000028"]);
        let (name, bin) = operator(Some(&real)).unwrap();
        assert_eq!((name.as_str(), bin.as_str()), ("РМҚК «Орман»", "040640000028"));
        let (name, bin) = operator(None).unwrap();
        assert_eq!((name.as_str(), bin.as_str()), (OPERATOR, DEMONSTRATION_BIN));
        let wrong = settings(&["--operator-name", "РМҚК «Орман»", "--operator-bin", "040640000029"]);
        assert!(operator(Some(&wrong)).is_err());
        assert!(Line::try_parse_from(["serve", "--operator-name", "РМҚК «Орман»"]).is_err());
        assert!(Line::try_parse_from(["serve", "--operator-bin", "040640000028"]).is_err());
    }
}

//! Query strings.

use super::listed;
use crate::base::error::Location;
use crate::base::input::{Document, input};

input! {
    /// A filter for logs.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub(super) struct Filter {
        /// The holder.
        pub holder: Option<String>,
        /// Maximum number of logs.
        pub limit: Option<u32>,
        /// Whether this is a dry run.
        pub dry_run: Option<bool>,
        /// Only logs of one ticket.
        pub felling_ticket: Option<crate::base::ids::TicketId>,
    }
}

fn read(query: &str) -> Result<Filter, String> {
    Document::query(Some(query)).expect("well-formed").read().map_err(|errors| listed(&errors))
}

#[test]
fn parameters_are_read_decoded() {
    let filter = read("holder=%D0%A1%D0%B5%D0%BC%D0%B5%D0%B9+%2B1&limit=0100&&dry_run=true").expect("good");
    assert_eq!(filter.holder.as_deref(), Some("Семей +1"));
    assert_eq!((filter.limit, filter.dry_run), (Some(100), Some(true)));
    assert!(filter.felling_ticket.is_none());
    let nothing: Filter = Document::query(None).expect("well-formed").read().expect("good");
    assert!(nothing.limit.is_none());
}

#[test]
fn faults_are_told_by_parameter_all_at_once() {
    assert_eq!(
        read("limit=1e3&limt=5&dry_run=yes&felling_ticket=&limit=2&offset").expect_err("faulty"),
        "?limit duplicate-parameter
?limt unknown-parameter
?offset unknown-parameter
?limit not-a-number
?dry_run wrong-type
?felling_ticket not-a-uuid"
    );
    assert_eq!(read("limit=1,5").expect_err("a comma"), "?limit not-a-number");
    assert_eq!(read("limit=-1").expect_err("negative"), "?limit out-of-range");
    assert_eq!(read("lim%69t=1&limit=1").expect_err("twice"), "?limit duplicate-parameter");
}

#[test]
fn broken_escapes_are_malformed() {
    for (query, parameter, code) in [
        ("limit=%", "limit", "not-a-query"),
        ("limit=%2", "limit", "not-a-query"),
        ("limit=%+1", "limit", "not-a-query"),
        ("holder=%FF", "holder", "not-a-query"),
        ("holder=a%00b", "holder", "nul-character"),
        ("%00=1", "", "nul-character"),
        (&(0..101).map(|name| format!("p{name}")).collect::<Vec<_>>().join("&"), "", "too-many-values"),
    ] {
        let error = Document::query(Some(query)).expect_err("malformed");
        assert_eq!((error.at, error.code), (Location::Query(parameter.into()), code), "{query}");
    }
}

//! Findings: records that look suspicious. Lists with filters, one finding, and the registry of rules.

use crate::base::i18n::Lang;
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::base::input::{Sheet, input};
use crate::base::units::{Moment, Text};
use crate::http::core::accept::rank;
use crate::http::core::app::App;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, Query, id_in_path};
use crate::http::core::response::Aborted;
use crate::timber::event::actor::desk_moment;
use crate::timber::finding::read::{
    FindingCursor, FindingDetail, FindingFilter, FindingOrder, ListedFinding, get, list,
};
use crate::timber::finding::registry;
use crate::timber::finding::row::{Finding, FindingState};
use crate::timber::finding::rules::Severity;
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::{TryStreamExt, stream};
use serde::Serialize;
use tracing::Span;
use utoipa::{IntoParams, ToSchema};

input! {
    /// Filters and order of the findings.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct FindingQuery {
        /// Only findings of this rule.
        #[param(value_type = Option<String>)]
        pub rule: Option<Text<40>>,
        /// Only findings of this severity.
        pub severity: Option<Severity>,
        /// Only findings in this state.
        pub state: Option<FindingState>,
        /// Only findings that question this organisation.
        pub organization: Option<OrganizationId>,
        /// Only findings about this log, or shown by one of its events.
        pub log: Option<LogId>,
        /// Only findings about this felling ticket, or about a log of it.
        pub ticket: Option<TicketId>,
        /// Made at this time or later.
        pub from: Option<Moment>,
        /// Made before this time.
        pub to: Option<Moment>,
        /// The order; `time` by default. A list by `rank` consists of the findings that existed when its first page was
        /// read.
        pub order: Option<FindingOrder>,
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

/// The language of the sentences: the one that the client prefers, English if it prefers none of the three.
pub(in crate::http) fn sentence_language(headers: &HeaderMap) -> Lang {
    let accept = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Lang::accepted(accept).unwrap_or(Lang::En)
}

/// Adds the headers on which the response depends.
fn varied(mut response: Response) -> Response {
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-language"));
    response
}

/// Findings that question the caller; all findings for an inspector
///
/// A finding marks a record as suspicious; the record was accepted nevertheless. As CSV (`Accept: text/csv`) the list
/// has no pages, unless `limit` is given.
#[utoipa::path(
    get, path = "/v1/findings", operation_id = "list_findings", tag = "findings", security(("token" = [])), params(FindingQuery),
    responses(
        (status = 200, description = "A page of findings, or by `Accept` the list as a table",
         content((Page<Finding> = "application/json"), (String = "text/csv"))),
    )
)]
pub async fn list_findings(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<FindingQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key::<FindingCursor>(query.cursor.as_ref())?;
    let (lang, order) = (sentence_language(&headers), query.order.unwrap_or(FindingOrder::Time));
    let filter = FindingFilter {
        rule: query.rule.map(|rule| rule.as_str().to_owned()),
        severity: query.severity,
        state: query.state,
        organization: query.organization,
        log: query.log,
        ticket: query.ticket,
        from: query.from.map(Moment::instant),
        to: query.to.map(Moment::instant),
    };
    let reader = Reader::from(&caller);
    if rank(&headers, "text/csv", "text/csv") > rank(&headers, "application/json", "application/json") {
        let left = query.limit.map_or(i64::MAX, |limit| Limit::of(Some(limit)));
        let table = Table { app, reader, filter, order, lang, after, left };
        return table.respond().await;
    }
    let page = (Limit::probe(query.limit), app.clock.now());
    let mut db = app.connection(caller.organization).await?;
    let rows = list(&mut **db, reader, &filter, order, after, page).await?;
    drop(db);
    let item = |row: ListedFinding| row.finding.in_language(lang);
    Ok(varied(Page::of(&cursors, rows, query.limit, |row| row.cursor, item).into_response(&uri)))
}

/// Rows of the table that are read at once.
const TABLE_PIECE: i64 = 500;

/// A list of findings as a table, which is read and sent piece by piece.
struct Table {
    app: App,
    reader: Reader,
    filter: FindingFilter,
    order: FindingOrder,
    lang: Lang,
    after: Option<FindingCursor>,
    left: i64,
}

impl Table {
    const COLUMNS: [&'static str; 14] = [
        "id",
        "created_at",
        "rule",
        "version",
        "severity",
        "score",
        "state",
        "count",
        "subject",
        "subject_id",
        "organization",
        "log",
        "ticket",
        "detail",
    ];

    /// The first piece is read before the response begins, so that an error is still a problem document.
    async fn respond(mut self) -> Result<Response, Problem> {
        let mut sheet = Sheet::with_bom();
        sheet.row(Self::COLUMNS);
        let mut first = sheet.take();
        first.extend(self.piece().await?.unwrap_or_default());
        let rest = stream::try_unfold(self, |mut table| async move {
            Ok::<_, Problem>(table.piece().await?.map(|piece| (piece, table)))
        });
        let span = Span::current();
        let rest = rest.map_err(move |problem| Aborted::after(&problem, &span));
        let body = Body::from_stream(stream::StreamExt::chain(stream::iter([Ok(Bytes::from(first))]), rest));
        Ok(varied(([(CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response()))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let page = (self.left.min(TABLE_PIECE), self.app.clock.now());
        if page.0 <= 0 {
            return Ok(None);
        }
        let mut db = self.app.connection(self.reader.organization).await?;
        let rows = list(&mut **db, self.reader, &self.filter, self.order, self.after, page).await?;
        drop(db);
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = Some(last.cursor);
        self.left -= i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let mut sheet = Sheet::new();
        for row in rows {
            let finding = row.finding.in_language(self.lang);
            let text = |id: Option<String>| id.unwrap_or_default();
            sheet.row([
                finding.id.to_string(),
                crate::base::units::utc_text(finding.created_at),
                finding.rule,
                finding.version.to_string(),
                finding.severity.to_string(),
                finding.score.to_string(),
                finding.state.to_string(),
                finding.count.to_string(),
                finding.subject.kind.to_owned(),
                finding.subject.id.to_string(),
                text(finding.organization.map(|party| party.to_string())),
                text(finding.log.map(|log| log.to_string())),
                text(finding.ticket.map(|ticket| ticket.to_string())),
                finding.detail,
            ]);
        }
        Ok(Some(sheet.take().into()))
    }
}

/// One finding
///
/// With its figures, the sentence in three languages, its evidence, and the explanations and decisions so far.
#[utoipa::path(
    get, path = "/v1/findings/{id}", operation_id = "get_finding", tag = "findings", security(("token" = [])),
    params(("id" = FindingId, Path, description = "The finding")),
    responses(
        (status = 200, description = "The finding", body = FindingDetail),
        (status = 404, description = "Absent, or you may not see it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_finding(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = id_in_path(&id)?;
    let mut db = app.connection(caller.organization).await?;
    let detail = get(&mut db, Reader::from(&caller), id).await?;
    let finding = detail.finding.in_language(sentence_language(&headers));
    Ok(varied(Json(FindingDetail { finding, ..detail }).into_response()))
}

/// A figure of a rule's findings.
#[derive(Serialize, ToSchema)]
pub struct RuleInput {
    /// Its name in `inputs`.
    name: &'static str,
    /// What it means.
    about: &'static str,
}

/// A parameter that a rule is judged by.
#[derive(Serialize, ToSchema)]
pub struct RuleParameter {
    /// Its name.
    name: &'static str,
    /// What it limits.
    about: &'static str,
    /// Its unit.
    unit: &'static str,
    /// The value in force today.
    #[schema(value_type = f64)]
    value: serde_json::Value,
}

/// A rule that makes findings.
#[derive(Serialize, ToSchema)]
pub struct RuleView {
    /// Its id.
    id: &'static str,
    /// Its version.
    version: u16,
    /// The highest severity of its findings.
    severity: Severity,
    /// What it detects, in one sentence.
    about: &'static str,
    /// The law on which it is based, if one is known.
    legal_basis: Option<&'static str>,
    /// The figures of its findings.
    inputs: Vec<RuleInput>,
    /// The parameters that it is judged by.
    parameters: Vec<RuleParameter>,
    /// What it cannot see.
    blind_to: &'static str,
}

/// All rules.
#[derive(Serialize, ToSchema)]
pub struct RuleList {
    /// The rules.
    items: Vec<RuleView>,
    /// Always null: the list is one page.
    next: Option<String>,
}

/// The rules that make findings
///
/// What each detects, by which law, from which figures, by which parameters, and what it cannot see.
#[utoipa::path(
    get, path = "/v1/rules", operation_id = "list_rules", tag = "findings", security(("token" = [])),
    responses((status = 200, description = "All rules", body = RuleList))
)]
pub async fn list_rules(
    State(app): State<App>,
    _caller: Caller,
    _: NoQuery,
) -> Result<Json<RuleList>, Problem> {
    let parameters = app.rulebook.parameters();
    let today = desk_moment(app.clock.now())?.day().day();
    let items = registry::all().map(|(rule, notes)| {
        let inputs = notes.map_or(&[][..], |notes| notes.inputs).iter();
        let names = notes.map_or(&[][..], |notes| notes.parameters).iter();
        RuleView {
            id: rule.id,
            version: rule.version,
            severity: rule.severity,
            about: rule.about,
            legal_basis: rule.legal_basis,
            inputs: inputs.map(|(name, about)| RuleInput { name, about }).collect(),
            parameters: names
                .map(|name| {
                    let definition = name.definition();
                    let value = parameters.on(*name, today).normalize().to_string();
                    let (about, unit) = (definition.about, definition.unit);
                    let value = serde_json::from_str(&value).unwrap_or_default();
                    RuleParameter { name: name.as_str(), about, unit, value }
                })
                .collect(),
            blind_to: notes.map_or("", |notes| notes.blind_to),
        }
    });
    Ok(Json(RuleList { items: items.collect(), next: None }))
}

//! One field for anything: a seal number, a code, a ticket, a BIN, a name, a number plate. The page says how the text was
//! understood, and shows what the caller may see of each.

use super::layout::{Frame, page};
use super::logs::{log_path, log_table, tickets_of};
use super::session::Desk;
use super::table::{Cell, Table};
use super::values::Values;
use super::words::verdict_word;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::percent;
use crate::http::api::logs::page_of_logs;
use crate::http::api::verify::check_many;
use crate::http::core::app::App;
use crate::http::core::auth::{HistoryReader, UnresolvedCaller};
use crate::http::core::paging::{Cursors, Limit};
use crate::http::core::problem::Problem;
use crate::services::verification::answer::Verdict;
use crate::timber::custody::log::list::LogFilter;
use crate::timber::custody::log::read::LogView;
use crate::timber::party::bin::Bin;
use crate::timber::party::organization::{OrganizationFilter, list as list_organizations};
use crate::timber::seal::{Code, SealNumber};
use askama::Template;
use axum::extract::{OriginalUri, State};
use axum::response::Response;

/// Longest text, in characters: a code has at most as many.
const MAX_CHARS: usize = 2_048;
/// Results of each kind.
const SHOWN: &str = "20";
const SHOWN_ROWS: i64 = 20;
/// A shorter text is in too many names.
const MIN_NAME: usize = 3;

#[derive(Template)]
#[template(path = "desk/search.html")]
struct Search {
    frame: Frame,
    query: String,
    /// How the text was understood.
    understood: Vec<String>,
    seal: Option<Seal>,
    /// What may have been meant, with its path.
    meant: Option<(String, String)>,
    tables: Vec<Table>,
    /// Whether there is nothing to show.
    nothing: bool,
}

/// The seal that a code names.
struct Seal {
    verdict: String,
    tone: &'static str,
    message: String,
    number: String,
    path: String,
    /// Whether the caller may see its log.
    visible: bool,
}

/// `GET /desk/search?q=`.
pub async fn search(
    State(app): State<App>,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (lang, query) = (desk.lang, Values::of_query(&uri).get("q"));
    let frame = desk.frame().searching(&query);
    let title = match query.as_str() {
        "" => frame.say("desk-search-title"),
        query => {
            let shown: String = query.chars().take(60).collect();
            say_with(lang, "desk-search-for", &[("query", shown.into())])
        }
    };
    let mut found = Search {
        frame: frame.titled(title),
        understood: Vec::new(),
        seal: None,
        meant: None,
        tables: Vec::new(),
        nothing: false,
        query,
    };
    let query = found.query.clone();
    if !query.is_empty() && query.chars().count() <= MAX_CHARS {
        found.codes(&app, &desk, &unresolved, &query).await?;
        found.tickets(&app, &desk, &query).await?;
        found.organizations(&app, &desk, &query).await?;
        found.vehicles(&app, &desk, &query).await?;
    }
    found.nothing = !query.is_empty() && found.seal.is_none() && found.tables.is_empty();
    if found.nothing && found.understood.is_empty() {
        found.understood.push(say(lang, "desk-understood-nothing"));
    }
    Ok(page(&found))
}

impl Search {
    /// Seal numbers and codes: the verdict that a buyer gets, and the log if the caller may see it.
    async fn codes(
        &mut self,
        app: &App,
        desk: &Desk,
        unresolved: &UnresolvedCaller,
        query: &str,
    ) -> Result<(), Problem> {
        let lang = desk.lang;
        let Ok(code) = Code::parse(query) else {
            self.meant = SealNumber::meant(query).map(|number| meant(&number));
            return Ok(());
        };
        if let Code::LogId(_) = code {
            let logs = logs(app, desk, LogFilter { seal: Some(code), ..LogFilter::default() }).await?;
            self.understood.push(say(lang, "desk-understood-id"));
            self.add(log_table(lang, say(lang, "desk-found-logs"), &logs));
            return Ok(());
        }
        let verification = check_many(app, unresolved, &[query]).await?.pop();
        let Some(verification) = verification else { return Ok(()) };
        let Some(number) = verification.seal_number.clone() else {
            let looks_like_number = matches!(&code, Code::SealNumber(_));
            // Many texts look like a number, such as a number plate. It is a code only if it begins as one.
            if !looks_like_number || query.chars().any(|c| c.is_ascii_digit()) {
                let key =
                    if looks_like_number { "desk-understood-no-seal" } else { "desk-understood-no-code" };
                self.understood.push(say(lang, key));
            }
            self.meant = SealNumber::meant(query).map(|number| meant(&number));
            return Ok(());
        };
        let key =
            if matches!(code, Code::SealNumber(_)) { "desk-understood-seal" } else { "desk-understood-code" };
        self.understood.push(say(lang, key));
        let offered = verification.for_sale.as_ref().is_none_or(|for_sale| for_sale.offered);
        let visible = crate::http::api::logs::visible_log(app, unresolved, &number).await.is_ok();
        let path =
            if visible { log_path(&number) } else { format!("/verify/{}", percent::encode_segment(&number)) };
        self.seal = Some(Seal {
            verdict: verdict_word(verification.verdict, offered, lang),
            tone: if offered || verification.verdict != Verdict::Valid {
                verification.verdict.as_str()
            } else {
                "closed"
            },
            message: verification.message.get(lang).to_owned(),
            number,
            path,
            visible,
        });
        Ok(())
    }

    async fn tickets(&mut self, app: &App, desk: &Desk, query: &str) -> Result<(), Problem> {
        let lang = desk.lang;
        let tickets = tickets_of(app, desk, query).await?;
        let mut table = Table::new(say(lang, "desk-found-tickets"), String::new())
            .column(say(lang, "ticket"))
            .column(say(lang, "holder"))
            .column(say(lang, "forestry"))
            .column(say(lang, "status"));
        for ticket in tickets {
            let nameless = || say(lang, "desk-nameless");
            table.row(vec![
                Cell::link(
                    format!("{} {}", ticket.series, ticket.number),
                    format!("/desk/logs?ticket={}", ticket.id),
                ),
                Cell::text(ticket.holder_name.unwrap_or_else(nameless)),
                Cell::text(ticket.origin.forestry),
                Cell::text(say_word(lang, "ticket-status", ticket.status.as_str())),
            ]);
        }
        if !table.is_empty() {
            self.understood.push(say(lang, "desk-understood-ticket"));
        }
        self.add(table);
        Ok(())
    }

    /// By BIN or IIN, or by a part of the name.
    async fn organizations(&mut self, app: &App, desk: &Desk, query: &str) -> Result<(), Problem> {
        let (lang, caller) = (desk.lang, desk.caller());
        let bin = Bin::parse(query).ok();
        if bin.is_none() && query.chars().count() < MIN_NAME {
            return Ok(());
        }
        let key = if bin.is_some() { "desk-understood-bin" } else { "desk-understood-name" };
        let is_bin = bin.is_some();
        let filter = OrganizationFilter { name: (!is_bin).then(|| query.to_owned()), bin, role: None };
        let mut db = app.connection(caller.organization).await?;
        let organizations = list_organizations(&mut **db, caller, &filter, None, SHOWN_ROWS).await?;
        let mut table = Table::new(say(lang, "desk-found-organizations"), String::new())
            .column(say(lang, "desk-organization"))
            .column(say(lang, "desk-bin"))
            .column(say(lang, "desk-roles"));
        for organization in organizations {
            let roles = organization.roles.iter().map(|role| say_word(lang, "role", role.as_str()));
            let name = Cell::text(organization.name.unwrap_or_else(|| say(lang, "desk-nameless")));
            let suspended = organization.suspended_since.is_some();
            table.row(vec![
                if suspended { name.note(say(lang, "desk-suspended")) } else { name },
                Cell::of(organization.bin.map(|bin| bin.as_str().to_owned())),
                Cell::text(roles.collect::<Vec<_>>().join(", ")),
            ]);
        }
        if is_bin || !table.is_empty() {
            self.understood.push(say(lang, key));
        }
        self.add(table);
        Ok(())
    }

    async fn vehicles(&mut self, app: &App, desk: &Desk, query: &str) -> Result<(), Problem> {
        // A plate has digits and is short.
        let short = query.chars().count() <= 15 && query.chars().any(|c| c.is_ascii_digit());
        if !short {
            return Ok(());
        }
        let filter = LogFilter { vehicle: Some(query.to_owned()), ..LogFilter::default() };
        let logs = logs(app, desk, filter).await?;
        if !logs.is_empty() {
            self.understood.push(say(desk.lang, "desk-understood-plate"));
        }
        self.add(log_table(desk.lang, say(desk.lang, "desk-found-on-vehicle"), &logs));
        Ok(())
    }

    fn add(&mut self, table: Table) {
        if !table.is_empty() {
            self.tables.push(table);
        }
    }
}

/// The logs of a filter within the caller's sight; none for the operator, who reads no histories.
async fn logs(app: &App, desk: &Desk, filter: LogFilter) -> Result<Vec<LogView>, Problem> {
    if HistoryReader::of(desk.caller().clone()).is_err() {
        return Ok(Vec::new());
    }
    let limit = Limit::parse(SHOWN).ok();
    let cursors = Cursors::of(app, desk.caller().organization, &desk.uri);
    let filter = LogFilter { limit: Limit::probe(limit), ..filter };
    Ok(page_of_logs(app, &cursors, desk.reader(), filter, limit).await?.items)
}

/// A number that may have been meant, and the search for it. It was not looked up.
fn meant(number: &SealNumber) -> (String, String) {
    let number = number.as_str();
    (number.to_owned(), format!("/desk/search?q={}", percent::encode_segment(number)))
}

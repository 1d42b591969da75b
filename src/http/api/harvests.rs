//! Harvests: recorded as one batch, from JSON or CSV; `dry_run` stores nothing.

use crate::base::error::{Error, FieldError, Invalid, Location};
use crate::base::i18n::Lang;
use crate::base::ids::HarvestId;
use crate::base::input::{Sheet, input};
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::Harvester;
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, Query, id_in_path};
use crate::http::core::write::{Envelope, Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::harvest::check::check_partial;
use crate::timber::custody::harvest::locations::Locations;
use crate::timber::custody::harvest::record::{Recorded, record};
use crate::timber::custody::harvest::request::{MAX_LOGS, NewHarvest, layout};
use crate::timber::custody::harvest::view::{Harvest, Rehearsal, is_visible, view};
use crate::timber::party::key::Caller;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use utoipa::ToSchema;

input! {
    /// The query of a harvest.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct HarvestQuery {
        /// Dry run: the same errors, findings and balance, but nothing is stored, and ids and hashes are left out.
        pub dry_run: Option<bool>,
        /// The ticket, for a CSV body.
        // The type is only a string: the value is parsed later, as a field of the harvest, so that an error
        // in it is reported once, as an error of that field.
        #[param(value_type = Option<String>, format = Uuid)]
        pub felling_ticket_id: Option<String>,
    }

    /// The query parameters of a harvest with a JSON body. The body names the ticket, so the parameter
    /// `felling_ticket_id` is refused.
    pub struct JsonHarvestQuery {
        /// Dry run.
        pub dry_run: Option<bool>,
        /// Always an error.
        #[schema(value_type = Option<String>)]
        pub felling_ticket_id: Option<CsvOnly>,
    }
}

/// The type of a parameter that only a CSV body may have: with a JSON body every value of it is refused.
#[derive(Clone, Debug)]
pub enum CsvOnly {}

impl CsvOnly {
    fn parse(_: &str) -> Result<Self, Invalid> {
        Err(Invalid::new("unknown-parameter", "This parameter is for a CSV body only."))
    }
}

crate::base::input::parse_text!(CsvOnly);

/// A harvest that was recorded before, or a rehearsal.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum HarvestOrRehearsal {
    /// Recorded before.
    Recorded(Receipted<Harvest>),
    /// A dry run.
    Rehearsed(Rehearsal),
}

/// Record a harvest: up to 5,000 logs and stacks, all or nothing.
///
/// As JSON, or as CSV (also sent as `text/tab-separated-values` or `application/vnd.ms-excel`) with the columns
/// of `GET /v1/harvests/template.csv` (separator `,` `;` or tab,
/// decimal comma or point; UTF-8, windows-1251 or, if declared, KZ-1048). The seals become applied and the ticket's lines
/// are decreased in the same transaction. All errors of the batch are reported at once.
///
/// The volume of each log must be possible for its top diameter and length (`volume-unlike-measures`), and by the method
/// `gost_2708_75` must be in that table (`volume-unlike-table`). A stack needs `pieces`.
#[utoipa::path(
    post, path = "/v1/harvests", operation_id = "create_harvest", tag = "harvests", security(("token" = [])),
    params(HarvestQuery),
    request_body(content((NewHarvest = "application/json"), (String = "text/csv"))),
    responses(
        (status = 201, description = "Recorded", body = Receipted<Harvest>),
        (status = 200, description = "Recorded before by the same write request, or, with `rehearsal: true`, a dry run",
            body = HarvestOrRehearsal),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn create_harvest(
    State(app): State<App>,
    Harvester(caller): Harvester,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let (parsed, locations) = if envelope.is_csv_not_json()? {
        read_csv(&app, &envelope)?
    } else {
        let parsed = envelope.json_partial::<NewHarvest, JsonHarvestQuery>(&app)?;
        (without_query(parsed, |query| query.dry_run), Locations::Json)
    };
    let ParsedWrite { input, parameters: DryRun(dry_run), write } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse(&app, &caller, partial, &locations).await?),
    };
    // This frees the body as it was sent, which may have 5 MB and is not needed any more.
    drop(envelope);
    if dry_run == Some(true) {
        return rehearse(&app, &caller, &input, &write.fingerprint, &locations).await;
    }
    let (shared, fingerprint, rulebook) =
        (Arc::new((input, locations, caller.clone())), write.fingerprint, app.rulebook.clone());
    write
        .run(&app, &caller, "record_harvest", move |tx| {
            let (shared, rulebook) = (Arc::clone(&shared), rulebook.clone());
            Box::pin(async move {
                let (input, locations, caller) = &*shared;
                let done = match record(tx, caller, input, &fingerprint, locations, &rulebook).await? {
                    Recorded::New(harvest) => {
                        WriteResponse::created(&harvest, Made::new(MadeKind::Harvest, harvest.id))
                    }
                    Recorded::Before(harvest) => {
                        WriteResponse::ok(&harvest, Made::new(MadeKind::Harvest, harvest.id))
                    }
                };
                Ok(done.with_hashes())
            })
        })
        .await
}

/// Whether nothing is to be stored.
struct DryRun(Option<bool>);

fn without_query<Q>(
    parsed: Parsed<NewHarvest, Q>,
    dry_run: impl FnOnce(Q) -> Option<bool>,
) -> Parsed<NewHarvest, DryRun> {
    match parsed {
        Parsed::Partial(partial) => Parsed::Partial(partial),
        Parsed::Complete(ParsedWrite { input, parameters, write }) => {
            Parsed::Complete(ParsedWrite { input, parameters: DryRun(dry_run(parameters)), write })
        }
    }
}

/// All errors of a request that could not be parsed completely: the parse errors, and the errors that the
/// checks against the database find in what could be parsed, such as some of its logs.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<NewHarvest>,
    locations: &Locations,
) -> Result<Problem, Problem> {
    let PartialWrite { input, mut errors, fingerprint } = partial;
    if let Some(input) = input {
        let mut tx = app.begin(caller.organization).await?;
        let checked =
            check_partial(&mut tx, caller, &input, &fingerprint, locations, &app.rulebook, &mut errors).await;
        tx.rollback().await?;
        checked?;
    }
    Ok(errors.into_error().into())
}

/// Records the harvest, then rolls back.
async fn rehearse(
    app: &App,
    caller: &Caller,
    input: &NewHarvest,
    fingerprint: &[u8; 32],
    locations: &Locations,
) -> Result<Response, Problem> {
    let mut tx = app.begin(caller.organization).await?;
    let recorded = record(&mut tx, caller, input, fingerprint, locations, &app.rulebook).await;
    tx.rollback().await.map_err(Error::from)?;
    let (Recorded::New(harvest) | Recorded::Before(harvest)) = recorded?;
    Ok((StatusCode::OK, axum::Json(Rehearsal::from(harvest))).into_response())
}

fn read_csv(app: &App, envelope: &Envelope) -> Result<(Parsed<NewHarvest, DryRun>, Locations), Problem> {
    envelope.csv(&layout(), MAX_LOGS, "felling_ticket_id", |document| {
        let lines = document.root().get("logs").and_then(|logs| logs.items().ok()).map(|items| {
            let line = |at| if let Location::Cell { line, .. } = at { line } else { 0 };
            items.map(|item| line(item.at())).collect()
        });
        let parsed = envelope.parse_document::<NewHarvest, HarvestQuery>(app, document)?;
        let parsed = without_query(parsed, |query| query.dry_run);
        Ok((parsed, Locations::Csv(lines.unwrap_or_default())))
    })
}

/// A harvest as it was recorded.
///
/// The logs that it created, its findings, and its ticket with the present balance.
#[utoipa::path(
    get, path = "/v1/harvests/{id}", operation_id = "get_harvest", tag = "harvests", security(("token" = [])),
    params(("id" = HarvestId, Path, description = "The harvest")),
    responses(
        (status = 200, description = "The harvest", body = Harvest),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_harvest(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<axum::Json<Harvest>, Problem> {
    let id: HarvestId = id_in_path(&id)?;
    let mut tx = app.begin(caller.organization).await?;
    if !is_visible(&mut **tx, &caller, id).await? {
        return Err(Problem::not_found());
    }
    Ok(axum::Json(view(&mut tx, id, app.clock.now()).await?.ok_or_else(Problem::not_found)?))
}

/// A table to fill in: the columns, and one example row to be replaced.
///
/// In Kazakh and Russian with `;` and decimal comma, as spreadsheets there expect; in English with `,`. A row of a stack
/// needs `pieces`, and may leave the length and the top diameter empty.
#[utoipa::path(
    get, path = "/v1/harvests/template.csv", operation_id = "get_harvest_template", tag = "harvests",
    security(("token" = [])),
    params(("lang" = Option<String>, Query, description = "`kk`, `ru` or `en`; else by Accept-Language")),
    responses(
        (status = 200, description = "The table, UTF-8 with a byte order mark", body = String, content_type = "text/csv"),
    )
)]
pub async fn get_harvest_template(
    _caller: Caller,
    Query(TemplateQuery { lang: named }): Query<TemplateQuery>,
    headers: axum::http::HeaderMap,
) -> Result<Response, Problem> {
    if let Some(lang) = named.as_deref().filter(|lang| !["kk", "ru", "en"].contains(lang)) {
        let detail = format!("There is no template in `{lang}`; there is one in kk, ru and en.");
        return Err(Problem::wrong(vec![FieldError::new(
            Location::Query("lang".into()),
            "unknown-language",
            detail,
        )]));
    }
    let accept = headers.get(axum::http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let lang = Lang::choose(named.as_deref(), accept);
    let name = if lang == Lang::En { "Yerlan Ospanov" } else { "Ерлан Оспанов" };
    let point = |text: &str| if lang == Lang::En { text.to_owned() } else { text.replace('.', ",") };
    let example = |column: &str| match column {
        "seal_number" => "KZ000000001".to_owned(),
        "kind" => "log".to_owned(),
        "species" => "pinus_sylvestris".to_owned(),
        "wood" => "commercial".to_owned(),
        "assortment" => "saw_log".to_owned(),
        "grade" => "2".to_owned(),
        "length_m" => point("6.0"),
        "top_diameter_cm" => point("24.0"),
        "volume_m3" => point("0.33"),
        "measurement_method" => "gost_2708_75".to_owned(),
        "occurred_at" => "2026-10-05T09:30:00+05:00".to_owned(),
        "lat" => point("50.741200"),
        "lon" => point("80.914300"),
        "accuracy_m" => "8".to_owned(),
        "responsible_name" => name.to_owned(),
        _ => String::new(),
    };
    let layout = layout();
    let rows =
        [layout.header().map(str::to_owned).collect::<Vec<_>>(), layout.header().map(example).collect()];
    let body = if lang == Lang::En {
        let mut sheet = Sheet::with_bom();
        for row in &rows {
            sheet.row(row);
        }
        sheet.take()
    } else {
        // Spreadsheets with these locales split lines at semicolons. No cell here contains a semicolon, so
        // none needs quotes.
        let lines: Vec<String> = rows.iter().map(|row| row.join(";")).collect();
        format!("\u{feff}{}\r\n", lines.join("\r\n")).into_bytes()
    };
    let head = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"harvest.csv\""),
    ];
    Ok((head, body).into_response())
}

input! {
    /// The query of the template.
    pub struct TemplateQuery {
        /// Language.
        pub lang: Option<String>,
    }
}

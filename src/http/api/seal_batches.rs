//! Batches of seals: register existing seals, make new ones, list them with their codes.

use crate::base::error::{Error, FieldError, Invalid, Location};
use crate::base::ids::SealBatchId;
use crate::base::input::{Errors, Layout, RequestErrors, Sheet, input, no_rule};
use crate::base::units::whole;
use crate::evidence::chain::history::{Disclosure, StoredEvent};
use crate::evidence::chain::{Subject, SubjectKind};
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::api::proofs::{ExportQuery, exported, subject_events, subject_proof_response};
use crate::http::api::seals::access;
use crate::http::core::accept::rank;
use crate::http::core::app::App;
use crate::http::core::auth::Operator;
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, Query, id_in_path};
use crate::http::core::response::Aborted;
use crate::http::core::write::{Envelope, Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::services::export::Export;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::batch::{self, LocatedSeal, NewBatch, SealClaim};
use crate::timber::seal::record::receiver;
use crate::timber::seal::signing::Mint;
use crate::timber::seal::view;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::{TryStreamExt, stream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tracing::Span;

/// Maximum seals of one registration.
const MAX_REGISTERED: usize = 10_000;
/// Maximum seals made at once.
const MAX_MADE: u32 = 1_000_000;
/// Seals per piece of a streamed list.
pub(in crate::http) const PIECE: i64 = 2_000;

input! {
    /// Existing seals, and their holder.
    pub struct Registration {
        /// The holder: an enterprise or a forest owner.
        pub holder_bin: Bin,
        /// The seals.
        pub seals: Vec<LocatedSeal> [1..=10_000],
    }
    => no_rule as PartialRegistration;

    /// How many seals to make, and for which holder.
    pub struct Order {
        /// The holder: an enterprise or a forest owner.
        pub holder_bin: Bin,
        /// How many, 1 to 1,000,000.
        pub quantity: Quantity,
    }
    => no_rule as PartialOrder;

    /// Query of a registration by CSV.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct RegistrationQuery {
        /// With `text/csv` only: the holder of the seals.
        pub holder_bin: Option<String>,
    }
}

/// How many seals to make, 1 to 1,000,000.
#[derive(Clone, Copy, Debug)]
pub struct Quantity(u32);

impl Quantity {
    /// Parses a whole number from 1 to 1,000,000.
    pub fn parse(digits: &str) -> Result<Self, Invalid> {
        match whole(digits).and_then(|number| u32::try_from(number).ok()).ok_or(()) {
            Ok(quantity @ 1..=MAX_MADE) => Ok(Self(quantity)),
            _ => Err(Invalid::new("bad-quantity", "The quantity is a whole number from 1 to 1,000,000.")),
        }
    }
}

crate::base::input::parse_number!(Quantity);

impl utoipa::PartialSchema for Quantity {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_MADE))
            .description(Some("A number of seals."))
            .into()
    }
}

impl utoipa::ToSchema for Quantity {}

/// Parses a registration from JSON or CSV.
fn read(app: &App, envelope: &Envelope) -> Result<Parsed<Registration>, Problem> {
    if envelope.is_csv_not_json()? {
        let layout = Layout::rows("seals").columns(&["number", "marking_code"]);
        let parsed = envelope.csv(&layout, MAX_REGISTERED, "holder_bin", |document| {
            envelope.parse_document::<Registration, RegistrationQuery>(app, document)
        })?;
        return Ok(match parsed {
            Parsed::Complete(ParsedWrite { input, write, .. }) => {
                Parsed::Complete(ParsedWrite { input, parameters: NoQuery, write })
            }
            Parsed::Partial(partial) => Parsed::Partial(partial),
        });
    }
    // JSON names the holder in the body, so the query must be empty.
    envelope.json_partial(app)
}

/// The errors of `seals` that can be found without the database. Runs on a blocking thread: checking ten
/// thousand signatures takes half a second.
async fn faults<T: Send + Sync + 'static>(
    app: &App,
    seals: &Arc<T>,
    claims: fn(&T) -> Vec<SealClaim<'_>>,
) -> Result<Errors, Problem> {
    let (app, seals) = (app.clone(), Arc::clone(seals));
    tokio::task::spawn_blocking(move || batch::faults(&app.key_ring, claims(&seals).into_iter()))
        .await
        .map_err(|error| Problem::internal(format!("checking failed: {error}")))
}

fn read_claims(input: &PartialRegistration) -> Vec<SealClaim<'_>> {
    input.seals.iter().flatten().flatten().map(SealClaim::from).collect()
}

fn all_claims(input: &Registration) -> Vec<SealClaim<'_>> {
    input.seals.iter().map(SealClaim::from).collect()
}

/// All errors of a registration that could not be parsed completely: the parse errors, and the errors that
/// the checks (of the signatures and against the database) find in the seals that could be parsed.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<Registration>,
    at: [Location; 2],
) -> Result<Problem, Problem> {
    let PartialWrite { input, mut errors, .. } = partial;
    if let Some(input) = input {
        let input = Arc::new(input);
        errors.invalid.append(faults(app, &input, read_claims).await?);
        let mut tx = app.begin(caller.organization).await?;
        let (holder, claims) = (input.holder_bin.as_ref(), read_claims(&input).into_iter());
        let checked = batch::check(&mut tx, holder, at, claims, &mut errors).await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Ok(errors.into_error().into())
}

/// Registers existing seals: all of them or none.
///
/// For seals of other makers, with the marking codes that they bear; as JSON or as a table.
#[utoipa::path(
    post, path = "/v1/seals", operation_id = "register_seals", tag = "seals", security(("token" = [])),
    params(RegistrationQuery),
    request_body(content(
        (Registration = "application/json"),
        (String = "text/csv", example = "number,marking_code\r\nKZ-0000417,010952000000001121K7M2Q9XJ4TZ0B\r\n")
    )),
    responses(
        (status = 201, description = "Registered", body = Receipted<NewBatch>),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn register_seals(
    State(app): State<App>,
    Operator(caller): Operator,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let at = if envelope.is_csv() {
        [Location::Cell { line: 1, column: String::new() }, Location::Query("holder_bin".into())]
    } else {
        [Location::Pointer(String::new()), Location::Pointer("/holder_bin".into())]
    };
    let ParsedWrite { input, write, .. } = match read(&app, &envelope)? {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse(&app, &caller, partial, at).await?),
    };
    let input = Arc::new(input);
    let faults = faults(&app, &input, all_claims).await?;
    let (task_app, task_caller) = (app.clone(), caller.clone());
    write
        .run(&app, &caller, "register_seals", move |tx| {
            let (input, faults, at) = (Arc::clone(&input), faults.clone(), at.clone());
            let act = task_caller.act(task_app.clock.now());
            Box::pin(async move {
                let act = act?;
                let mut errors = RequestErrors::after(faults);
                let claims = all_claims(&input).into_iter();
                let holder = batch::check(tx, Some(&input.holder_bin), at, claims, &mut errors).await?;
                let Some(holder) = holder.filter(|_| errors.is_empty()) else {
                    return Err(errors.into_error());
                };
                let made = batch::register(tx, &act, holder, &input.seals).await?;
                Ok(WriteResponse::created(&made, Made::new(SubjectKind::SealBatch, made.id)))
            })
        })
        .await
}

/// Makes seals: numbers and signed marking codes.
///
/// Numbers are consecutive; each seal gets a signed marking code. The list is read afterwards, as a stream.
#[utoipa::path(
    post, path = "/v1/seal-batches", operation_id = "make_seals", tag = "seals", security(("token" = [])),
    request_body = Order,
    responses(
        (status = 201, description = "Made", body = Receipted<NewBatch>),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not-configured`: the server's public address or GTIN are those of a trial",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn make_seals(
    State(app): State<App>,
    Operator(caller): Operator,
    parsed: Parsed<Order>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse_order(&app, &caller, partial).await?),
    };
    if let Some(error) = not_configured(&app) {
        return Err(Problem::conflict(vec![error]));
    }
    let input = Arc::new(input);
    let (task_app, task_caller) = (app.clone(), caller.clone());
    write
        .run(&app, &caller, "make_seals", move |tx| {
            let (input, app) = (Arc::clone(&input), task_app.clone());
            let act = task_caller.act(app.clock.now());
            Box::pin(async move {
                let act = act?;
                let mut errors = RequestErrors::default();
                let holder = receiver(tx, &input.holder_bin, order_holder_at(), &mut errors).await?;
                let Some(holder) = holder else { return Err(errors.into_error()) };
                let mint = Mint::new(app.gtin)
                    .map_err(|error| Error::Unavailable(format!("no randomness: {error}").into()))?;
                let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
                let key = app.signing_key.public_key();
                let mint: batch::CodeSource =
                    Arc::new(move |ordinals| mint.batch(&app.signing_key, ordinals, threads));
                let made = batch::make(tx, &act, holder, input.quantity.0, mint, &key).await?;
                Ok(WriteResponse::created(&made, Made::new(SubjectKind::SealBatch, made.id)))
            })
        })
        .await
}

/// The error while the server has the settings of a demonstration: seals are hammered in once, and a code that leads
/// nowhere cannot be recalled.
fn not_configured(app: &App) -> Option<FieldError> {
    let reason = app.not_configured.as_ref()?;
    let detail = format!("This server makes no seals yet: {reason}.");
    Some(FieldError::new(Location::body(), "not-configured", detail))
}

fn order_holder_at() -> Location {
    Location::Pointer("/holder_bin".into())
}

/// All errors of an order that could not be read completely: also that of its holder.
async fn refuse_order(app: &App, caller: &Caller, partial: PartialWrite<Order>) -> Result<Problem, Problem> {
    let PartialWrite { input, mut errors, .. } = partial;
    if let Some(bin) = input.and_then(|input| input.holder_bin) {
        let mut tx = app.begin(caller.organization).await?;
        let checked = receiver(&mut tx, &bin, order_holder_at(), &mut errors).await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    errors.conflict.push_some(not_configured(app));
    Ok(errors.into_error().into())
}

/// The format of a streamed list.
#[derive(Clone, Copy)]
enum Form {
    Lines,
    Csv,
}

impl Form {
    /// The format that `Accept` prefers; lines of JSON if it prefers neither.
    fn of(headers: &HeaderMap) -> Self {
        let lines = rank(headers, "application/x-ndjson", "application/jsonl");
        if rank(headers, "text/csv", "text/csv") > lines { Self::Csv } else { Self::Lines }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        })
    }

    fn write(self, rows: &[(String, String)], first: bool) -> Bytes {
        match self {
            Self::Lines => {
                let mut bytes = Vec::with_capacity(rows.len() * 200);
                for (number, marking_code) in rows {
                    let line = serde_json::json!({ "number": number, "marking_code": marking_code });
                    bytes.extend_from_slice(line.to_string().as_bytes());
                    bytes.push(b'\n');
                }
                bytes.into()
            }
            Self::Csv => {
                let mut sheet = Sheet::new();
                if first {
                    sheet.exact_row(["number", "marking_code"]);
                }
                for (number, marking_code) in rows {
                    sheet.exact_row([number, marking_code]);
                }
                sheet.take().into()
            }
        }
    }
}

/// The seals of a batch with their marking codes, ordered by number: for the operator all of them, for a
/// holder those it holds now.
///
/// The separator GS is in the codes as such: in CSV as the byte 0x1D, in JSON as `\u001d`.
#[utoipa::path(
    get, path = "/v1/seal-batches/{id}/seals", operation_id = "list_batch_seals", tag = "seals",
    security(("token" = [])),
    params(("id" = SealBatchId, Path, description = "The batch")),
    responses(
        (status = 200, description = "The list, by `Accept`",
         content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn list_batch_seals(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Response, Problem> {
    let id: SealBatchId = id_in_path(&id)?;
    // Marking codes are for the holder, which applies the seals, and for the operator, which ordered them; an
    // inspector reads seals one by one.
    let access =
        if caller.is(Role::Operator) { view::Access::All } else { view::Access::Own(caller.organization) };
    let form = Form::of(&headers);
    let rows =
        view::of_batch(&mut **app.connection(caller.organization).await?, id, access, "", PIECE).await?;
    if rows.is_empty() {
        return Err(Problem::not_found());
    }
    let first = form.write(&rows, true);
    let last = rows.last().map(|(number, _)| number.clone());
    let pieces = stream::try_unfold((app, caller, last), move |(app, caller, after)| async move {
        let Some(after) = after else { return Ok::<_, Problem>(None) };
        let mut db = app.connection(caller.organization).await?;
        let rows = view::of_batch(&mut **db, id, access, &after, PIECE).await?;
        drop(db);
        let last = rows.last().map(|(number, _)| number.clone());
        Ok((!rows.is_empty()).then(|| (form.write(&rows, false), (app, caller, last))))
    });
    let span = Span::current();
    let pieces = pieces.map_err(move |problem| Aborted::after(&problem, &span));
    let body = Body::from_stream(stream::StreamExt::chain(stream::iter([Ok(first)]), pieces));
    let headers = [(CONTENT_TYPE, form.media_type()), (VARY, HeaderValue::from_static("accept"))];
    Ok((headers, body).into_response())
}

/// The batch in the path, if the caller may see one of its seals.
async fn visible_batch(app: &App, caller: &Caller, id: &str) -> Result<Subject, Problem> {
    let mut db = app.connection(caller.organization).await?;
    let subject = view::batch_subject(&mut **db, id_in_path(id)?, access(caller)).await?;
    subject.ok_or_else(Problem::not_found)
}

/// Proof that a seal batch's newest record is in the public register
///
/// For the operator, inspectors, and holders of one of its seals. The same format as a log's proof.
#[utoipa::path(
    get, path = "/v1/seal-batches/{id}/proof", operation_id = "get_seal_batch_proof", tag = "register",
    security(("token" = [])),
    params(("id" = SealBatchId, Path, description = "The batch")),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_seal_batch_proof(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    subject_proof_response(&app, &caller, &visible_batch(&app, &caller, &id).await?).await
}

/// A seal batch's history with its proofs, in one file
///
/// For the operator and inspectors, every event in full. For a holder of one of its seals, every event, but
/// disclosed only if it concerns a seal that this holder has. In the format of a log's export; it contains
/// no marking code.
#[utoipa::path(
    get, path = "/v1/seal-batches/{id}/export", operation_id = "export_seal_batch", tag = "register",
    security(("token" = [])),
    params(("id" = SealBatchId, Path, description = "The batch"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Export),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export_seal_batch(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(ExportQuery { since }): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let subject = visible_batch(&app, &caller, &id).await?;
    let mut db = app.connection(caller.organization).await?;
    let concerning = view::concerning(&mut db, &subject, access(&caller), PIECE).await?;
    drop(db);
    // Officials of voids are named to inspectors.
    let inspector = caller.is(Role::Inspector);
    let open = move |event: &StoredEvent| match &concerning {
        Some(concerning) if !concerning.contains(&event.seq) => Disclosure::CLOSED,
        None if inspector => Disclosure::ALL,
        _ => Disclosure::BUSINESS,
    };
    let events = subject_events(&app, &caller, subject, false, open).await?;
    exported(&app, caller.organization, subject, events, None, since).await
}

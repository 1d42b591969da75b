//! What the parties say to findings, and what inspectors decide; the history of a finding.

use crate::base::ids::FindingId;
use crate::base::input::{Errors, Node, input};
use crate::base::units::Text;
use crate::evidence::chain::history::{DisclosedEvent, Disclosure, StoredEvent};
use crate::evidence::chain::{Subject, SubjectKind};
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::api::proofs::{ExportQuery, exported, subject_events, subject_proof_response};
use crate::http::core::app::App;
use crate::http::core::auth::Inspector;
use crate::http::core::problem::Problem;
use crate::http::core::query::{HistoryQuery, NoQuery, Query, id_in_path};
use crate::http::core::write::{ParsedWrite, WriteResponse};
use crate::services::decisions;
use crate::services::export::Export;
use crate::timber::custody::official::Act;
use crate::timber::finding::content::recorder;
use crate::timber::finding::decide::{Decision, explain, refuse_iin};
use crate::timber::finding::row::{Finding, FindingState};
use crate::timber::finding::{chain, read};
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

crate::base::vocabulary::vocabulary! {
    /// The state to which a decision brings a finding.
    pub enum DecidedState: "unknown-decision" {
        /// The record is in order, and looks unusual for a good reason.
        Explained = "explained",
        /// The record is wrong, or what it records was unlawful.
        Confirmed = "confirmed",
        /// The rule was wrong about the record.
        False = "false",
    }
}

impl From<DecidedState> for FindingState {
    fn from(state: DecidedState) -> Self {
        match state {
            DecidedState::Explained => Self::Explained,
            DecidedState::Confirmed => Self::Confirmed,
            DecidedState::False => Self::False,
        }
    }
}

input! {
    /// What the questioned organisation says to a finding.
    pub struct ExplanationRequest {
        /// The explanation: personal data, shown to the organisation and to inspectors.
        pub text: Text<5_000>,
        /// Whether it asks for another decision.
        pub appeal: Option<bool>,
    }
    => ExplanationRequest::check;

    /// The official who decides.
    pub struct DecidingOfficial {
        /// Name.
        #[schema(example = "Ермек Сейітов")]
        pub name: Text<100>,
        /// Post.
        pub post: Option<Text<100>>,
    }

    /// An inspector's decision on a finding.
    pub struct DecisionRequest {
        /// The new state.
        pub state: DecidedState,
        /// Why: personal data, shown to the organisation and to inspectors.
        pub reason: Text<5_000>,
        /// `events` of the finding as the inspector saw it: if it was explained or decided since, the decision is refused.
        pub expected_seq: Option<u32>,
        /// Also stops the log or the felling ticket that the finding is about.
        pub hold: Option<bool>,
        /// The official who decided, if that is not the person of the key: personal data, shown to inspectors.
        pub official: Option<DecidingOfficial>,
        /// The official record (act, protocol).
        pub act: Option<Act>,
    }
}

fn check_text(text: &Text<5_000>, name: &'static str, node: Node<'_>, errors: &mut Errors) {
    if let Err(invalid) = refuse_iin(text.as_str()) {
        errors.refuse_field(node, name, invalid);
    }
}

impl ExplanationRequest {
    fn check(&self, node: Node<'_>, errors: &mut Errors) {
        check_text(&self.text, "text", node, errors);
    }
}

/// Explain a finding, or appeal against a decision.
///
/// For the organisation that the finding questions. It changes no state: an inspector decides.
#[utoipa::path(
    post, path = "/v1/findings/{id}/explanation", operation_id = "explain_finding", tag = "findings",
    security(("token" = [])), params(("id" = FindingId, Path, description = "The finding")),
    request_body = ExplanationRequest,
    responses(
        (status = 200, description = "Recorded", body = Receipted<Finding>),
        (status = 403, description = "The finding does not question your organisation", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not-decided`, `too-many-explanations`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn explain_finding(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    ParsedWrite { input, mut write, .. }: ParsedWrite<ExplanationRequest>,
) -> Result<Response, Problem> {
    let id: FindingId = id_in_path(&id)?;
    write.while_suspended = true;
    let work = Arc::new((app.clone(), caller.clone(), input));
    write
        .run(&app, &caller, "explain_finding", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, input) = &*work;
                let act = caller.act(app.clock.now())?;
                explain(tx, caller, &act, id, (&input.text, input.appeal == Some(true))).await?;
                let finding = read::row(&mut **tx, Reader::from(caller), id).await?.view()?;
                Ok(WriteResponse::ok(&finding, Made::new(SubjectKind::Finding, id)))
            })
        })
        .await
}

/// Decide a finding.
///
/// For inspectors. The newest decision stands. With `hold`, the log or the felling ticket that the finding is about is
/// stopped by the same request.
#[utoipa::path(
    post, path = "/v1/findings/{id}/decision", operation_id = "decide_finding", tag = "findings",
    security(("token" = [])), params(("id" = FindingId, Path, description = "The finding")),
    request_body = DecisionRequest,
    responses(
        (status = 200, description = "Decided", body = Receipted<Finding>),
        (status = 403, description = "Not an inspector, or `own-case`", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`decided-meanwhile`, `nothing-to-hold`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn decide_finding(
    State(app): State<App>,
    Inspector(caller): Inspector,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<DecisionRequest>,
) -> Result<Response, Problem> {
    let id: FindingId = id_in_path(&id)?;
    let (fingerprint, work) = (write.fingerprint, Arc::new((app.clone(), caller.clone(), input)));
    write
        .run(&app, &caller, "decide_finding", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, input) = &*work;
                let act = caller.act(app.clock.now())?;
                let official = input.official.as_ref();
                let decision = Decision {
                    state: input.state.into(),
                    reason: &input.reason,
                    official: official.map(|one| (one.name.as_str(), one.post.as_ref().map(Text::as_str))),
                    act: input.act.as_ref().map(|act| (act.number.as_str(), act.date.day())),
                    expected_seq: input.expected_seq.map(|seq| i32::try_from(seq).unwrap_or(i32::MAX)),
                    hold: input.hold == Some(true),
                };
                let decided = (&decision, &fingerprint);
                let finding = decisions::decide(tx, caller, &act, id, decided, &app.rulebook).await?;
                Ok(WriteResponse::ok(&finding, Made::new(SubjectKind::Finding, id)))
            })
        })
        .await
}

/// A finding and the events of its chain.
#[derive(Serialize, ToSchema)]
pub struct FindingHistory {
    /// The finding.
    finding: Finding,
    /// Its events, in order of receipt; none before the first explanation or decision.
    events: Vec<DisclosedEvent>,
}

/// Which parts of a finding's event a caller may see: an inspector all, the questioned organisation all but the personal
/// parts of others.
pub(in crate::http) fn disclosure(reader: Reader, event: &StoredEvent) -> Disclosure {
    let own = recorder(&event.business) == Some(reader.organization);
    if reader.inspector || own { Disclosure::ALL } else { Disclosure::BUSINESS }
}

/// The history of a finding
///
/// Its explanations and decisions as events, with everything needed to recompute every hash.
#[utoipa::path(
    get, path = "/v1/findings/{id}/history", operation_id = "get_finding_history", tag = "findings",
    security(("token" = [])), params(("id" = FindingId, Path, description = "The finding"), HistoryQuery),
    responses(
        (status = 200, description = "The finding and its events", body = FindingHistory),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_finding_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Problem> {
    let (id, reader): (FindingId, _) = (id_in_path(&id)?, Reader::from(&caller));
    let mut db = app.connection(caller.organization).await?;
    let finding = read::row(&mut **db, reader, id).await?.view()?;
    let subject = chain::subject(&mut **db, reader, id).await?;
    drop(db);
    let open = move |event: &StoredEvent| disclosure(reader, event);
    let events = subject_events(&app, &caller, subject, query.omits_evidence(), open).await?;
    events.respond(&FindingHistory { finding, events: Vec::new() }).await
}

/// The chain of the finding in the path, with the access rule of `GET /v1/findings/{id}`; 404 if it has none yet.
async fn visible_chain(app: &App, caller: &Caller, id: &str) -> Result<Subject, Problem> {
    let mut db = app.connection(caller.organization).await?;
    let subject = chain::subject(&mut **db, Reader::from(caller), id_in_path(id)?).await?;
    if subject.events == 0 { Err(Problem::not_found()) } else { Ok(subject) }
}

/// Proof that a finding's newest record is in the public register
///
/// For callers that may see the finding, once it was explained or decided. The same format as a log's proof.
#[utoipa::path(
    get, path = "/v1/findings/{id}/proof", operation_id = "get_finding_proof", tag = "register",
    security(("token" = [])), params(("id" = FindingId, Path, description = "The finding")),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 404, description = "Absent, without a chain, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_finding_proof(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    subject_proof_response(&app, &caller, &visible_chain(&app, &caller, &id).await?).await
}

/// A finding's history with its proofs, in one file
///
/// For inspectors, every event in full; for the organisation that it questions, without the personal parts of others. In
/// the format of a log's export.
#[utoipa::path(
    get, path = "/v1/findings/{id}/export", operation_id = "export_finding", tag = "register",
    security(("token" = [])), params(("id" = FindingId, Path, description = "The finding"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Export),
        (status = 404, description = "Absent, without a chain, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export_finding(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(ExportQuery { since }): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let subject = visible_chain(&app, &caller, &id).await?;
    let reader = Reader::from(&caller);
    let open = move |event: &StoredEvent| disclosure(reader, event);
    let events = subject_events(&app, &caller, subject, false, open).await?;
    exported(&app, caller.organization, subject, events, None, since).await
}

//! What inspectors observe outside the records, and the opening of buyers' reports.

use crate::base::error::{Error, FieldError, Invalid, Location};
use crate::base::geo::Position;
use crate::base::ids::FindingId;
use crate::base::input::{Errors, Node, input};
use crate::base::units::{Moment, Reference, Text, Volume};
use crate::evidence::chain::{Hash, SubjectKind, Tx};
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::api::verify::SentCode;
use crate::http::core::app::App;
use crate::http::core::auth::Inspector;
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, id_in_path};
use crate::http::core::write::{Envelope, ParsedWrite, WriteResponse};
use crate::services::reports::read_code;
use crate::timber::finding::decide::refuse_iin;
use crate::timber::finding::observe::{Observation, ObservationKind, observe};
use crate::timber::finding::photo::{PhotoHash, uploaded};
use crate::timber::finding::report;
use crate::timber::finding::row::Finding;
use crate::timber::party::key::Caller;
use crate::timber::seal::Code;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

input! {
    /// What an inspector observed.
    pub struct ObservationRequest {
        /// What.
        pub what: ObservationKind,
        /// In words: personal data, shown to inspectors.
        pub text: Text<5_000>,
        /// When, with the local UTC offset.
        pub occurred_at: Moment,
        /// Where.
        pub position: Option<Position>,
        /// Registration number of the vehicle: personal data, shown to inspectors.
        pub plate: Option<Reference<20>>,
        /// The seal number or marking code, if there was one. If it is registered, the finding is about its log and
        /// questions the holder.
        pub code: Option<SentCode>,
        /// Volume of the wood, in m³.
        pub volume_m3: Option<Volume>,
        /// Photos that were uploaded before.
        pub photos: Option<Vec<ObservationPhoto>> [0..=8],
    }
    => ObservationRequest::check;

    /// A photo of an observation.
    pub struct ObservationPhoto {
        /// Its SHA-256, as `POST /v1/photos` returned it.
        pub sha256: PhotoHash,
        /// When it was taken.
        pub taken_at: Moment,
    }
}

fn pointer(path: &str) -> Location {
    Location::Pointer(path.to_owned())
}

/// Longest code of an observation, in characters; longer ones name nothing.
const MAX_CODE: usize = 100;

impl ObservationRequest {
    fn check(&self, node: Node<'_>, errors: &mut Errors) {
        if let Err(invalid) = refuse_iin(self.text.as_str()) {
            errors.refuse_field(node, "text", invalid);
        }
        let code = self.code.as_ref().map(AsRef::as_ref);
        if code.is_some_and(|code: &str| code.trim().is_empty() || code.chars().count() > MAX_CODE) {
            let detail = "A code that was read has 1 to 100 characters.";
            errors.refuse_field(node, "code", Invalid::new("text-too-long", detail));
        }
        let mut seen: Vec<PhotoHash> = self.photos.iter().flatten().map(|photo| photo.sha256).collect();
        seen.sort_unstable();
        if seen.windows(2).any(|pair| pair[0] == pair[1]) {
            errors.refuse_field(node, "photos", Invalid::new("duplicate-photo", "A photo is named twice."));
        }
    }

    /// Errors that only the database and the clock know.
    async fn refuse(&self, tx: &mut Tx<'_>, caller: &Caller, now: DateTime<Utc>) -> Result<(), Error> {
        let mut invalid = Vec::new();
        let late = now + TimeDelta::minutes(5);
        let mut future = |at: Location, moment: Moment| {
            if moment.instant() > late {
                let detail = "This is more than five minutes in the future.";
                invalid.push(FieldError::new(at, "in-the-future", detail));
            }
        };
        future(pointer("/occurred_at"), self.occurred_at);
        let photos = self.photos.as_deref().unwrap_or_default();
        let of = |index: usize, member: &str| pointer(&format!("/photos/{index}/{member}"));
        for (index, photo) in photos.iter().enumerate() {
            future(of(index, "taken_at"), photo.taken_at);
        }
        let hashes: Vec<PhotoHash> = photos.iter().map(|photo| photo.sha256).collect();
        let known = uploaded(tx, caller.organization, &hashes).await?;
        for (index, hash) in hashes.iter().enumerate() {
            if !known.contains(hash) {
                let detail = "Your organisation has not uploaded this photo.";
                invalid.push(FieldError::new(of(index, "sha256"), "unknown-photo", detail));
            }
        }
        if invalid.is_empty() { Ok(()) } else { Err(Error::Invalid(invalid)) }
    }

    async fn record(&self, tx: &mut Tx<'_>, app: &App, caller: &Caller) -> Result<Finding, Error> {
        let act = caller.act(app.clock.now())?;
        self.refuse(tx, caller, act.at()).await?;
        let sent: Option<&str> = self.code.as_ref().map(AsRef::as_ref);
        let read = match sent.and_then(|code| Code::parse_public(code).ok()) {
            Some(code) => Some(read_code(tx, &code, &app.key_ring).await?),
            None => None,
        };
        let photos: Vec<(Hash, DateTime<Utc>)> = self
            .photos
            .iter()
            .flatten()
            .map(|photo| (photo.sha256.hash(), photo.taken_at.instant()))
            .collect();
        let observation = Observation {
            what: self.what,
            text: self.text.as_str(),
            occurred_at: self.occurred_at,
            position: self.position,
            plate: self.plate.as_ref().map(Reference::as_str),
            code: read.as_ref().map(|read| read.text.as_str()).or(sent.map(str::trim)),
            volume: self.volume_m3,
            photos: &photos,
            about: read.as_ref().and_then(|read| read.named),
        };
        observe(tx, caller, &act, &observation).await
    }
}

/// Record an observation
///
/// For inspectors: wood without marks, an unknown seal, a load without papers, also where nothing of it is registered. It
/// becomes a finding with a chain.
#[utoipa::path(
    post, path = "/v1/findings", operation_id = "create_observation", tag = "findings", security(("token" = [])),
    request_body = ObservationRequest,
    responses(
        (status = 201, description = "The finding", body = Receipted<Finding>),
        (status = 403, description = "Not an inspector", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create_observation(
    State(app): State<App>,
    Inspector(caller): Inspector,
    ParsedWrite { input, write, .. }: ParsedWrite<ObservationRequest>,
) -> Result<Response, Problem> {
    let work = Arc::new((app.clone(), caller.clone(), input));
    write
        .run(&app, &caller, "create_observation", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, input) = &*work;
                let finding = input.record(tx, app, caller).await?;
                let made = Made::new(SubjectKind::Finding, finding.id);
                Ok(WriteResponse::created(&finding, made))
            })
        })
        .await
}

/// Open buyers' reports
///
/// For inspectors. The notice of a code's reports becomes a finding with a chain, and is kept. The organisation in question
/// sees it once it is decided. A decision opens it too.
#[utoipa::path(
    post, path = "/v1/findings/{id}/open", operation_id = "open_report", tag = "findings", security(("token" = [])),
    params(("id" = FindingId, Path, description = "The finding")),
    responses(
        (status = 200, description = "Open", body = Receipted<Finding>),
        (status = 403, description = "Not an inspector", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Absent", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`not-a-report`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn open_report(
    State(app): State<App>,
    Inspector(caller): Inspector,
    Path(id): Path<String>,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let write = if envelope.body.is_empty() {
        envelope.file(&app)?
    } else {
        envelope.json::<NoQuery, NoQuery>(&app)?.write
    };
    let id: FindingId = id_in_path(&id)?;
    let work = Arc::new((app.clone(), caller.clone()));
    write
        .run(&app, &caller, "open_report", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller) = &*work;
                let act = caller.act(app.clock.now())?;
                let finding = report::open(tx, caller, &act, id).await?;
                Ok(WriteResponse::ok(&finding, Made::new(SubjectKind::Finding, id)))
            })
        })
        .await
}

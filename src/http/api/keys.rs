//! API keys: created and revoked by the organisation itself or the operator; the token is returned once.

use crate::base::error::{FieldError, Location};
use crate::base::ids::{KeyId, OrganizationId};
use crate::base::input::{input, no_rule};
use crate::base::token::Token;
use crate::base::units::{Moment, Text, utc_text};
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::api::organizations::PageQuery;
use crate::http::core::app::App;
use crate::http::core::paging::{Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, Query, id_in_path};
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::party::key::{self, Caller, Key, KeyInUse};
use crate::timber::party::key_record::{self, Revocation};
use crate::timber::party::organization::{self, Organization};
use crate::timber::party::role::Role;
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

input! {
    /// A key to create.
    pub struct KeyRequest {
        /// Your name for it: the device or program that will use it.
        #[schema(example = "Тірек №2 планшеті")]
        pub label: Text<200>,
        /// When it expires; default: never.
        pub expires_at: Option<Moment>,
    }
    => no_rule as PartialKey;
}

/// A newly created key.
#[derive(Serialize, ToSchema)]
pub struct NewKey {
    /// Id.
    id: KeyId,
    /// Your name for it.
    label: String,
    /// The token: save it now, it is never returned again.
    #[schema(example = "omt_…")]
    token: String,
    /// When it was created.
    #[schema(value_type = DateTime<Utc>)]
    created_at: String,
    /// When it expires; null: never.
    #[schema(value_type = Option<DateTime<Utc>>)]
    expires_at: Option<String>,
}

/// Creates a key. The token is returned only here; a repetition with the same `Idempotency-Key` gets 409
/// `already-created`.
///
/// Keep the token safe: it is in this response only, and the server stores only its hash.
#[utoipa::path(
    post, path = "/v1/organizations/{id}/keys", operation_id = "create_key", tag = "organizations",
    security(("token" = [])),
    params(
        ("id" = OrganizationId, Path, description = "The organisation that will use it"),
    ),
    request_body = KeyRequest,
    responses(
        (status = 201, description = "Made", body = Receipted<NewKey>),
        (status = 404, description = "No such organisation, or you may not act for it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Created already with this Idempotency-Key", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn create_key(
    State(app): State<App>,
    caller: Caller,
    Path(organization): Path<String>,
    parsed: Parsed<KeyRequest>,
) -> Result<Response, Problem> {
    let now = app.clock.now();
    let expired = |expiry: Option<Moment>| {
        let detail = "The expiry is not in the future.";
        let at = Location::Pointer("/expires_at".into());
        expiry.filter(|expiry| expiry.instant() <= now).map(|_| FieldError::new(at, "not-in-future", detail))
    };
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, mut errors, .. }) => {
            errors.invalid.push_some(expired(input.and_then(|input| input.expires_at.flatten())));
            return Err(errors.into_error().into());
        }
    };
    if let Some(error) = expired(input.expires_at) {
        return Err(Problem::wrong(vec![error]));
    }
    let organization: OrganizationId = id_in_path(&organization)?;
    let creator = caller.clone();
    let input = Arc::new(input);
    write
        .run(&app, &caller, "create_key", move |tx| {
            let (input, caller) = (Arc::clone(&input), creator.clone());
            Box::pin(async move {
                key::check_may_manage_keys(&mut **tx, &caller, organization).await?;
                let token = Token::random();
                let expires_at = input.expires_at.map(Moment::instant);
                let label = input.label.as_str();
                let actor = caller.act(now)?;
                let key = key_record::NewKey { id: KeyId::new(), label, token: &token, expires_at };
                let created_at = key_record::make(tx, &actor, organization, key).await?;
                let made = NewKey {
                    id: key.id,
                    label: label.to_owned(),
                    token: token.expose().to_owned(),
                    created_at: utc_text(created_at),
                    expires_at: expires_at.map(utc_text),
                };
                Ok(WriteResponse::created(&made, Made::new(MadeKind::Key, made.id)).do_not_store())
            })
        })
        .await
}

/// Keys of an organisation, including revoked keys, without their tokens.
///
/// A token is shown only once, when its key is made.
#[utoipa::path(
    get, path = "/v1/organizations/{id}/keys", operation_id = "list_keys", tag = "organizations",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation"), PageQuery),
    responses(
        (status = 200, description = "A page of keys, in the order of creation", body = Page<Key>),
        (status = 404, description = "No such organisation, or you may not act for it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn list_keys(
    State(app): State<App>,
    caller: Caller,
    Path(organization): Path<String>,
    OriginalUri(uri): OriginalUri,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key(page.cursor.as_ref())?;
    let organization = id_in_path(&organization)?;
    let mut db = app.connection(caller.organization).await?;
    key::check_may_manage_keys(&mut **db, &caller, organization).await?;
    let rows = key::list(&mut **db, organization, after, Limit::probe(page.limit)).await?;
    Ok(Page::of(&cursors, rows, page.limit, |row| row.id, |row| row).into_response(&uri))
}

/// Revokes a key: from now on a request with it gets 401. Revoking it again changes nothing.
///
/// The key is invalid at once; its records stay. The operator's last valid key cannot be revoked.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "organizations", security(("token" = [])),
    params(("id" = KeyId, Path, description = "The key")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "No such key, or you may not act on it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The operator's last valid key", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn revoke_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    let id = id_in_path(&id)?;
    let actor = caller.act(app.clock.now())?;
    // The revocation runs in a task of its own, to its end, even if the client disconnects and this handler
    // is cancelled. Otherwise it would be unknown after a disconnection whether the key is revoked.
    let revoking = tokio::spawn(async move {
        let mut tx = app.begin(caller.organization).await?;
        if key_record::revoke(&mut tx, &caller, &actor, id).await? == Revocation::LastOfOperator {
            let detail = "This is the operator's last valid key: without it, no key can be created any more.";
            let at = Location::Pointer(String::new());
            return Err(Problem::conflict(vec![FieldError::new(at, "last-operator-key", detail)]));
        }
        Ok(tx.commit().await?)
    });
    revoking.await.map_err(|error| Problem::internal(format!("revoke_key failed: {error}")))??;
    Ok(StatusCode::NO_CONTENT)
}

/// Who you are.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// Your organisation.
    organization: Organization,
    /// The key you call with.
    key: KeyInUse,
    /// What you may do.
    roles: Vec<Role>,
}

/// Who you are, and with which key.
///
/// The organisation and the key that the token belongs to, and the organisation's roles.
#[utoipa::path(
    get, path = "/v1/me", operation_id = "get_me", tag = "organizations", security(("token" = [])),
    responses(
        (status = 200, description = "You", body = Me),
    )
)]
pub async fn get_me(State(app): State<App>, caller: Caller, _: NoQuery) -> Result<Json<Me>, Problem> {
    let mut db = app.connection(caller.organization).await?;
    let organization = organization::get(&mut **db, &caller, caller.organization).await?;
    let key = key::of_caller(&mut **db, &caller).await?;
    Ok(Json(Me { organization, key, roles: caller.roles }))
}

//! Authentication and role checks. A handler states the permission that it needs as the type of an argument.
//! So its signature shows what is checked: without a [`Caller`] or role argument, it requires no permission.

use crate::base::ids::OrganizationId;
use crate::base::token::Token;
use crate::http::core::app::App;
use crate::http::core::place::RequestPlace;
use crate::http::core::problem::Problem;
use crate::timber::party::key::{Caller, TokenHash};
use crate::timber::party::role::Role;
use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts, Request, State};
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The token of the request, if there is one. An `Authorization` header without a bearer token is invalid.
fn token(parts: &Parts) -> Result<Option<Token>, Problem> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::invalid_token());
    }
    let text = value.to_str().map_err(|_| Problem::invalid_token())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(Problem::invalid_token)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::invalid_token());
    }
    Token::from_text(token.trim_matches(' ')).map(Some).ok_or_else(Problem::invalid_token)
}

impl OptionalFromRequestParts<App> for Caller {
    type Rejection = Problem;

    /// This extractor is for public routes. Without a token the result is `None`; an invalid token is
    /// rejected with 401 on public routes, too.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(Some(caller.clone()));
        }
        UnresolvedCaller::from_request_parts(parts, app).await?.caller(app).await
    }
}

/// A caller with a token that is not resolved yet: for reads that resolve the key and load the data in one
/// statement. Their routes are outside [`refuse_bad_token`], so their handlers must return other errors
/// through [`UnresolvedCaller::refused`], which checks the token first.
#[derive(Clone, Debug)]
pub struct UnresolvedCaller {
    token: Option<TokenHash>,
    place: Option<Arc<RequestPlace>>,
}

impl FromRequestParts<App> for UnresolvedCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        // The caller of a session of the desk.
        if let Some(unresolved) = parts.extensions.get::<Self>() {
            return Ok(unresolved.clone());
        }
        let token = token(parts)?.map(|token| TokenHash::new(&token, app.clock.now()));
        Ok(Self { token, place: parts.extensions.get::<Arc<RequestPlace>>().cloned() })
    }
}

impl UnresolvedCaller {
    /// The key of a session, as if its token had been sent. A layer puts this into the request's extensions, so the
    /// handlers of the API serve the desk too.
    #[must_use]
    pub(in crate::http) fn of_session(key: TokenHash, place: Option<Arc<RequestPlace>>) -> Self {
        Self { token: Some(key), place }
    }

    /// The token, if one was sent.
    #[must_use]
    pub fn token(&self) -> Option<TokenHash> {
        self.token
    }

    /// Stores which organisation the token belongs to: its further requests then have the organisation's
    /// places, not those of unknown tokens. A read that resolves the token by itself calls this.
    pub fn belongs_to(&self, organization: OrganizationId) {
        if let Some(place) = &self.place {
            place.belongs_to(organization);
        }
    }

    /// Resolves the token with a separate statement; `None` if no token was sent.
    pub async fn caller(&self, app: &App) -> Result<Option<Caller>, Problem> {
        let Some(token) = self.token else { return Ok(None) };
        let caller = app.reads.caller_by_hash(token).await?.ok_or_else(Problem::invalid_token)?;
        self.belongs_to(caller.organization);
        Ok(Some(caller))
    }

    /// The problem to return: 401 for an invalid token, else `problem`.
    pub async fn refused(&self, app: &App, problem: Problem) -> Problem {
        self.caller(app).await.err().unwrap_or(problem)
    }
}

/// Rejects an invalid token with 401 on every route: also on pages and lists that need no token, and before
/// 405. The resolved caller is stored in the request's extensions, so the handler need not resolve it again.
pub async fn refuse_bad_token(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.headers().contains_key(AUTHORIZATION) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match <Caller as OptionalFromRequestParts<App>>::from_request_parts(&mut parts, &app).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                if caller.suspended && !may_while_suspended(&parts) {
                    return Problem::suspended().into_response();
                }
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whether a suspended organisation may call this: reads; the explanation of a finding; the revocation of a key,
/// which only takes power away. Custody events are checked by their type, in their handler. Keys are made for a
/// suspended organisation by the operator.
fn may_while_suspended(parts: &Parts) -> bool {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return true;
    }
    let Some(route) = parts.extensions.get::<MatchedPath>() else { return true };
    matches!(
        (&parts.method, route.as_str()),
        (&Method::POST, "/v1/custody-events" | "/v1/verify" | "/v1/findings/{id}/explanation")
            | (&Method::DELETE, "/v1/keys/{id}")
    )
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = <Self as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        caller.ok_or_else(Problem::unauthorized)
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $($role:ident)|+, $sentence:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl FromRequestParts<App> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                Self::of(<Caller as FromRequestParts<App>>::from_request_parts(parts, app).await?)
            }
        }

        impl $name {
            /// The roles that may.
            pub const ROLES: &'static [Role] = &[$(Role::$role),+];

            /// The caller, if it has the role.
            pub fn of(caller: Caller) -> Result<Self, Problem> {
                if $(caller.is(Role::$role))||+ {
                    Ok(Self(caller))
                } else {
                    Err(Problem::forbidden($sentence))
                }
            }
        }
    )+};
}

permissions! {
    /// The operator.
    Operator: Operator, "Only the operator may do this.";
    /// A forest owner.
    ForestOwner: ForestOwner, "Only a forest owner may do this.";
    /// An inspector.
    Inspector: Inspector, "Only an inspector may do this.";
    /// May harvest: an enterprise, or a forest owner that holds a ticket itself.
    Harvester: Enterprise | ForestOwner, "Only an enterprise or a forest owner may record a harvest.";
    /// Takes part in custody: every role but the operator, which records nothing in the name of other
    /// organisations.
    Custodian: Enterprise | ForestOwner | Carrier | Inspector,
        "Only an enterprise, a forest owner, a carrier or an inspector may do this.";
    /// May read the history of timber: every role but the operator.
    HistoryReader: Enterprise | ForestOwner | Carrier | Inspector, "The operator reads no histories.";
    /// May hold a ticket: an inspector, or a forest owner (the ticket's issuer).
    Stopper: ForestOwner | Inspector, "Only a forest owner or an inspector may do this.";
    /// May void seals.
    SealVoider: Operator | Enterprise | ForestOwner | Inspector,
        "Only the operator, an inspector, an enterprise or a forest owner may void a seal.";
    /// May hold seals, or allot them.
    SealHolder: Operator | Enterprise | ForestOwner, "Only the operator, an enterprise or a forest owner has seals.";
}

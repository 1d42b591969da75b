//! Who is calling, and whether their role may. Permission is an argument type: a
//! handler that takes no [`Caller`] or role does not look authorised.

use crate::base::token::Token;
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use crate::timber::party::key::{Caller, Presented};
use crate::timber::party::role::Role;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The token of the request, if it carries one. A header that is no bearer token is a bad token.
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

    /// For what is public: no token is nobody, a bad one is 401 even here.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(Some(caller.clone()));
        }
        Visitor::from_request_parts(parts, app).await?.caller(app).await
    }
}

/// Whoever calls, before it is known who: for reads that ask for the key with what is asked for, in one
/// statement. Their routes do not stand behind [`refuse_bad_token`], so that whatever else is wrong has
/// to be told by [`Visitor::refused`].
#[derive(Clone, Copy, Debug)]
pub struct Visitor(Option<Presented>);

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(token(parts)?.map(|token| Presented::new(&token, app.clock.now()))))
    }
}

impl Visitor {
    /// The token, if one was sent.
    #[must_use]
    pub fn token(self) -> Option<Presented> {
        self.0
    }

    /// Who it is, by a statement of its own; nobody, if no token was sent.
    pub async fn caller(self, app: &App) -> Result<Option<Caller>, Problem> {
        let Some(token) = self.0 else { return Ok(None) };
        app.reads.presented(token).await?.map(Some).ok_or_else(Problem::invalid_token)
    }

    /// What he is told: a bad token comes before all else.
    pub async fn refused(self, app: &App, problem: Problem) -> Problem {
        self.caller(app).await.err().unwrap_or(problem)
    }
}

/// Answers a bad token with 401 wherever it is sent: on pages and lists that ask for none, and before
/// a method that a route does not take. Whoever calls is left for the handler, which need not ask again.
pub async fn refuse_bad_token(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.headers().contains_key(AUTHORIZATION) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match <Caller as OptionalFromRequestParts<App>>::from_request_parts(&mut parts, &app).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
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
            /// The caller, if he is one.
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
    /// Who may harvest: an enterprise, or a forest owner that holds a ticket itself.
    Harvester: Enterprise | ForestOwner, "Only an enterprise or a forest owner may record a harvest.";
    /// Who takes part in custody: everyone but the operator, who writes nothing in another's name.
    Custodian: Enterprise | ForestOwner | Carrier | Inspector,
        "Only an enterprise, a forest owner, a carrier or an inspector may do this.";
    /// Who may read what happened to timber: everyone but the operator.
    HistoryReader: Enterprise | ForestOwner | Carrier | Inspector, "The operator reads no histories.";
    /// Who may hold seals, or allot them.
    SealHolder: Operator | Enterprise | ForestOwner, "Only the operator, an enterprise or a forest owner has seals.";
}

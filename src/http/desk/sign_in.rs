//! Signing in with a key, and signing out.

use super::browser::browser_of;
use super::form::{Field, Form, Input, Summary};
use super::layout::{Frame, language, page};
use super::session::{Desk, SIGN_IN, safe_next, see_other, session_of};
use super::values::Values;
use crate::base::i18n::text::{say, say_with};
use crate::base::token::Token;
use crate::http::core::address::ClientAddr;
use crate::http::core::app::App;
use crate::http::core::cookie::{SESSION, set_cookie};
use crate::http::core::problem::{Problem, ProblemType};
use crate::http::core::write::Envelope;
use crate::timber::party::session::{Lifetime, Proof, begin, end};
use askama::Template;
use axum::extract::{OriginalUri, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

#[derive(Template)]
#[template(path = "desk/sign-in.html")]
struct SignIn {
    frame: Frame,
    summary: Option<Summary>,
    form: Form,
    /// Whether a form was sent in a session that has ended.
    ended: bool,
}

/// `GET /desk/sign-in?next=`: the form; with a session, a redirect to where it leads.
pub async fn show(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let values = Values::of_query(&uri);
    let (next, lang) = (values.get("next"), language(&uri, &headers));
    if session_of(&app, &headers).await?.is_some() {
        return Ok(see_other(safe_next(&next)));
    }
    let form = key_form(lang, safe_next(&next));
    Ok(sign_in_page(Frame::outside(lang, &uri), form, !values.get("ended").is_empty()))
}

/// `POST /desk/sign-in`: begins a session.
pub async fn sign_in(
    State(app): State<App>,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let values = Values::of_form(&envelope)?;
    let (lang, next, sent) = (language(&uri, &headers), values.get("next"), values.get("key"));
    let refused = |status: StatusCode, words: String| {
        let mut form = key_form(lang, safe_next(&next));
        form.refuse(Some("key"), words);
        (status, sign_in_page(Frame::outside(lang, &uri), form, false)).into_response()
    };
    if sent.is_empty() {
        return Ok(refused(StatusCode::UNPROCESSABLE_ENTITY, say(lang, "desk-key-empty")));
    }
    // Counted before the key is looked up, so that many attempts at once are counted too.
    if let Err(wait) = app.limiter.sign_ins().take(client.0) {
        let minutes = wait.seconds.div_ceil(60);
        let words = say_with(lang, "desk-key-too-many", &[("minutes", minutes.into())]);
        return Ok(refused(ProblemType::TooManyRequests.status(), words));
    }
    let now = app.clock.now();
    let Some(proof) = Token::from_text(&sent).map(Proof::Key) else {
        return Ok(refused(StatusCode::UNPROCESSABLE_ENTITY, say(lang, "desk-key-unknown")));
    };
    let Proof::Key(token) = &proof;
    let Some(caller) = app.reads.caller(token, now).await? else {
        return Ok(refused(StatusCode::UNPROCESSABLE_ENTITY, say(lang, "desk-key-unknown")));
    };
    app.limiter.sign_ins().give_back(client.0);
    let mut tx = app.begin(caller.organization).await?;
    let secret = begin(&mut tx, &caller, &proof, &browser_of(&headers), now).await?;
    tx.commit().await?;
    let seconds = Lifetime::of(&caller.roles).whole.num_seconds();
    let mut response = see_other(safe_next(&next));
    response.headers_mut().append(SET_COOKIE, set_cookie(SESSION, &secret.expose(), seconds));
    Ok(response)
}

/// `POST /desk/sign-out`: ends the session.
pub async fn sign_out(State(app): State<App>, desk: Desk) -> Result<Response, Problem> {
    let mut tx = app.begin(desk.caller().organization).await?;
    end(&mut tx, desk.caller().key, Some(desk.session.id), app.clock.now()).await?;
    tx.commit().await?;
    Ok(signed_out())
}

/// The sign-in, with the cookie removed.
pub(super) fn signed_out() -> Response {
    let mut response = see_other(SIGN_IN);
    response.headers_mut().append(SET_COOKIE, set_cookie(SESSION, "", 0));
    response
}

fn key_form(lang: crate::base::i18n::Lang, next: &str) -> Form {
    let field = Field::new("key", say(lang, "desk-key"), Input::Secret).hint(say(lang, "desk-key-hint"));
    Form::post(lang, SIGN_IN, say(lang, "desk-sign-in")).hidden("next", next).field(field)
}

fn sign_in_page(frame: Frame, form: Form, ended: bool) -> Response {
    let frame = frame.wrong_if(form.is_wrong());
    let title = frame.say("desk-sign-in-title");
    page(&SignIn { frame: frame.titled(title), summary: form.summary(), form, ended })
}

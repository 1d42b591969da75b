//! The sessions of the key that is signed in with: a list, the end of one, the end of all.

use super::layout::{Frame, page};
use super::session::{Desk, see_other};
use super::sign_in::signed_out;
use super::table::{Cell, Table};
use super::values::Values;
use super::words::when;
use crate::base::ids::SessionId;
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use crate::timber::party::session::{end, list};
use askama::Template;
use axum::extract::State;
use axum::response::Response;

/// Path of the page.
const PATH: &str = "/desk/sessions";

#[derive(Template)]
#[template(path = "desk/sessions.html")]
struct Sessions {
    frame: Frame,
    table: Table,
}

/// `GET /desk/sessions`: the sessions of this key.
pub async fn list_sessions(State(app): State<App>, desk: Desk) -> Result<Response, Problem> {
    let caller = desk.caller();
    let rows = list(&mut **app.connection(caller.organization).await?, caller, app.clock.now()).await?;
    let frame = desk.frame();
    let title = frame.say("desk-sessions-title");
    let frame = frame.titled(title.clone());
    let mut table = Table::new(title, String::new())
        .column(frame.say("desk-session-browser"))
        .column(frame.say("desk-session-since"))
        .column(frame.say("desk-session-seen"))
        .column(frame.say("desk-session-end"));
    for row in rows {
        let browser = Cell::text(row.browser.clone());
        let is_this = row.id == desk.session.id;
        table.row(vec![
            if is_this { browser.note(frame.say("desk-session-this")) } else { browser },
            Cell::text(when(desk.lang, row.created_at)),
            Cell::text(when(desk.lang, row.last_seen_at)),
            Cell::button(
                frame.say("desk-session-end-one"),
                PATH,
                ("session", row.id.to_string()),
                row.browser,
            ),
        ]);
    }
    Ok(page(&Sessions { frame, table }))
}

/// `POST /desk/sessions`: ends the session of the field `session`, or all with the field `all`.
pub async fn end_sessions(
    State(app): State<App>,
    desk: Desk,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let values = Values::of_form(&envelope)?;
    let only = if values.get("all").is_empty() {
        Some(SessionId::parse(&values.get("session")).map_err(|_| Problem::not_found())?)
    } else {
        None
    };
    let mut tx = app.begin(desk.caller().organization).await?;
    end(&mut tx, desk.caller().key, only, app.clock.now()).await?;
    tx.commit().await?;
    // A session that had ended already, or is that of another key, is not in the list either.
    let was_this = only.is_none_or(|id| id == desk.session.id);
    Ok(if was_this { signed_out() } else { see_other(PATH) })
}

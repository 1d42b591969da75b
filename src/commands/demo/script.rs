//! Creates the sample data by calls of the public API, one after another; each must succeed.

use super::Failure;
use crate::base::error::Error;
use crate::base::ids::KeyId;
use crate::base::ids::OrganizationId;
use crate::base::token::Token;
use crate::commands::demo_keys::Participant;
use crate::evidence::chain::Tx;
use crate::http::core::app::App;
use crate::timber::event::actor::Actor;
use crate::timber::party::key_record::{self, NewKey};
use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Duration;
use tower::ServiceExt;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

/// The local offset of Abay oblast, seconds east of Greenwich.
const OFFSET: i32 = 5 * 3600;

/// Calls the API, with times relative to a fixed day.
pub struct Script {
    pub(super) app: App,
    router: Router,
    day: DateTime<Utc>,
    calls: u32,
}

impl Script {
    /// Creates a script with times relative to the creation of the first organisation. That time is stored in
    /// the database, so a later run uses the same times.
    pub(super) async fn new(app: &App, router: Router) -> Result<Self, Error> {
        let day = sqlx::query_scalar!(r#"SELECT min(created_at) AS "day!" FROM organization"#)
            .fetch_one(&app.pool)
            .await?;
        Ok(Self { app: app.clone(), router, day, calls: 0 })
    }

    /// The local time, with its offset, `hours` before the fixed day; after it, if negative.
    #[must_use]
    pub fn hours_ago(&self, hours: f64) -> String {
        let offset = TimeDelta::from_std(Duration::from_secs_f64(hours.abs() * 3600.0)).unwrap_or_default();
        let at = if hours < 0.0 { self.day + offset } else { self.day - offset };
        // Seconds are precise enough.
        local(at).format("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The local date `days` after the fixed day; before it, if negative.
    #[must_use]
    pub fn date(&self, days: i64) -> String {
        local(self.day + TimeDelta::days(days)).format("%Y-%m-%d").to_string()
    }

    /// Sends a POST that must succeed, and returns the body of the response.
    pub(super) async fn post(
        &mut self,
        step: &str,
        participant: Participant,
        path: &str,
        body: Value,
    ) -> Result<Value, Failure> {
        self.calls += 1;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {}", participant.token()))
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", format!("demo-world-1-{:04}", self.calls))
            .body(Body::from(body.to_string()));
        let (status, response) = self.send(request).await?;
        if (200..300).contains(&status) {
            Ok(response)
        } else {
            Err(Failure::Step { step: step.to_owned(), status, problem: response.to_string() })
        }
    }

    /// Sends a GET, and returns the status and the body of the response.
    pub(super) async fn get(&self, participant: Participant, path: &str) -> Result<(u16, Value), Failure> {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {}", participant.token()));
        self.send(request.body(Body::empty())).await
    }

    async fn send(&self, request: axum::http::Result<Request<Body>>) -> Result<(u16, Value), Failure> {
        let broken = |why: String| Failure::Library(Error::Unavailable(why.into()));
        let request = request.map_err(|error| broken(error.to_string()))?;
        // The request runs without a trace subscriber, because log lines would hide the guide. A rejection is
        // still reported, with the name of the step.
        let pending = self.router.clone().oneshot(request).with_subscriber(NoSubscriber::default());
        let response = match pending.await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| broken(error.to_string()))?;
        Ok((status, serde_json::from_slice(&body.to_bytes()).unwrap_or_default()))
    }

    /// Gives an organisation its fixed key. This is the only step that does not use the API, because the API
    /// creates only random keys.
    pub(super) async fn give_key(
        &self,
        participant: Participant,
        organization: OrganizationId,
    ) -> Result<(), Failure> {
        let now = self.app.clock.now();
        if let Some(token) = Token::from_text(participant.token())
            && self.app.reads.caller(&token, now).await?.is_none()
        {
            let id = KeyId::new();
            let mut tx = Tx::begin(&self.app.pool).await.map_err(Error::from)?;
            let key = NewKey { id, label: "demo", token: &token, expires_at: None };
            key_record::make(&mut tx, &Actor::of(organization, id, now)?, organization, key).await?;
            tx.commit().await.map_err(Error::from)?;
        }
        Ok(())
    }
}

fn local(at: DateTime<Utc>) -> DateTime<FixedOffset> {
    // An offset of five hours is always valid; the fallback to UTC only avoids a panic.
    let offset = FixedOffset::east_opt(OFFSET).unwrap_or_else(|| chrono::Offset::fix(&Utc));
    at.with_timezone(&offset)
}

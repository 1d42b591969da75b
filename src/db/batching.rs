//! Many askers, one statement.
//!
//! Whatever waits when a connection comes free is asked at once, and each asker gets his own part of
//! the answer. There is no timer: an asker who is alone is served at once, and the more there are, the
//! more of them share the price of a round trip.
//!
//! What it promises. A statement begins after the last of its askers came, so none gets an answer older
//! than his question, whichever instance wrote last; nothing is kept from one statement to the next.
//! The queue is bounded, and who finds it full is turned away at once. An asker who gives up takes
//! nothing from the others. A connection that fails is thrown away; its askers are asked for once more
//! on a fresh one, and are refused after that. Nobody waits for ever.

use crate::base::error::{Error, Result};
use crate::db::is_down;
use futures_util::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// How long a server that does not answer is knocked at before its askers are refused.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two knocks.
const PAUSE: Duration = Duration::from_millis(25);

/// A kind of question that can be asked for many at once.
pub trait Question: Send + Sync + 'static {
    /// What one asker gets.
    type Answer: Send + 'static;

    /// What it costs beside others, in the unit of [`Bounds::cost`].
    fn cost(&self) -> usize;

    /// Asks for all of them and answers in their order. An asker's own fault stays his own: the outer
    /// error is the database's.
    fn ask(
        db: &mut PgConnection,
        questions: &[&Self],
    ) -> impl Future<Output = sqlx::Result<Vec<Result<Self::Answer>>>> + Send;
}

/// How much is taken at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For the figures.
    pub name: &'static str,
    /// Connections, each opened when it is first needed.
    pub connections: usize,
    /// Askers that wait at most; the next is refused.
    pub queue: usize,
    /// Askers merged at most.
    pub askers: usize,
    /// Their cost together at most; one who costs more is asked for alone.
    pub cost: usize,
    /// How long one try may take.
    pub patience: Duration,
}

struct Waiting<Q: Question> {
    question: Q,
    answer: oneshot::Sender<Result<Q::Answer>>,
}

/// Asks questions of one kind, merged. Ends, with its connections, when the last clone is dropped.
pub struct Merged<Q: Question> {
    name: &'static str,
    queue: mpsc::Sender<Waiting<Q>>,
}

impl<Q: Question> Clone for Merged<Q> {
    fn clone(&self) -> Self {
        Self { name: self.name, queue: self.queue.clone() }
    }
}

impl<Q: Question> Merged<Q> {
    /// Sets it up; nothing is connected yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(database: &Arc<PgConnectOptions>, bounds: Bounds) -> Self {
        let (queue, waiting) = mpsc::channel(bounds.queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..bounds.connections {
            let worker = Worker {
                bounds,
                database: Arc::clone(database),
                waiting: Arc::clone(&waiting),
                taken: VecDeque::with_capacity(bounds.askers),
                db: None,
            };
            tokio::spawn(worker.work());
        }
        Self { name: bounds.name, queue }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Overloaded, if too many wait already; unavailable, if the database is away; the answer's own.
    pub async fn ask(&self, question: Q) -> Result<Q::Answer> {
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Waiting { question, answer }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Error::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.ended()),
        }
        answered.await.unwrap_or_else(|_| Err(self.ended()))
    }

    fn ended(&self) -> Error {
        Error::Unavailable(format!("the reader of {} has ended", self.name).into())
    }
}

struct Worker<Q: Question> {
    bounds: Bounds,
    database: Arc<PgConnectOptions>,
    waiting: Arc<Mutex<mpsc::Receiver<Waiting<Q>>>>,
    taken: VecDeque<Waiting<Q>>,
    db: Option<PgConnection>,
}

impl<Q: Question> Worker<Q> {
    async fn work(mut self) {
        let [mut came, mut together] = [(); 2].map(|()| Vec::with_capacity(self.bounds.askers));
        loop {
            if self.taken.is_empty() {
                let mut waiting = self.waiting.lock().await;
                if waiting.recv_many(&mut came, self.bounds.askers).await == 0 {
                    break;
                }
                drop(waiting);
                self.taken.extend(came.drain(..));
            }
            let mut cost = 0_usize;
            while let Some(next) = self.taken.front() {
                let more = cost.saturating_add(next.question.cost());
                if !together.is_empty() && more > self.bounds.cost {
                    break;
                }
                cost = more;
                // Who gave up is not asked for.
                together.extend(self.taken.pop_front().filter(|next| !next.answer.is_closed()));
            }
            self.answer(&mut together).await;
        }
        if let Some(db) = self.db.take() {
            let _ = timeout(CONNECT, db.close()).await;
        }
    }

    /// Asks for all, and once more if that fails: all of them where the connection was at fault, else
    /// each alone, so that one whom the database refuses spoils nobody else's answer.
    async fn answer(&mut self, together: &mut Vec<Waiting<Q>>) {
        if together.is_empty() {
            return;
        }
        metrics::counter!("ormantrace_merged_statements_total", "reader" => self.bounds.name).increment(1);
        metrics::counter!("ormantrace_merged_askers_total", "reader" => self.bounds.name)
            .increment(u64::try_from(together.len()).unwrap_or(u64::MAX));
        let fault = match self.attempt(together).await {
            Ok(answers) => return hand_out(together, answers),
            Err(fault) => fault,
        };
        tracing::warn!(reader = self.bounds.name, error = %fault, "merged reads failed and are tried again");
        // Where one question may be at fault, each is asked alone.
        let size = if is_everybodys(&fault) { together.len() } else { 1 };
        while !together.is_empty() {
            let mut part: Vec<_> = together.drain(..size.min(together.len())).collect();
            match self.attempt(&part).await {
                Ok(answers) => hand_out(&mut part, answers),
                Err(fault) => {
                    let told = format!("merged reads: {fault}");
                    let one = (part.len() == 1).then(|| Error::from(fault));
                    let each = one
                        .into_iter()
                        .chain(std::iter::repeat_with(|| Error::Unavailable(told.clone().into())));
                    hand_out(&mut part, each.map(Err));
                }
            }
        }
    }

    /// One try. Whatever goes wrong, its connection is not used again.
    async fn attempt(&mut self, askers: &[Waiting<Q>]) -> sqlx::Result<Vec<Result<Q::Answer>>> {
        let mut db = match self.db.take() {
            Some(db) => db,
            None => connect(&self.database).await?,
        };
        let questions: Vec<&Q> = askers.iter().map(|asker| &asker.question).collect();
        let asking = AssertUnwindSafe(Q::ask(&mut db, &questions)).catch_unwind();
        let answers = match timeout(self.bounds.patience, asking).await {
            Ok(Ok(answers)) => answers?,
            Ok(Err(_)) => return Err(sqlx::Error::Protocol("merged reads panicked".into())),
            Err(_) => return Err(late()),
        };
        if answers.len() != askers.len() {
            return Err(sqlx::Error::Protocol("merged reads: not an answer for each".into()));
        }
        self.db = Some(db);
        Ok(answers)
    }
}

fn hand_out<Q: Question>(askers: &mut Vec<Waiting<Q>>, answers: impl IntoIterator<Item = Result<Q::Answer>>) {
    for (asker, answer) in askers.drain(..).zip(answers) {
        // Nobody may be waiting any more.
        let _ = asker.answer.send(answer);
    }
}

/// Whether the failure says nothing about any one question: the database is away, or too slow.
fn is_everybodys(fault: &sqlx::Error) -> bool {
    let code = fault.as_database_error().and_then(sqlx::error::DatabaseError::code);
    is_down(fault) || code.is_some_and(|code| code.starts_with("53") || code == "57014")
}

fn late() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// A connection, as soon as the server gives one.
async fn connect(database: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let until = Instant::now() + CONNECT;
    loop {
        match timeout(CONNECT, database.connect()).await {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(fault)) if !is_down(&fault) || Instant::now() + PAUSE > until => return Err(fault),
            Ok(Err(_)) => sleep(PAUSE).await,
            Err(_) => return Err(late()),
        }
    }
}

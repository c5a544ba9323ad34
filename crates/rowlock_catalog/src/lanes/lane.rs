//! One lane: its statements, and how far its driver is.

use super::driver::{self, Answer, Job};
use super::group::{Form, group, prepare_scope};
use super::row::{FoundRow, LaneRow, Shape, shape};
use super::{Ask, Failure};
use crate::connect::RawConnection;
use crate::scope::SCOPE;
use parking_lot::Mutex;
use rowlock_types::Role;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// More requests than this are never under way on one lane.
const DEEPEST: usize = 64;

/// More statements than this a lane does not keep: the number of roles is the clients' choice.
const MAX_STATEMENTS: usize = 512;

const SCOPE_PARAMETERS: usize = 9;

pub(super) struct Lane {
    jobs: mpsc::UnboundedSender<Job>,
    progress: Arc<Progress>,
    statements: Mutex<HashMap<(&'static str, Role), Statement>>,
    /// Names that no other connection uses: should a pooler ever mix connections up, a name is
    /// unknown there, never another's.
    prefix: String,
    scope_name: String,
    numbers: AtomicU64,
    /// Names whose first request came to nothing: the database may know them, or not.
    spare: Mutex<Vec<String>>,
    began: Instant,
    /// Milliseconds after `began`.
    used: AtomicU64,
}

/// What driver and requests know of each other.
#[derive(Default)]
pub(super) struct Progress {
    /// Requests under way.
    pub(super) waiting: AtomicUsize,
    /// The one in front takes long: nobody else should queue up.
    pub(super) stalled: AtomicBool,
    /// Nothing will be answered any more.
    pub(super) ended: AtomicBool,
}

#[derive(Clone)]
enum Statement {
    /// Somebody's request brings it along.
    OnItsWay,
    Ready {
        name: Arc<str>,
        shape: Shape,
    },
    /// Its rows hold what only the driver can read.
    Unreadable,
}

impl Lane {
    /// Takes a connection over. `None` where it does not do what it should.
    pub(super) async fn start(connection: RawConnection) -> Option<Self> {
        let prefix = format!("lane_{}_", uuid::Uuid::new_v4().simple());
        let scope_name = format!("{prefix}scope");
        let first = prepare_scope(&scope_name, SCOPE, SCOPE_PARAMETERS).ok()?;
        let (jobs, receiver) = mpsc::unbounded_channel();
        let progress = Arc::new(Progress::default());
        let mut stream = connection.into_stream();
        driver::greet(&mut stream, first).await?;
        tokio::spawn(driver::drive(stream, receiver, Arc::clone(&progress)));
        Some(Self {
            jobs,
            progress,
            statements: Mutex::default(),
            prefix,
            scope_name,
            numbers: AtomicU64::new(0),
            spare: Mutex::default(),
            began: Instant::now(),
            used: AtomicU64::new(0),
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.progress.ended.load(Ordering::Acquire)
    }

    pub(super) fn waiting(&self) -> usize {
        self.progress.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn takes_more(&self) -> bool {
        !self.progress.stalled.load(Ordering::Relaxed) && self.waiting() < DEEPEST
    }

    pub(super) fn idle_for(&self) -> Duration {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(used)
    }

    pub(super) async fn read(&self, ask: &Ask<'_>) -> Result<Vec<FoundRow>, Failure> {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(millis, Ordering::Relaxed);
        let key = (ask.sql, ask.role.clone());
        let known = self.statements.lock().get(&key).cloned();
        match known {
            Some(Statement::Ready { name, shape }) => {
                let answer = self.send(ask, &Form::Known(&name)).await?;
                rows(&shape, &answer)
            }
            Some(Statement::Unreadable) => Err(Failure::Elsewhere),
            Some(Statement::OnItsWay) => {
                let answer = self.send(ask, &Form::New("")).await?;
                rows(&described(&answer)?, &answer)
            }
            None => self.read_first(key, ask).await,
        }
    }

    /// Brings the statement along, to be kept.
    async fn read_first(
        &self,
        key: (&'static str, Role),
        ask: &Ask<'_>,
    ) -> Result<Vec<FoundRow>, Failure> {
        let name = {
            let mut statements = self.statements.lock();
            if statements.len() >= MAX_STATEMENTS {
                String::new()
            } else {
                statements.insert(key.clone(), Statement::OnItsWay);
                self.spare.lock().pop().unwrap_or_else(|| {
                    format!("{}{}", self.prefix, self.numbers.fetch_add(1, Ordering::Relaxed))
                })
            }
        };
        // Whoever is dropped, or fails, before the answer is there leaves the next one to try,
        // under the same name: each new one would stay in the database's memory.
        let kept = (!name.is_empty()).then(|| (key, name.clone()));
        let mut note = Note { lane: self, kept };
        let answer = self.send(ask, &Form::New(&name)).await?;
        let shape = match described(&answer) {
            Ok(shape) => shape,
            Err(failure) => {
                note.keep(Statement::Unreadable);
                return Err(failure);
            }
        };
        note.keep(Statement::Ready { name: name.into(), shape: Arc::clone(&shape) });
        rows(&shape, &answer)
    }

    async fn send(&self, ask: &Ask<'_>, form: &Form<'_>) -> Result<Answer, Failure> {
        let bytes = group(&self.scope_name, ask, form).ok_or(Failure::Elsewhere)?;
        let (reply, answer) = oneshot::channel();
        self.progress.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.jobs.send(Job { bytes, reply });
        if sent.is_err() {
            self.progress.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::Elsewhere);
        }
        answer.await.unwrap_or(Err(Failure::Elsewhere))
    }
}

fn described(answer: &Answer) -> Result<Shape, Failure> {
    answer.description.as_ref().and_then(shape).ok_or(Failure::Elsewhere)
}

fn rows(shape: &Shape, answer: &Answer) -> Result<Vec<FoundRow>, Failure> {
    let rows = answer.rows.iter().map(|body| LaneRow::new(shape, body).map(FoundRow::Lane));
    rows.collect::<Option<_>>().ok_or(Failure::Elsewhere)
}

/// That a statement is on its way under a name; both are taken back unless it arrived.
struct Note<'a> {
    lane: &'a Lane,
    kept: Option<((&'static str, Role), String)>,
}

impl Note<'_> {
    fn keep(&mut self, statement: Statement) {
        if let Some((key, _)) = self.kept.take() {
            self.lane.statements.lock().insert(key, statement);
        }
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if let Some((key, name)) = self.kept.take() {
            self.lane.statements.lock().remove(&key);
            // Whoever takes the name sends behind this request: the database works in order.
            self.lane.spare.lock().push(name);
        }
    }
}

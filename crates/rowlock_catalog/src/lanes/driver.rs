//! A lane's driver: writes what requests send, and hands out what the database answers, in order.

use super::Failure;
use super::group::STATEMENTS;
use super::lane::Progress;
use crate::connect::Duplex;
use crate::error::{DatabaseReport, Error, is_in_user_code};
use bytes::{Buf, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{
    DataRowBody, ErrorResponseBody, Message, RowDescriptionBody,
};
use postgres_protocol::message::frontend;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::error::SqlState;

/// Who takes longer than this holds others up: those behind it go elsewhere.
const PATIENCE: Duration = Duration::from_millis(50);

/// Bytes that are read at once.
const ROOM: usize = 16 * 1024;
const LEAST_ROOM: usize = 2 * 1024;

/// How long the first answer of a new connection may take.
const GREETING: Duration = Duration::from_secs(10);

/// One request's messages up to its Sync, and who waits for the answer.
pub(super) struct Job {
    pub(super) bytes: BytesMut,
    pub(super) reply: oneshot::Sender<Result<Answer, Failure>>,
}

/// The rows of a request's own statement.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<DataRowBody>,
    pub(super) description: Option<RowDescriptionBody>,
}

/// A request on its way.
struct Pending {
    /// Nobody, once the request went elsewhere.
    reply: Option<oneshot::Sender<Result<Answer, Failure>>>,
    ended: u32,
    answer: Answer,
    error: Option<Failure>,
}

/// Why a lane is given up. Its requests are asked elsewhere.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the database closed it")]
    Closed,
    #[error("an answer that nothing asked for")]
    Unexpected,
    #[error("a transaction stayed open")]
    Open,
    #[error("a statement is not what it was")]
    Statement,
}

/// Sends the first messages, and waits for their end. `None` unless all went well.
pub(super) async fn greet(stream: &mut Box<dyn Duplex>, first: BytesMut) -> Option<()> {
    let exchange = async {
        stream.write_all(&first).await.ok()?;
        stream.flush().await.ok()?;
        let mut input = BytesMut::new();
        loop {
            match Message::parse(&mut input).ok()? {
                Some(Message::ReadyForQuery(ready)) => {
                    return (ready.status() == b'I' && input.is_empty()).then_some(());
                }
                Some(Message::ErrorResponse(_)) => return None,
                Some(_) => {}
                None => {
                    if stream.read_buf(&mut input).await.ok()? == 0 {
                        return None;
                    }
                }
            }
        }
    };
    tokio::time::timeout(GREETING, exchange).await.ok().flatten()
}

/// Serves a lane until nobody can send any more, or it breaks.
pub(super) async fn drive(
    stream: Box<dyn Duplex>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    progress: Arc<Progress>,
) {
    let mut queue = Queue { pending: VecDeque::new(), front_since: Instant::now(), progress };
    if let Err(broken) = serve(stream, &mut jobs, &mut queue).await {
        tracing::debug!(%broken, "a lane ended");
    }
    queue.progress.ended.store(true, Ordering::Release);
    // All replies go with the queue and the jobs: who waits for one asks elsewhere.
}

async fn serve(
    stream: Box<dyn Duplex>,
    jobs: &mut mpsc::UnboundedReceiver<Job>,
    queue: &mut Queue,
) -> Result<(), Broken> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let (mut unflushed, mut open) = (false, true);
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    while open || !queue.pending.is_empty() {
        // Rows keep their piece of the buffer, so that it is a new one as often as not.
        if input.capacity() - input.len() < LEAST_ROOM {
            input.reserve(ROOM);
        }
        tokio::select! {
            biased;
            read = reader.read_buf(&mut input) => {
                if read? == 0 {
                    return Err(Broken::Closed);
                }
                while let Some(message) = Message::parse(&mut input)? {
                    queue.take(message)?;
                }
            }
            job = jobs.recv(), if open => match job {
                Some(job) => {
                    queue.push(job, &mut output);
                    while let Ok(job) = jobs.try_recv() {
                        queue.push(job, &mut output);
                    }
                    unflushed = true;
                }
                None => open = false,
            },
            flushed = write(&mut writer, &mut output), if unflushed => unflushed = !flushed?,
            () = &mut patience, if !queue.pending.is_empty() => {
                patience.as_mut().reset((queue.look() + PATIENCE).into());
            }
        }
    }
    frontend::terminate(&mut output);
    writer.write_all(&output).await?;
    Ok(writer.shutdown().await?)
}

/// Writes a piece, or flushes what was written; returns whether nothing is left to do. It may be
/// dropped at any point, and called anew.
async fn write(
    writer: &mut WriteHalf<Box<dyn Duplex>>,
    output: &mut BytesMut,
) -> Result<bool, Broken> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(true);
    }
    match writer.write(output).await? {
        0 => Err(Broken::Closed),
        written => {
            output.advance(written);
            Ok(false)
        }
    }
}

/// The requests on their way, the oldest in front.
struct Queue {
    pending: VecDeque<Pending>,
    front_since: Instant,
    progress: Arc<Progress>,
}

impl Queue {
    fn push(&mut self, job: Job, output: &mut BytesMut) {
        // It came when the lane still looked quick, or its sender is gone already.
        if job.reply.is_closed() || self.progress.stalled.load(Ordering::Relaxed) {
            self.progress.waiting.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if self.pending.is_empty() {
            self.front_since = Instant::now();
        }
        if output.is_empty() {
            *output = job.bytes;
        } else {
            output.extend_from_slice(&job.bytes);
        }
        self.pending.push_back(Pending {
            reply: Some(job.reply),
            ended: 0,
            answer: Answer::default(),
            error: None,
        });
    }

    /// Sends everybody elsewhere who waits behind a slow request. Returns from when on to count
    /// until the next look.
    fn look(&mut self) -> Instant {
        if self.front_since.elapsed() < PATIENCE {
            return self.front_since;
        }
        self.progress.stalled.store(true, Ordering::Relaxed);
        for pending in self.pending.iter_mut().skip(1) {
            // Dropped: the other end hears of it.
            pending.reply = None;
        }
        Instant::now()
    }

    fn take(&mut self, message: Message) -> Result<(), Broken> {
        if let Message::ReadyForQuery(ready) = &message {
            let Some(done) = self.pending.pop_front() else { return Err(Broken::Unexpected) };
            self.front_since = Instant::now();
            // While those that went elsewhere are still worked through, nobody joins them.
            let left = self.pending.front().is_some_and(|front| front.reply.is_none());
            self.progress.stalled.store(left, Ordering::Relaxed);
            self.progress.waiting.fetch_sub(1, Ordering::Relaxed);
            if ready.status() != b'I' {
                return Err(Broken::Open);
            }
            return done.finish();
        }
        let Some(front) = self.pending.front_mut() else {
            return match message {
                // What the server says unasked.
                Message::NoticeResponse(_)
                | Message::ParameterStatus(_)
                | Message::NotificationResponse(_) => Ok(()),
                _ => Err(Broken::Unexpected),
            };
        };
        match message {
            // The scope's own row says nothing.
            Message::DataRow(row) if front.ended + 1 == STATEMENTS => front.answer.rows.push(row),
            Message::RowDescription(body) => front.answer.description = Some(body),
            Message::CommandComplete(_) => front.ended += 1,
            Message::ErrorResponse(body) => {
                front.error.get_or_insert(failure(&body)?);
            }
            Message::DataRow(_)
            | Message::BindComplete
            | Message::CloseComplete
            | Message::ParseComplete
            | Message::ParameterDescription(_)
            | Message::NoticeResponse(_)
            | Message::ParameterStatus(_)
            | Message::NotificationResponse(_) => {}
            _ => return Err(Broken::Unexpected),
        }
        Ok(())
    }
}

impl Pending {
    fn finish(self) -> Result<(), Broken> {
        let answer = match self.error {
            Some(failure) => Err(failure),
            None if self.ended == STATEMENTS => Ok(self.answer),
            // Neither an error nor the end of both: what else this is, nobody may rely on it.
            None => return Err(Broken::Unexpected),
        };
        if let Some(reply) = self.reply {
            // Nobody may wait any more.
            let _ = reply.send(answer);
        }
        Ok(())
    }
}

/// What the database says; a lane whose statements it does not know (any more) is given up.
fn failure(body: &ErrorResponseBody) -> Result<Failure, Broken> {
    let (mut state, mut severity, mut message) = (None, String::new(), String::new());
    let (mut detail, mut constraint, mut in_user_code) = (None, None, false);
    let mut fields = body.fields();
    while let Some(field) = fields.next()? {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => state = Some(SqlState::from_code(&text)),
            b'V' => severity = text,
            b'M' => message = text,
            b'D' => detail = Some(text),
            b'n' => constraint = Some(text),
            b'W' => in_user_code |= is_in_user_code(&text),
            b'p' => in_user_code = true,
            _ => {}
        }
    }
    let Some(state) = state else { return Err(Broken::Unexpected) };
    const LOST: [SqlState; 3] = [
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
        // "cached plan must not change result type": a table has changed.
        SqlState::FEATURE_NOT_SUPPORTED,
    ];
    if !in_user_code && LOST.contains(&state) {
        return Err(Broken::Statement);
    }
    let error = Error::of_database(DatabaseReport {
        state,
        ends_session: severity == "FATAL" || severity == "PANIC",
        message: &message,
        detail: detail.as_deref(),
        constraint: constraint.as_deref(),
        in_user_code,
    });
    Ok(match error {
        Error::Database { .. } => Failure::Database(error),
        _ => Failure::Elsewhere,
    })
}

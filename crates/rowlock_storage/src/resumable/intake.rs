//! A body that is read piece by piece, by a reader who may turn away and come back.

use crate::error::Error;
use crate::receive::UploadStream;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Pieces start small and grow while the peer keeps up.
const SMALLEST: usize = 64 * 1024;
const LARGEST: usize = 512 * 1024;

/// How long bytes wait for more of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// A body on its way, and what was read of it and not handed on.
pub(crate) struct Intake {
    body: UploadStream,
    first: Bytes,
    buffer: BytesMut,
    target: usize,
    since: Option<Instant>,
    ended: bool,
}

impl Intake {
    pub(crate) fn new(body: UploadStream) -> Self {
        Self {
            body,
            first: Bytes::new(),
            buffer: BytesMut::new(),
            target: SMALLEST,
            since: None,
            ended: false,
        }
    }

    /// The next piece; `None` at the end. Nothing is lost when this is dropped half way.
    ///
    /// # Errors
    /// [`Error::Body`]; what came before it is the [`rest`](Self::rest).
    pub(crate) async fn pull(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let there = self.buffer.len().max(self.first.len());
            if there >= self.target {
                let quick = self.since.is_some_and(|at| at.elapsed() < PATIENCE / 4);
                self.target = if quick { (self.target * 2).min(LARGEST) } else { SMALLEST };
                return Ok(Some(self.rest()));
            }
            if self.ended {
                return Ok(Some(self.rest()).filter(|rest| !rest.is_empty()));
            }
            let next = match self.since {
                None => self.body.next().await,
                Some(at) => match timeout_at(at + PATIENCE, self.body.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.target = SMALLEST;
                        return Ok(Some(self.rest()));
                    }
                },
            };
            match next {
                None => self.ended = true,
                Some(Err(error)) => return Err(Error::Body(error)),
                Some(Ok(chunk)) => self.take(chunk),
            }
        }
    }

    fn take(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        if self.since.is_none() {
            // A piece of one chunk is never copied.
            self.first = chunk;
            self.since = Some(Instant::now());
            return;
        }
        if self.buffer.is_empty() {
            self.buffer.reserve(self.target.max(self.first.len() + chunk.len()));
            self.buffer.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.buffer.extend_from_slice(&chunk);
    }

    /// What was read and not handed on.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.since = None;
        if self.buffer.is_empty() {
            return std::mem::take(&mut self.first);
        }
        std::mem::take(&mut self.buffer).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::time::sleep;

    fn body(pieces: Vec<(u64, Result<&'static str, &'static str>)>) -> UploadStream {
        stream::iter(pieces)
            .then(|(seconds, piece)| async move {
                sleep(Duration::from_secs(seconds)).await;
                let failed = |why: &str| crate::BodyError(why.to_owned().into());
                piece.map(|text| Bytes::from_static(text.as_bytes())).map_err(failed)
            })
            .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_turns_away_loses_nothing() {
        let pieces = vec![(1, Ok("ab")), (1, Ok("cd")), (9, Ok("ef")), (1, Ok("g"))];
        let mut intake = Intake::new(body(pieces));
        let mut got = Vec::new();
        loop {
            match tokio::time::timeout(Duration::from_millis(700), intake.pull()).await {
                Err(_) => {}
                Ok(piece) => match piece.unwrap() {
                    Some(piece) => got.push(String::from_utf8(piece.to_vec()).unwrap()),
                    None => break,
                },
            }
        }
        assert_eq!(got, ["abcd", "efg"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_an_error_is_there() {
        let pieces = vec![(0, Ok("ab")), (0, Ok("")), (0, Ok("cd")), (1, Err("cut"))];
        let mut intake = Intake::new(body(pieces));
        assert!(matches!(intake.pull().await, Err(Error::Body(_))));
        assert_eq!(intake.rest(), "abcd");
        assert_eq!(intake.rest(), "");
    }

    #[tokio::test]
    async fn pieces_grow_and_are_whole() {
        let chunk = Bytes::from(vec![7; 40_000]);
        let mut intake = Intake::new(stream::iter(vec![chunk; 60]).map(Ok).boxed());
        let (mut total, mut largest) = (0, 0);
        while let Some(piece) = intake.pull().await.unwrap() {
            assert!(piece.iter().all(|byte| *byte == 7));
            total += piece.len();
            largest = largest.max(piece.len());
        }
        assert_eq!(total, 2_400_000);
        assert!((LARGEST..LARGEST + 40_000).contains(&largest), "{largest}");
    }
}

//! A body on its way from the socket to the store: bounded buffers, digests beside the writes.

use crate::error::{BodyError, Error};
use crate::limit::Room;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rowlock_blobs::BlobWriter;
use rowlock_digest::{Algorithm, Checksum, DigestValues, Digests};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A request body, decoded (no chunk framing), as it arrives.
pub type UploadStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// What the client said about the body; everything that is set is verified before anything of
/// the body counts.
#[derive(Debug, Default)]
pub struct Expected {
    /// The length in bytes, if announced (`Content-Length`, `x-amz-decoded-content-length`).
    pub length: Option<u64>,
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// `x-amz-content-sha256`, where it is a digest.
    pub sha256: Option<[u8; 32]>,
    /// `x-amz-checksum-*` headers.
    pub checksums: Vec<Checksum>,
    /// Checksums that come in the trailer.
    pub trailer: Option<TrailerChecks>,
    /// A checksum to compute although the client sends none.
    pub compute: Option<Algorithm>,
    /// What the bytes have where they are not a client's, but come from the store.
    pub stored: Option<Checksum>,
}

/// Checksums announced by `x-amz-trailer`: their algorithms are known at the start, their values
/// only when the body has ended.
#[derive(Debug, Clone, Default)]
pub struct TrailerChecks {
    /// What to compute.
    pub algorithms: Vec<Algorithm>,
    /// Filled by whoever decodes the body, before the stream ends.
    pub values: Arc<Mutex<Vec<Checksum>>>,
}

impl Expected {
    fn algorithms(&self) -> Vec<Algorithm> {
        let mut all = vec![Algorithm::Md5];
        all.extend(self.sha256.map(|_| Algorithm::Sha256));
        all.extend(self.checksums.iter().map(Checksum::algorithm));
        all.extend(self.trailer.iter().flat_map(|trailer| trailer.algorithms.iter().copied()));
        all.extend(self.compute);
        all.extend(self.stored.iter().map(Checksum::algorithm));
        all
    }

    /// The algorithm of the S3 checksum that the client sends, if it sends one.
    pub(crate) fn claimed(&self) -> Option<Algorithm> {
        let announced = self.trailer.iter().flat_map(|trailer| trailer.algorithms.iter().copied());
        self.checksums.iter().map(Checksum::algorithm).chain(announced).next()
    }

    /// With the checksum that S3 computes where the client sends none.
    #[must_use]
    pub fn or_default_checksum(mut self) -> Self {
        if self.claimed().is_none() {
            self.compute = self.compute.or(Some(crate::DEFAULT_CHECKSUM.algorithm));
        }
        self
    }

    /// Compares what was said with what was received.
    fn verify(&self, received: &Received) -> Result<(), Error> {
        if self.length.is_some_and(|length| length != received.size) {
            return Err(Error::IncompleteBody);
        }
        if let Some(stored) = &self.stored
            && received.digests.fits(stored) != Some(true)
        {
            tracing::error!(
                algorithm = %stored.algorithm(),
                "the store gave other bytes of an object than were written: its copy is given up"
            );
            let why = "other bytes than the object's".to_owned();
            return Err(
                rowlock_blobs::Error::Unavailable { doing: "copying an object", why }.into()
            );
        }
        if self.md5.is_some_and(|md5| Some(md5) != received.digests.md5()) {
            return Err(Error::BadDigest("Content-MD5"));
        }
        if self.sha256.is_some_and(|sha256| Some(sha256) != received.digests.sha256()) {
            return Err(Error::ContentSha256Mismatch);
        }
        let trailing = match &self.trailer {
            Some(trailer) => {
                let values = trailer.values.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if trailer.algorithms.iter().any(|a| !values.iter().any(|v| v.algorithm() == *a)) {
                    // Announced and not sent: the body was cut behind its last chunk.
                    return Err(Error::IncompleteBody);
                }
                values
            }
            None => Vec::new(),
        };
        for claimed in self.checksums.iter().chain(&trailing) {
            // A checksum that was not computed was not announced; it can't be vouched for.
            if received.digests.fits(claimed) != Some(true) {
                return Err(Error::BadDigest(claimed.algorithm().name()));
            }
        }
        Ok(())
    }
}

/// A body that was received whole and found to be what the client said.
pub(crate) struct Received {
    pub(crate) size: u64,
    pub(crate) digests: DigestValues,
    /// The S3 checksum that was sent and verified, or asked for.
    pub(crate) checksum: Option<Checksum>,
}

impl Received {
    /// The MD5 digest, which is always computed.
    pub(crate) fn md5(&self) -> [u8; 16] {
        self.digests.md5().unwrap_or_default()
    }
}

/// Buffers start small and grow while the peer keeps up.
const SMALLEST_BUFFER: usize = 64 * 1024;
const LARGEST_BUFFER: usize = 512 * 1024;

/// How long bytes wait for more of them before they are handed on. Until then the whole buffer
/// that they were read into stays, which is too much for what a slow client has sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bodies up to this size are hashed where they are: cheaper than a hop to another thread.
const HASH_INLINE: usize = 32 * 1024;

/// Receives a body into a writer. On an error the writer is dropped, and nothing stays.
pub(crate) async fn receive(
    mut body: UploadStream,
    mut writer: Box<dyn BlobWriter>,
    expected: &Expected,
    room: Option<Room>,
) -> Result<(Box<dyn BlobWriter>, Received), Error> {
    let mut digests = Digests::new(expected.algorithms());
    let mut size = 0_u64;
    let mut target = SMALLEST_BUFFER;
    let mut ready = Bytes::new();
    loop {
        // While one buffer is hashed and written, the next one is read from the socket.
        let began = Instant::now();
        let filling = fill(&mut body, target);
        let (filled, processed) =
            futures_util::join!(filling, process(digests, writer.as_mut(), ready));
        digests = processed?;
        let (next, ended) = filled?;
        size += next.len() as u64;
        if let Some(room) = room.filter(|room| !room.holds(size)) {
            return Err(Error::EntityTooLarge { limit: room.limit, size: None });
        }
        if expected.length.is_some_and(|length| size > length) {
            return Err(Error::IncompleteBody);
        }
        ready = next;
        if ended {
            break;
        }
        target = match began.elapsed() {
            quick if quick < Duration::from_millis(500) => (target * 2).min(LARGEST_BUFFER),
            slow if slow >= PATIENCE => SMALLEST_BUFFER,
            _ => target,
        };
    }
    let digests = process(digests, writer.as_mut(), ready).await?;
    let digests = digests.finish();
    let checksum = expected.claimed().or(expected.compute).and_then(|a| digests.checksum(a));
    let received = Received { size, digests, checksum };
    expected.verify(&received)?;
    Ok((writer, received))
}

/// Reads until `target` bytes are there, or some and no patience is left, or the body has ended.
async fn fill(body: &mut UploadStream, target: usize) -> Result<(Bytes, bool), Error> {
    let mut first = Bytes::new();
    let mut buffer = BytesMut::new();
    let mut deadline = None;
    loop {
        let next = match deadline {
            None => body.next().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, body.next()).await {
                Ok(next) => next,
                Err(_) => {
                    return Ok((if buffer.is_empty() { first } else { buffer.freeze() }, false));
                }
            },
        };
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(Error::Body)?;
        if buffer.is_empty() && first.is_empty() {
            // A body of one chunk is never copied.
            first = chunk;
            deadline = Some(tokio::time::Instant::now() + PATIENCE);
        } else {
            if buffer.is_empty() {
                buffer.reserve(first.len() + chunk.len());
                buffer.extend_from_slice(&first);
                first = Bytes::new();
            }
            buffer.extend_from_slice(&chunk);
        }
        if buffer.len().max(first.len()) >= target {
            return Ok((if buffer.is_empty() { first } else { buffer.freeze() }, false));
        }
    }
    Ok((if buffer.is_empty() { first } else { buffer.freeze() }, true))
}

/// Hashes and writes one buffer, side by side.
async fn process(
    mut digests: Digests,
    writer: &mut dyn BlobWriter,
    buffer: Bytes,
) -> Result<Digests, Error> {
    if buffer.is_empty() {
        return Ok(digests);
    }
    if buffer.len() <= HASH_INLINE {
        digests.update(&buffer);
        writer.write(buffer).await?;
        return Ok(digests);
    }
    let bytes = buffer.clone();
    let hashing = tokio::task::spawn_blocking(move || {
        digests.update(&bytes);
        digests
    });
    let (hashed, written) = futures_util::join!(hashing, writer.write(buffer));
    written?;
    hashed.map_err(|_| Error::Internal("hashing failed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::time::sleep;

    fn body(pieces: Vec<(u64, &'static str)>) -> UploadStream {
        stream::iter(pieces)
            .then(|(seconds, piece)| async move {
                sleep(Duration::from_secs(seconds)).await;
                Ok(Bytes::from_static(piece.as_bytes()))
            })
            .boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_client_has_sent_does_not_wait_for_more() {
        let mut slow = body(vec![(9, "a"), (1, "b"), (9, "cde"), (1, "f")]);
        let mut handed_on = Vec::new();
        loop {
            let (bytes, ended) = fill(&mut slow, 4).await.unwrap();
            handed_on.push(String::from_utf8(bytes.to_vec()).unwrap());
            if ended {
                break;
            }
        }
        // One by patience, one that was full, and the end.
        assert_eq!(handed_on, ["ab", "cdef", ""]);
    }
}

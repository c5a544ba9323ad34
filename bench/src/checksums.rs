//! What checksums cost: one large object in one request, without a checksum and with each kind of
//! trailer that SDKs send, in turn, so that a machine that changes over time changes all alike.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use rowlock_digest::{Algorithm, Digests};
use rowlock_sigv4::PayloadMode;

use crate::Result;
use crate::client::{Repeat, Target, noise};
use crate::report::Figure;

/// The aws CLI and boto3 send chunks of this size.
const CHUNK: usize = 1 << 20;

const KINDS: [Option<Algorithm>; 5] = [
    None,
    Some(Algorithm::Crc64Nvme),
    Some(Algorithm::Crc32),
    Some(Algorithm::Sha1),
    Some(Algorithm::Sha256),
];

/// Medians over `rounds` uploads of `mib` MiB of each kind. The checksums are computed
/// beforehand: what is measured is the server.
pub(crate) async fn measure(target: &Target, mib: u64, rounds: usize) -> Result<Vec<Figure>> {
    let block = noise(CHUNK);
    let bodies: Vec<Upload> =
        KINDS.into_iter().map(|kind| Upload::new(kind, &block, mib)).collect();
    let mut rates = vec![Vec::new(); bodies.len()];
    for _ in 0..rounds {
        for (upload, rates) in bodies.iter().zip(&mut rates) {
            rates.push(upload.send(target, mib).await?);
        }
    }
    let medians: Vec<f64> = rates.into_iter().map(median).collect();
    let plain = medians[0];
    let mut figures = Vec::new();
    for (upload, rate) in bodies.iter().zip(medians) {
        let name = format!("upload of {mib} MiB, {}", upload.name);
        figures.push(Figure::new(&name, rate, "MB/s"));
        if upload.headers.is_some() {
            figures.push(Figure::new(
                &format!("{name}, of the plain rate"),
                100.0 * rate / plain,
                "%",
            ));
        }
    }
    Ok(figures)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A body, and the headers that announce its trailer.
struct Upload {
    name: String,
    body: Repeat,
    headers: Option<[(&'static str, String); 3]>,
}

impl Upload {
    fn new(kind: Option<Algorithm>, block: &Bytes, mib: u64) -> Self {
        let length = mib * CHUNK as u64;
        let Some(algorithm) = kind else {
            let body = Repeat::of(block.clone(), length);
            return Self { name: "no checksum".to_owned(), body, headers: None };
        };
        let mut digests = Digests::new([algorithm]);
        for _ in 0..mib {
            digests.update(block);
        }
        let value = digests.finish().checksum(algorithm).map(|sum| sum.base64());
        let trailer = algorithm.header().unwrap_or_default();
        let frame = [format!("{CHUNK:x}\r\n").as_bytes(), block, b"\r\n"].concat();
        let end = format!("0\r\n{trailer}:{}\r\n\r\n", value.unwrap_or_default());
        let body = Repeat::of(frame.into(), mib * (CHUNK as u64 + 10)).then(end.into());
        let headers = [
            ("content-encoding", "aws-chunked".to_owned()),
            ("x-amz-decoded-content-length", length.to_string()),
            ("x-amz-trailer", trailer.to_owned()),
        ];
        Self { name: format!("{algorithm} in the trailer"), body, headers: Some(headers) }
    }

    async fn send(&self, target: &Target, mib: u64) -> Result<f64> {
        let mut connection = target.connect().await?;
        let body = self.body.clone();
        let request = match &self.headers {
            None => target.request(&Method::PUT, "checksums", "", body)?,
            Some(headers) => {
                let headers: Vec<(&str, &[u8])> =
                    headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                let mode = PayloadMode::StreamingUnsignedTrailer;
                target.request_with(&Method::PUT, ("checksums", ""), mode, &headers, body)?
            }
        };
        let begin = Instant::now();
        connection.expect(request).await?;
        Ok((mib * CHUNK as u64) as f64 / 1e6 / begin.elapsed().as_secs_f64())
    }
}

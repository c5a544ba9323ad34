//! Large bodies: one stream up and down, and multipart uploads side by side.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Connection, Repeat, Target, noise};
use crate::report::Figure;

const UPLOADS: u64 = 8;
/// What the aws CLI uses.
const PART_MIB: u64 = 8;
const MIB: u64 = 1 << 20;

fn rate(bytes: u64, since: Instant) -> f64 {
    bytes as f64 / 1e6 / since.elapsed().as_secs_f64()
}

/// One PUT and one GET of `mib` MiB.
pub(crate) async fn one(target: &Target, mib: u64) -> Result<Vec<Figure>> {
    let bytes = mib * MIB;
    let mut connection = target.connect().await?;
    let body = Repeat::of(noise(MIB as usize), bytes);
    let request = target.request(&Method::PUT, "stream", "", body)?;
    let begin = Instant::now();
    connection.expect(request).await?;
    let up = rate(bytes, begin);

    let request = target.request(&Method::GET, "stream", "", Repeat::nothing())?;
    let begin = Instant::now();
    let got = connection.expect(request).await?;
    let down = rate(bytes, begin);
    if got != bytes {
        return Err(format!("the stream came back with {got} of {bytes} bytes").into());
    }
    Ok(vec![
        Figure::new(&format!("one stream up, {mib} MiB"), up, "MB/s"),
        Figure::new(&format!("one stream down, {mib} MiB"), down, "MB/s"),
    ])
}

/// Eight uploads at once, each sending its parts one after the other.
pub(crate) async fn multipart(target: &Target, mib: u64) -> Result<Vec<Figure>> {
    let block = noise(MIB as usize);
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..UPLOADS {
        let (target, block) = (target.clone(), block.clone());
        tasks.spawn(
            async move { upload(&target, &format!("multipart/{number}"), block, mib).await },
        );
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(vec![Figure::new(
        &format!("{UPLOADS} multipart uploads, {mib} MiB each"),
        rate(UPLOADS * mib * MIB, begin),
        "MB/s",
    )])
}

async fn upload(target: &Target, key: &str, block: Bytes, mib: u64) -> Result<()> {
    let mut connection = target.connect().await?;
    let request = target.request(&Method::POST, key, "uploads=", Repeat::nothing())?;
    let text = text(&mut connection, request).await?;
    let id = text
        .split_once("<UploadId>")
        .and_then(|(_, rest)| rest.split_once("</UploadId>"))
        .ok_or("the answer names no upload id")?
        .0
        .to_owned();
    let mut parts = String::new();
    let mut left = mib;
    let mut number = 1;
    while left > 0 {
        let size = left.min(PART_MIB);
        left -= size;
        let body = Repeat::of(block.clone(), size * MIB);
        let query = format!("partNumber={number}&uploadId={id}");
        let answer = connection.send(target.request(&Method::PUT, key, &query, body)?).await?;
        let status = answer.status();
        let etag = answer.headers().get("etag").and_then(|v| v.to_str().ok()).map(str::to_owned);
        crate::client::drain(answer).await?;
        let etag = etag.ok_or_else(|| format!("part {number} answered {status}"))?;
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        number += 1;
    }
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let query = format!("uploadId={id}");
    let request = target.request(&Method::POST, key, &query, Repeat::whole(Bytes::from(body)))?;
    let answer = self::text(&mut connection, request).await?;
    // Complete may fail after its status line: the answer's body decides.
    if answer.contains("<Error>") { Err(answer.into()) } else { Ok(()) }
}

async fn text(connection: &mut Connection, request: http::Request<Repeat>) -> Result<String> {
    let answer = connection.send(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(text) } else { Err(format!("answered {status}: {text}").into()) }
}

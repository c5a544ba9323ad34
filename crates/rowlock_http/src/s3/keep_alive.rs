//! Answers that may take minutes: CompleteMultipartUpload, CopyObject, UploadPartCopy.
//!
//! What is done within a few seconds is answered with its own status. What takes longer gets its
//! 200 at once and white space while it goes on, so that no client or proxy gives up; its body
//! then ends in the result or in an `<Error>`, as AWS documents for these operations
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>).

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, header};

use super::error::{S3Error, XML_TYPE};
use super::request::S3Request;
use super::response::xml;
use super::xml::Xml;

/// How long an operation may take before its status is decided without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often white space is sent then.
const PULSE: Duration = Duration::from_secs(10);

type Work = Pin<Box<dyn Future<Output = Result<Xml, S3Error>> + Send>>;

/// Answers with what `work` ends in.
pub(crate) async fn answer(
    request: &S3Request,
    work: impl Future<Output = Result<Xml, S3Error>> + Send + 'static,
) -> Result<Response<Body>, S3Error> {
    answer_within(request, Box::pin(work), PATIENCE, PULSE).await
}

async fn answer_within(
    request: &S3Request,
    mut work: Work,
    patience: Duration,
    pulse: Duration,
) -> Result<Response<Body>, S3Error> {
    if let Ok(done) = tokio::time::timeout(patience, &mut work).await {
        return done.map(xml);
    }
    let (resource, ids) = (request.resource.clone(), request.ids.clone());
    // The declaration must come before any white space.
    let declaration = Xml::bare().finish();
    let begin = Bytes::from(declaration.clone());
    let stream = stream::unfold((Some(work), Some(begin)), move |(work, begin)| {
        let (resource, ids, declaration) = (resource.clone(), ids.clone(), declaration.clone());
        async move {
            let mut work = work?;
            if let Some(begin) = begin {
                return Some((begin, (Some(work), None)));
            }
            let document = match tokio::time::timeout(pulse, &mut work).await {
                Err(_) => return Some((Bytes::from_static(b" "), (Some(work), None))),
                Ok(Ok(document)) => document.finish(),
                Ok(Err(error)) => {
                    error.log(&ids);
                    error.document(&resource, &ids)
                }
            };
            let rest = document.strip_prefix(&declaration).unwrap_or(&document).to_owned();
            Some((Bytes::from(rest), (None, None)))
        }
    });
    let stream = futures_util::StreamExt::map(stream, Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, XML_TYPE);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::request::tests::request;
    use futures_util::StreamExt;

    async fn run(
        work: impl Future<Output = Result<Xml, S3Error>> + Send + 'static,
        patience: Duration,
    ) -> Result<(u16, String), &'static str> {
        let pulse = Duration::from_millis(5);
        let answer = answer_within(&request(), Box::pin(work), patience, pulse).await;
        let response = answer.map_err(|error| error.code())?;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
        Ok((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    fn done() -> Result<Xml, S3Error> {
        let mut xml = Xml::new("Result");
        xml.text("ETag", "x");
        Ok(xml)
    }

    #[tokio::test]
    async fn quick_work_has_its_own_status() {
        let patience = Duration::from_secs(60);
        let (status, body) = run(async { done() }, patience).await.unwrap();
        assert_eq!((status, body), (200, done().unwrap().finish()));
        let failed = run(async { Err(S3Error::malformed_xml()) }, patience).await;
        assert_eq!(failed, Err("MalformedXML"));
    }

    #[tokio::test]
    async fn long_work_sends_white_space_after_the_declaration() {
        let (gate, opened) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            let _ = opened.await;
            done()
        };
        let pulse = Duration::from_millis(1);
        let answer = answer_within(&request(), Box::pin(work), Duration::ZERO, pulse).await;
        let response = answer.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), Xml::bare().finish());
        assert_eq!(body.next().await.unwrap().unwrap(), " ");
        gate.send(()).unwrap();
        let mut rest = String::new();
        while let Some(piece) = body.next().await {
            rest.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        assert!(rest.trim_start().starts_with("<Result "), "{rest}");
    }

    #[tokio::test]
    async fn a_late_failure_is_told_in_the_body() {
        let work = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(S3Error::malformed_xml())
        };
        let (status, body) = run(work, Duration::ZERO).await.unwrap();
        assert_eq!(status, 200);
        assert!(body.contains("<Error><Code>MalformedXML</Code>"), "{body}");
    }
}

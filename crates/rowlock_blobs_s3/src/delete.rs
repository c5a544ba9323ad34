//! Deleting blobs, a thousand keys at a time.

use crate::failure::Failure;
use crate::layout::fits_xml;
use crate::retry::retrying;
use crate::store::Inner;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use rowlock_blobs::{BlobKey, Error};
use std::collections::HashMap;

const DOING: &str = "deleting a blob";
/// The most keys of one request (S3 API reference, DeleteObjects).
const MOST: usize = 1000;
/// How many single deletions are made at a time where the service knows no batches.
const AT_A_TIME: usize = 8;

/// Deletes blobs and what the reference keeps beside them; one answer for each blob.
pub(crate) async fn delete(store: &Inner, blobs: &[BlobKey]) -> Vec<Result<(), Error>> {
    // Which blob each key belongs to.
    let keys: Vec<(usize, String)> = blobs
        .iter()
        .enumerate()
        .flat_map(|(index, blob)| {
            store.layout.with_siblings(blob).into_iter().map(move |key| (index, key))
        })
        .collect();
    let mut answers: Vec<Result<(), Error>> = blobs.iter().map(|_| Ok(())).collect();
    let (together, alone): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(_, key)| fits_xml(key));
    let mut failures = singly(store, &alone).await;
    for some in together.chunks(MOST) {
        failures.extend(batch(store, some).await);
    }
    for (index, failure) in failures {
        match failure.error(DOING) {
            // Nothing lies under a name that the service does not take.
            Error::UnsupportedKey(_) => {}
            error => answers[index] = Err(error),
        }
    }
    answers
}

/// Deletes objects of our own; those that do not exist are a success.
pub(crate) async fn keys(store: &Inner, keys: Vec<String>) -> Result<(), Error> {
    let keys: Vec<(usize, String)> = keys.into_iter().enumerate().collect();
    match singly(store, &keys).await.pop() {
        Some((_, failure)) => Err(failure.error(DOING)),
        None => Ok(()),
    }
}

/// One request; what failed of it.
async fn batch(store: &Inner, keys: &[(usize, String)]) -> Vec<(usize, Failure)> {
    let objects: Result<Vec<_>, _> =
        keys.iter().map(|(_, key)| ObjectIdentifier::builder().key(key).build()).collect();
    let delete = objects
        .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
    let (Ok(delete), true) = (delete, store.takes_batches()) else {
        return singly(store, keys).await;
    };
    let plain = store.is_plain();
    let answer = retrying(store.patience(), |_| {
        let request = store
            .client
            .delete_objects()
            .bucket(store.bucket())
            .delete(delete.clone())
            .customize()
            // Services that do not know the newer checksums ask for this one.
            .mutate_request(move |request| {
                if let Some(body) = request.body().bytes() {
                    let md5 = STANDARD.encode(rowlock_digest::md5(body));
                    request.headers_mut().insert("content-md5", md5);
                    if plain {
                        request.headers_mut().remove("x-amz-checksum-crc32");
                        request.headers_mut().remove("x-amz-sdk-checksum-algorithm");
                    }
                }
            });
        async move { request.send().await.map_err(Failure::from) }
    })
    .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure)
            if !plain && failure.names_checksums() && store.gives_up_checksums(&failure) =>
        {
            return Box::pin(batch(store, keys)).await;
        }
        // The service knows no batches, or found something wrong with this one.
        Err(failure) if !failure.passes() && failure.code != "NoSuchBucket" => {
            if failure.refuses_operation() {
                store.gives_up_batches();
            }
            return singly(store, keys).await;
        }
        Err(failure) => return keys.iter().map(|(index, _)| (*index, failure.clone())).collect(),
    };
    let places: HashMap<&str, usize> =
        keys.iter().map(|(index, key)| (key.as_str(), *index)).collect();
    let failed = |error: &aws_sdk_s3::types::Error| {
        let failure = Failure {
            status: None,
            code: error.code().unwrap_or("an unnamed error").to_owned(),
            coded: true,
            detail: error.message().unwrap_or_default().to_owned(),
            date: None,
            region: None,
        };
        (error.key().and_then(|key| places.get(key)).copied(), failure)
    };
    let mut failures = Vec::new();
    for (place, failure) in answer.errors().iter().map(failed) {
        match place {
            _ if failure.is_not_found() => {}
            Some(index) => failures.push((index, failure)),
            // It does not say of which key: it may be any.
            None => return keys.iter().map(|(index, _)| (*index, failure.clone())).collect(),
        }
    }
    failures
}

/// A request for each key; what failed of them.
async fn singly(store: &Inner, keys: &[(usize, String)]) -> Vec<(usize, Failure)> {
    let requests = keys.iter().cloned().map(|(index, key)| async move {
        let key = key.as_str();
        let deleted = retrying(store.patience(), |_| {
            let request = store.client.delete_object().bucket(store.bucket()).key(key);
            async move { request.send().await.map_err(Failure::from) }
        })
        .await;
        match deleted {
            Err(failure) if !failure.is_not_found() => Some((index, failure)),
            _ => None,
        }
    });
    stream::iter(requests).buffer_unordered(AT_A_TIME).filter_map(|it| async { it }).collect().await
}

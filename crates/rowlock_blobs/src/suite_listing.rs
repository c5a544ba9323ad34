//! What every store must list, and how it moves a blob out of the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::suite::{attributes, blob, collect, pattern, put};
use crate::{BlobKey, BlobStore, Error, Found, FoundKind, MultipartBlob};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

pub(crate) async fn all(store: &dyn BlobStore, bucket: &str) {
    let keys = [
        "list/plain.txt",
        "list/plain.txt/below",
        "list//slashes/",
        "list/a+b c%2Fd&<e>",
        "list/ünï \u{65e5}\u{672c}",
        "list/noncharacter \u{fffe}",
        // On files too long for one name; some services keep no longer ones.
        &format!("list/{}", "s".repeat(300)),
    ];
    let mut wanted: Vec<(BlobKey, u64)> = Vec::new();
    for (key, size) in keys.iter().zip(1_u64..) {
        wanted.push((blob(bucket, key), size));
    }
    wanted.push((BlobKey { version: None, ..blob(bucket, "list/no version") }, 99));
    let begun = SystemTime::now();
    for (blob, size) in &wanted {
        let bytes = pattern(usize::try_from(*size).unwrap());
        put(store, blob, &bytes, 1000).await;
    }
    let upload = upload(store, bucket).await;

    let found = listed(store).await;
    for (blob, size) in &wanted {
        let entry = entry(store, &found, blob).unwrap_or_else(|| panic!("{blob:?} is not listed"));
        assert_eq!(entry.size, *size, "{blob:?}");
        assert!(store.exists(&entry.name).await.unwrap(), "{blob:?}");
        // Clocks of services differ a little.
        let since = entry.modified + Duration::from_secs(600);
        assert!(since > begun, "{blob:?} was written at {:?}", entry.modified);
        match &entry.kind {
            FoundKind::Blob { bucket: of, path, resumable: false } => {
                assert_eq!(of, bucket);
                assert!(entry.name.ends_with(&format!("/{bucket}/{path}")), "{entry:?}");
            }
            FoundKind::Aside { version } => {
                assert_eq!(*version, blob.version.unwrap().to_string());
            }
            other => panic!("{blob:?} is taken for {other:?}"),
        }
    }
    let named = format!("/{bucket}/");
    let here = found.values().filter(|found| found.name.contains(&named));
    let blobs = here.filter(|found| matches!(found.kind, FoundKind::Blob { .. })).count();
    assert!(blobs <= wanted.len(), "{blobs} blobs are listed");
    let id = upload.upload_id.as_str();
    let parts = found.values().find(|found| match &found.kind {
        FoundKind::Upload { id: of, bucket: b, path } => {
            of == id && b == bucket && path.starts_with("list/upload")
        }
        _ => false,
    });
    assert!(parts.is_some(), "the upload is not listed: {found:?}");

    state(store, bucket).await;
    quarantined(store, &wanted).await;
    store.remove_multipart(&upload).await.unwrap();
    let blobs: Vec<BlobKey> = wanted.into_iter().map(|(blob, _)| blob).collect();
    for answer in store.delete(&blobs).await {
        answer.unwrap();
    }
    let found = listed(store).await;
    for blob in &blobs {
        for name in store.names(blob) {
            assert!(!store.exists(&name).await.unwrap(), "{name} is still there");
        }
        assert!(entry(store, &found, blob).is_none(), "{blob:?} is still listed");
    }
}

async fn upload(store: &dyn BlobStore, bucket: &str) -> MultipartBlob {
    let blob = blob(bucket, "list/upload");
    let upload_id = store.create_multipart(&blob, &attributes()).await.unwrap();
    let upload = MultipartBlob { upload_id, blob };
    let mut part = store.part_writer(&upload, 1, Some(3));
    part.write("abc".into()).await.unwrap();
    part.stage("x").await.unwrap().publish().await.unwrap();
    upload
}

/// A blob beside which the state of a resumable upload lies is told from others.
async fn state(store: &dyn BlobStore, bucket: &str) {
    let begun = blob(bucket, "list/resumable");
    let version = begun.version.unwrap();
    let state =
        BlobKey { version: None, ..blob(bucket, &format!("list/resumable/{version}.info")) };
    if store.names(&begun)[0] != store.names(&state)[0].trim_end_matches(".info") {
        // The store puts something else between name and version.
        return;
    }
    put(store, &begun, &pattern(10), 1000).await;
    put(store, &state, &pattern(20), 1000).await;
    let found = listed(store).await;
    let kind = &entry(store, &found, &begun).unwrap().kind;
    assert!(matches!(kind, FoundKind::Blob { resumable: true, .. }), "{kind:?}");
    // It goes with the blob.
    for answer in store.delete(&[begun, state]).await {
        answer.unwrap();
    }
}

async fn quarantined(store: &dyn BlobStore, wanted: &[(BlobKey, u64)]) {
    let found = listed(store).await;
    let (moved, size) = &wanted[0];
    let (neighbour, of_neighbour) = &wanted[1];
    let name = &entry(store, &found, moved).unwrap().name;
    let new = store.quarantine(name).await.unwrap();
    assert!(
        new.contains("__internal/quarantine/")
            && new.ends_with(&moved.version.unwrap().to_string()),
        "{new}"
    );
    assert!(matches!(store.head(moved).await, Err(Error::NotFound)));
    assert_eq!(store.head(neighbour).await.unwrap(), *of_neighbour);
    let found = listed(store).await;
    assert!(entry(store, &found, moved).is_none());
    assert!(!found.contains_key(&new), "what is in quarantine is listed");
    // Again under the same name: neither is lost.
    put(store, moved, &pattern(5), 1000).await;
    assert_ne!(store.quarantine(name).await.unwrap(), new);
    put(store, moved, &pattern(usize::try_from(*size).unwrap()), 1000).await;
    let body = store.read(moved, *size, 0..*size).await.unwrap();
    assert_eq!(collect(body).await.unwrap().len() as u64, *size);
    for bad in ["", "/", "..", "../x", "x", &new, &format!("{name}/x"), &format!("{name}x")] {
        let refused = store.quarantine(bad).await;
        assert!(matches!(refused, Err(Error::NotFound)), "{bad:?}: {refused:?}");
    }
}

async fn listed(store: &dyn BlobStore) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    let mut list = store.list();
    while let Some(next) = list.next().await {
        let next = next.unwrap();
        // Two sections of a listing may name an upload and a blob alike.
        let key = match &next.kind {
            FoundKind::Upload { id, .. } => format!("{} {id}", next.name),
            _ => next.name.clone(),
        };
        assert_eq!(found.insert(key, next), None, "listed twice");
    }
    found
}

fn entry<'a>(
    store: &dyn BlobStore,
    found: &'a BTreeMap<String, Found>,
    blob: &BlobKey,
) -> Option<&'a Found> {
    store.names(blob).iter().find_map(|name| found.get(name))
}

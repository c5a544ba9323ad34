//! Listings of more than a page, and of keys that lie aside.

use crate::servers::{garage, moto, open, settings};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rowlock_blobs::suite::{blob, put};
use rowlock_blobs::{BlobKey, BlobStore, FoundKind};
use std::collections::BTreeSet;

static EMPTY: Bytes = Bytes::new();

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other() {
    let server = match garage() {
        Some(server) => server,
        None => moto().await,
    };
    let store = open(settings(server.port)).await;
    let blobs: Vec<BlobKey> = (0..1100).map(|n| blob("pages", &format!("{n}"))).collect();
    let writes = blobs.iter().map(|blob| put(&store, blob, &EMPTY, 1));
    stream::iter(writes).buffer_unordered(16).collect::<Vec<()>>().await;
    let found: Vec<_> = store.list().try_collect().await.unwrap();
    let names: BTreeSet<&str> = found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!((names.len(), found.len()), (1100, 1100));
    assert!(blobs.iter().all(|blob| names.contains(store.names(blob)[0].as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_lie_aside_are_listed() {
    let server = moto().await;
    let store = open(settings(server.port)).await;
    let long = blob("pages", &"k".repeat(1000));
    for blob in [&long, &blob("pages", "short")] {
        put(&store, blob, &EMPTY, 1).await;
    }
    let found: Vec<_> = store.list().try_collect().await.unwrap();
    let aside = found.iter().filter(|found| matches!(found.kind, FoundKind::Aside { .. }));
    let aside: Vec<&str> = aside.map(|found| found.name.as_str()).collect();
    assert_eq!((found.len(), &aside), (2, &vec![store.names(&long)[0].as_str()]));
    assert!(aside[0].starts_with(".rowlock/long/ten/"));
    let moved = store.quarantine(aside[0]).await.unwrap();
    assert_eq!(moved, format!("__internal/quarantine/{}", aside[0]));
    assert_eq!(store.list().count().await, 1);
}

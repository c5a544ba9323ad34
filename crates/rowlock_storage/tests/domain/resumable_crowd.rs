//! Crowds at resumable uploads: many clients of one, and uploads among other writers of one key.

use crate::resumable::{at, begin, growing, new, rows};
use crate::support::{ALICE, Plan, Rig, body, eventually, name_of, service, user};
use bytes::Bytes;
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowlock_storage::{Append, BodyError, Error, ResumableId, Storage};
use std::sync::Arc;
use std::time::Duration;

/// A client of one upload that loses its connection again and again, and never believes it sent more
/// than it was told.
async fn persist(
    storage: Storage,
    id: ResumableId,
    content: Arc<Vec<u8>>,
    seed: u64,
) -> Result<u64, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut acknowledged, total) = (0, content.len() as u64);
    for _ in 0..400 {
        let found = match storage.find_resumable(&id).await {
            Ok(found) => found,
            Err(error) => return Err(format!("HEAD: {error:?}")),
        };
        if found.offset < acknowledged {
            return Err(format!("went back from {acknowledged} to {}", found.offset));
        }
        acknowledged = found.offset;
        if found.done {
            return Ok(acknowledged);
        }
        let from = usize::try_from(acknowledged).unwrap();
        let most = random.random_range(1..=(content.len() - from).min(400_000));
        let whole = random.random_bool(0.7);
        let mut chunks: Vec<Result<Bytes, BodyError>> = content[from..from + most]
            .chunks(random.random_range(1_000..70_000))
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        if !whole {
            chunks.truncate(random.random_range(0..=chunks.len()));
            chunks.push(Err(BodyError("cut".into())));
        }
        let pause = Duration::from_micros(random.random_range(0..3_000));
        let chunks = futures_util::stream::iter(chunks).then(move |chunk| async move {
            tokio::time::sleep(pause).await;
            chunk
        });
        let append = Append { offset: acknowledged, upsert: true, ..Append::default() };
        match storage.append_resumable(&service(), &id, append, chunks.boxed()).await {
            Ok(more) if more.offset < acknowledged || more.offset > total => {
                return Err(format!("PATCH: {} after {acknowledged}", more.offset));
            }
            Ok(more) => acknowledged = more.offset,
            Err(Error::UploadLocked | Error::OffsetConflict { .. } | Error::Body(_)) => {}
            Err(error) => return Err(format!("PATCH: {error:?}")),
        }
    }
    Err("never done".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_of_one_upload_on_several_servers_write_its_bytes_once() {
    let rig = Rig::with(Plan { connections: 16, ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    let mut random = StdRng::seed_from_u64(7);
    let content: Vec<u8> = (0..3_000_000).map(|_| random.random()).collect();
    let content = Arc::new(content);
    let ((one, _p1), (two, _p2)) = (rig.server().await, rig.server().await);
    let mut ids = Vec::new();
    for name in ["x", "y"] {
        ids.push(begin(&rig, &bucket, name, content.len() as u64).await);
    }
    let clients: Vec<_> = (0..6_u64)
        .map(|seed| {
            let storage = if seed % 2 == 0 { one.clone() } else { two.clone() };
            let id = ids[usize::from(seed >= 3)].clone();
            tokio::spawn(persist(storage, id, Arc::clone(&content), seed))
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), Ok(content.len() as u64));
    }
    for name in ["x", "y"] {
        assert!(rig.get(&service(), &bucket, name).await.unwrap() == *content, "{name} differs");
    }
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!((growing(&rig), rig.outbox_rows().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_and_other_writers_of_one_key_leave_one_object() {
    let rig = Arc::new(Rig::with(Plan { connections: 16, ..Plan::default() }).await);
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    for create in [false, true] {
        let name = if create { "create" } else { "replace" };
        let mut writers = Vec::new();
        for number in 0..12_u8 {
            let (rig, bucket) = (Arc::clone(&rig), bucket.clone());
            writers.push(tokio::spawn(async move {
                let content = [number; 6];
                let ctx = if number % 3 == 0 { service() } else { user(ALICE) };
                if number % 2 == 0 {
                    let condition = if create {
                        rowlock_storage::WriteCondition::Create
                    } else {
                        rowlock_storage::WriteCondition::None
                    };
                    return rig.put_if(&ctx, &bucket, name, &content, condition).await.map(drop);
                }
                let mut asked = new(&bucket, name, Some(6));
                if !create {
                    asked.object.condition = rowlock_storage::WriteCondition::None;
                }
                let id = rig.storage.create_resumable(&ctx, asked).await?.id;
                let with = |offset, bytes: &[u8]| Append { upsert: !create, ..at(offset, bytes) };
                let storage = &rig.storage;
                let first = with(0, &content[..3]);
                storage.append_resumable(&ctx, &id, first, body(&content[..3])).await?;
                let last = with(3, &content[3..]);
                storage.append_resumable(&ctx, &id, last, body(&content[3..])).await.map(drop)
            }));
        }
        let mut won = 0;
        for writer in writers {
            match writer.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert_eq!(name_of(&error), "PreconditionFailed"),
            }
        }
        assert_eq!(won, if create { 1 } else { 12 });
        let stored = rig.get(&service(), &bucket, name).await.unwrap();
        assert!(stored.len() == 6 && stored.iter().all(|byte| *byte == stored[0]));
    }
    let table = rig.own_table("resumable");
    rig.sql(&format!("UPDATE {table} SET expires_at = now() - interval '1 second'")).await;
    rig.work_until("all ended", async || rows(&rig).await.is_empty()).await;
    rig.drain().await;
    assert!(
        eventually(async || rig.blob_files(&bucket) == rig.row_files(&bucket).await).await,
        "blobs without rows"
    );
    assert_eq!(growing(&rig), 0);
}

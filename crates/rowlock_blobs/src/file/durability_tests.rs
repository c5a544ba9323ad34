//! Which folders are synced when a file gets its name. The order of the system calls themselves
//! is watched from outside, in the tests of the whole server.

use super::*;
use crate::suite;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

const SETTLE: Duration = Duration::from_millis(150);

/// Sees which folders are synced, in order, and can make that fail.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Vec<String>>,
    pub(super) fails: AtomicBool,
}

impl Watch {
    pub(super) fn synced(&self, folder: &str) -> Result<(), Errno> {
        self.seen.lock().unwrap().push(folder.to_owned());
        if self.fails.load(Ordering::Relaxed) { Err(Errno::IO) } else { Ok(()) }
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

struct Bench {
    dir: TempDir,
    store: FileStore,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let settings = FileSettings {
            root: dir.path().to_owned(),
            root_bucket: "stub".into(),
            tenant: "ten".into(),
            separator: Separator::Slash,
        };
        Self { store: FileStore::open(settings).unwrap(), dir }
    }

    /// Puts a blob and tells which folders were synced for it.
    async fn put(&self, key: &str) -> Vec<String> {
        self.store.0.watch.take();
        suite::put(&self.store, &suite::blob("b", key), &suite::pattern(3), 3).await;
        self.store.0.watch.take()
    }

    async fn settle(&self) {
        tokio::time::sleep(SETTLE).await;
    }
}

#[tokio::test]
async fn every_new_folder_is_synced_up_to_the_first_known_one() {
    let bench = Bench::new();
    let all = ["stub/ten/b/k/x", "stub/ten/b/k", "stub/ten/b", "stub/ten", "stub", ""];
    assert_eq!(bench.put("k/x").await, all);
    bench.settle().await;
    // They are remembered only when they are found old; the topmost may have been so before.
    assert_eq!(bench.put("k/x").await[..5], all[..5]);
    assert_eq!(bench.put("k/x").await, ["stub/ten/b/k/x"]);
    assert_eq!(bench.put("k/y").await, ["stub/ten/b/k/y", "stub/ten/b/k"]);
    assert_eq!(
        bench.put("l/m/z").await,
        ["stub/ten/b/l/m/z", "stub/ten/b/l/m", "stub/ten/b/l", "stub/ten/b"]
    );
}

#[tokio::test]
async fn a_folder_that_someone_else_made_is_never_taken_for_durable() {
    let bench = Bench::new();
    bench.put("k/x").await;
    bench.settle().await;
    bench.put("k/x").await;
    // Another process makes folders and syncs none.
    fs::create_dir_all(bench.dir.path().join("stub/ten/b/k/foreign/deep")).unwrap();
    let chain = ["stub/ten/b/k/foreign/deep", "stub/ten/b/k/foreign", "stub/ten/b/k"];
    assert_eq!(bench.put("k/foreign/deep").await, chain);
    bench.settle().await;
    // Known from now on ...
    bench.put("k/foreign/deep").await;
    assert_eq!(bench.put("k/foreign/deep").await, chain[..1]);
    // ... until it is another folder of the same path.
    fs::remove_dir_all(bench.dir.path().join("stub/ten/b/k/foreign")).unwrap();
    fs::create_dir_all(bench.dir.path().join("stub/ten/b/k/foreign/deep")).unwrap();
    assert_eq!(bench.put("k/foreign/deep").await, chain);
}

#[tokio::test]
async fn parts_and_moved_files_are_synced_alike() {
    let bench = Bench::new();
    let upload = suite::begin(&bench.store, suite::blob("b", "m")).await;
    bench.store.0.watch.take();
    suite::put_part(&bench.store, &upload, 1, &suite::pattern(9)).await;
    let synced = bench.store.0.watch.take();
    let folder = bench.store.0.layout.part(&upload, 1).unwrap().folder().to_owned();
    assert_eq!(synced.first(), Some(&folder));
    assert_eq!(synced.last(), Some(&String::new()));

    fs::create_dir_all(bench.dir.path().join("stub/ten/b")).unwrap();
    fs::write(bench.dir.path().join("stub/ten/b/old"), "legacy").unwrap();
    let synced = bench.put("old").await;
    let aside = synced.iter().position(|f| f.starts_with("stub/.rowlock/long/ten/")).unwrap();
    assert!(aside < synced.iter().position(|f| f == "stub/ten/b/old").unwrap());
}

/// Blobs that were finished are there, whoever removes what else was in their folders meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_deleters_meet_in_the_same_folders() {
    let bench = Bench::new();
    let end = std::time::Instant::now() + Duration::from_secs(2);
    let tasks = (0..50).map(|task| {
        let store = bench.store.clone();
        tokio::spawn(async move {
            let mut turns = 0_usize;
            while std::time::Instant::now() < end {
                let key = ["p", "p/q", "p/q/r"][(task + turns) % 3];
                let blob = suite::blob("b", key);
                suite::put(&store, &blob, &suite::pattern(50), 50).await;
                assert_eq!(store.head(&blob).await.unwrap(), 50);
                store.delete(&[blob]).await.remove(0).unwrap();
                turns += 1;
            }
            turns
        })
    });
    for turns in futures_util::future::join_all(tasks).await {
        assert!(turns.unwrap() > 0);
    }
    assert_eq!(fs::read_dir(bench.dir.path().join("stub/ten")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(bench.dir.path().join("stub/.rowlock/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_not_there() {
    let bench = Bench::new();
    let blob = suite::blob("b", "k/x");
    bench.store.0.watch.fails.store(true, Ordering::Relaxed);
    for size in [10, 600_000] {
        let mut writer = bench.store.writer(&blob, &suite::attributes(), None);
        writer.write(suite::pattern(size)).await.unwrap();
        assert!(matches!(writer.finish().await, Err(Error::Io { .. })));
        assert!(matches!(bench.store.head(&blob).await, Err(Error::NotFound)));
        assert_eq!(fs::read_dir(bench.dir.path().join("stub/ten")).unwrap().count(), 0);
    }
    bench.store.0.watch.fails.store(false, Ordering::Relaxed);
    suite::put(&bench.store, &blob, &suite::pattern(10), 10).await;
}

//! What files that grow go through: others who hold them, failing disks, strangers in their place.

use super::growing::FileGrower;
use super::*;
use crate::suite::{attributes, blob, get, pattern, put};
use crate::suite_growing::settled;
use crate::{Grower, GrowingStore, Growth};
use bytes::Bytes;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    store: FileStore,
    blob: BlobKey,
    created: Growth,
}

impl Bench {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let settings = FileSettings {
            root: dir.path().to_owned(),
            root_bucket: "stub".into(),
            tenant: "ten".into(),
            separator: Separator::Slash,
        };
        let store = FileStore::open(settings).unwrap();
        let blob = blob("b", "k/x");
        let created = store.create_growing(&blob, &attributes(), None, None).await.unwrap();
        Self { dir, store, blob, created }
    }

    fn path(&self) -> PathBuf {
        let version = self.blob.version.unwrap().to_string();
        self.dir.path().join("stub/.rowlock/growing/ten").join(version)
    }

    async fn append(&self, growth: &Growth, bytes: &Bytes) -> Growth {
        let mut grower = self.store.grow(&self.blob, growth).await.unwrap();
        grower.write(bytes.clone()).await.unwrap();
        grower.sync(false).await.unwrap()
    }

    async fn finish(&self, growth: &Growth) -> Result<crate::Grown, Error> {
        self.store.finish_growing(&self.blob, growth, &attributes()).await
    }

    async fn holds(&self, bytes: &Bytes) {
        let size = bytes.len() as u64;
        assert!(get(&self.store, &self.blob, size, 0..size).await.unwrap() == *bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_lets_a_file_grow() {
    let bench = Bench::new().await;
    let bytes = pattern(2_000_000);
    let mut first = bench.store.grow(&bench.blob, &bench.created).await.unwrap();
    let busy = |refused: Result<(), Error>| {
        assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    };
    busy(bench.store.grow(&bench.blob, &bench.created).await.map(drop));
    // Another process that has the same files.
    let other = FileStore::open(FileSettings {
        root: bench.dir.path().to_owned(),
        root_bucket: "stub".into(),
        tenant: "ten".into(),
        separator: Separator::Slash,
    })
    .unwrap();
    busy(other.grow(&bench.blob, &bench.created).await.map(drop));
    first.write(bytes.clone()).await.unwrap();
    let growth = first.sync(false).await.unwrap();
    busy(bench.finish(&growth).await.map(drop));
    // Given up with a write under way: the next one comes when that is done, and not before.
    first.write(bytes.clone()).await.unwrap();
    drop(first);
    settled(&other, &bench.blob, &growth).await;
    assert_eq!(fs::metadata(bench.path()).unwrap().len(), bytes.len() as u64);
    bench.finish(&growth).await.unwrap();
    bench.holds(&bytes).await;
}

#[tokio::test]
async fn what_is_noted_is_cut_off_behind_and_missed_when_it_is_gone() {
    let bench = Bench::new().await;
    let bytes = pattern(100_000);
    let growth = bench.append(&bench.created, &bytes).await;
    let file = fs::OpenOptions::new().write(true).open(bench.path()).unwrap();
    file.set_len(300_000).unwrap();
    let known = bench.append(&growth, &bytes).await;
    assert_eq!(fs::metadata(bench.path()).unwrap().len(), 200_000);
    file.set_len(200_007).unwrap();
    // More than was noted, and less.
    file.set_len(199_999).unwrap();
    for lost in [
        bench.store.grow(&bench.blob, &known).await.map(drop),
        bench.finish(&known).await.map(drop),
    ] {
        let told = matches!(lost, Err(Error::WrongLength { expected: 200_000, found: 199_999 }));
        assert!(told, "{lost:?}");
    }
    assert!(bench.path().exists(), "what is not understood stays");
    // It can be gone back to what was known before.
    let again = bench.append(&growth, &bytes).await;
    file.set_len(200_007).unwrap();
    bench.finish(&again).await.unwrap();
    bench.holds(&[bytes.clone(), bytes].concat().into()).await;
}

#[tokio::test]
async fn what_lies_in_its_place_is_not_taken_for_it() {
    let bench = Bench::new().await;
    let growth = bench.append(&bench.created, &pattern(10)).await;
    let stranger = bench.dir.path().join("stranger");
    fs::write(&stranger, "not yours").unwrap();
    let path = bench.path();
    let not_there = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotFound)), "{result:?}");
    };
    fs::remove_file(&path).unwrap();
    not_there(bench.store.grow(&bench.blob, &growth).await.map(drop));
    std::os::unix::fs::symlink(&stranger, &path).unwrap();
    not_there(bench.store.grow(&bench.blob, &growth).await.map(drop));
    not_there(bench.finish(&growth).await.map(drop));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    not_there(bench.store.grow(&bench.blob, &growth).await.map(drop));
    fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    not_there(bench.store.grow(&bench.blob, &growth).await.map(drop));
    assert_eq!(fs::read_to_string(stranger).unwrap(), "not yours");
    // A blob of another length is not what became of it.
    fs::remove_file(&path).unwrap();
    put(&bench.store, &bench.blob, &pattern(11), 11).await;
    let odd = bench.finish(&growth).await;
    assert!(matches!(odd, Err(Error::WrongLength { expected: 10, found: 11 })), "{odd:?}");
}

#[tokio::test]
async fn it_is_no_temporary_file_and_keeps_its_attributes() {
    let bench = Bench::new().await;
    let growth = bench.append(&bench.created, &pattern(10)).await;
    assert_eq!(bench.store.sweep_tmp(Duration::ZERO).await.unwrap(), 0);
    bench.finish(&growth).await.unwrap();
    assert!(!bench.path().exists());
    let place = format!("stub/ten/b/k/x/{}", bench.blob.version.unwrap());
    let mut value = [0; 64];
    let path = bench.dir.path().join(place);
    match rustix::fs::getxattr(path, "user.supabase.content-type", &mut value) {
        Ok(length) => assert_eq!(&value[..length], b"text/plain; charset=utf-8"),
        Err(errno) => assert_eq!(errno, Errno::OPNOTSUPP),
    }
}

#[tokio::test]
async fn folders_are_synced_at_the_beginning_and_at_the_end() {
    let bench = Bench::new().await;
    let watch = &bench.store.0.watch;
    let synced = watch.take();
    let folder = synced.iter().position(|folder| folder == "stub/.rowlock/growing/ten").unwrap();
    assert_eq!(synced[folder + 1..folder + 3], ["stub/.rowlock/growing", "stub/.rowlock"]);
    assert_eq!(synced.last().unwrap(), "");
    let growth = bench.append(&bench.created, &pattern(10)).await;
    assert_eq!(watch.take(), Vec::<String>::new());
    let place = "stub/ten/b/k/x".to_owned();
    watch.fails.store(true, Ordering::Relaxed);
    // It has its name, and is not said to be there: not even when it is asked again.
    for _ in 0..2 {
        let failed = bench.finish(&growth).await;
        assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
        assert_eq!(watch.take().first(), Some(&place));
    }
    watch.fails.store(false, Ordering::Relaxed);
    bench.finish(&growth).await.unwrap();
    let chain = [place.as_str(), "stub/ten/b/k", "stub/ten/b", "stub/ten", "stub", ""];
    assert_eq!(watch.take(), chain);
    bench.holds(&pattern(10)).await;
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_not_begun() {
    let bench = Bench::new().await;
    bench.store.0.watch.fails.store(true, Ordering::Relaxed);
    let failed = bench.store.create_growing(&bench.blob, &attributes(), None, None).await;
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    assert!(!bench.path().exists());
}

#[tokio::test]
async fn a_write_that_fails_leaves_what_came_before() {
    let bench = Bench::new().await;
    let (bytes, more) = (pattern(100_000), pattern(50_000));
    let mut grower = FileGrower::begin(&bench.store.0, &bench.blob, &bench.created).await.unwrap();
    grower.write(bytes.clone()).await.unwrap();
    let known = grower.sync(false).await.unwrap();
    grower.write(more.clone()).await.unwrap();
    assert_eq!(grower.checkpoint().await.unwrap().offset, 150_000);
    grower.write(more.clone()).await.unwrap();
    let whole = grower.checkpoint().await.unwrap();
    // A file that can only be read: the write fails, and is told about by the next call.
    let read_only: OwnedFd = fs::File::open(bench.path()).unwrap().into();
    let file = grower.replace_file(read_only).unwrap();
    grower.write(more.clone()).await.unwrap();
    let failed = grower.sync(true).await;
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    assert!(grower.write(more.clone()).await.is_err());
    grower.replace_file(file);
    assert_eq!(grower.sync(false).await.unwrap(), whole);
    assert_eq!(grower.checkpoint().await.unwrap(), whole);
    drop(grower);
    // From any of them it goes on.
    bench.append(&whole, &more).await;
    let growth = bench.append(&known, &more).await;
    bench.finish(&growth).await.unwrap();
    bench.holds(&[bytes, more].concat().into()).await;
}

#[tokio::test]
async fn what_a_failed_sync_may_have_lost_is_not_counted() {
    let bench = Bench::new().await;
    let bytes = pattern(100_000);
    let mut grower = FileGrower::begin(&bench.store.0, &bench.blob, &bench.created).await.unwrap();
    grower.write(bytes.clone()).await.unwrap();
    let known = grower.sync(false).await.unwrap();
    grower.write(bytes.clone()).await.unwrap();
    // A device cannot be synced.
    grower.settle().await.unwrap();
    let device: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    drop(grower.replace_file(device));
    let failed = grower.sync(false).await;
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    assert!(grower.write(bytes.clone()).await.is_err());
    assert_eq!(grower.sync(false).await.unwrap(), known);
    drop(grower);
    let growth = bench.append(&known, &bytes).await;
    bench.finish(&growth).await.unwrap();
    bench.holds(&[bytes.clone(), bytes].concat().into()).await;
}

#[tokio::test(start_paused = true)]
async fn it_counts_among_the_open_files() {
    let bench = Bench::new().await;
    bench.store.limit_open_files(5);
    let mut open = vec![bench.store.grow(&bench.blob, &bench.created).await.unwrap()];
    loop {
        let blob = blob("b", "another");
        let created = bench.store.create_growing(&blob, &attributes(), None, None).await.unwrap();
        match bench.store.grow(&blob, &created).await {
            Ok(grower) => open.push(grower),
            Err(Error::Busy { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), 2);
    open.pop();
    bench.store.grow(&blob("b", "gone"), &bench.created).await.map(drop).unwrap_err();
    let created = bench.store.create_growing(&bench.blob, &attributes(), None, None).await.unwrap();
    bench.store.grow(&bench.blob, &created).await.unwrap();
}

//! Images rendered from objects: whose they are, what is kept of them, and what is refused.

use crate::support::{ALICE, BOB, Rig, anon, key, name_of, service, user};
use rowlock_storage::images::{Format, Options};
use rowlock_storage::{Access, Context, Error, RenderSettings, RenderedImage, Storage};
use rowlock_types::BucketName;

/// A GIF of one red pixel.
const RED: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

fn settings() -> RenderSettings {
    RenderSettings { concurrency: 1, memory: 64 << 20, cache: 1 << 20, ..RenderSettings::default() }
}

async fn render(
    storage: &Storage,
    ctx: &Context,
    bucket: &BucketName,
    name: &str,
) -> Result<RenderedImage, Error> {
    let opened = storage.open(ctx, bucket, &key(name), Access::Caller).await?;
    storage.render(&opened, &Options::default()).await
}

async fn refused(storage: &Storage, ctx: &Context, bucket: &BucketName, name: &str) -> String {
    name_of(&render(storage, ctx, bucket, name).await.unwrap_err())
}

fn remove_blobs(rig: &Rig, bucket: &BucketName) {
    for file in rig.files() {
        if rig.blob_files(bucket).iter().any(|blob| file.ends_with(blob)) {
            std::fs::remove_file(rig.root().join(file)).unwrap();
        }
    }
    assert!(rig.blob_files(bucket).is_empty());
}

#[tokio::test]
async fn what_is_kept_is_for_those_who_may_see_the_object() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.sql(
        "CREATE POLICY r ON storage.objects FOR SELECT TO authenticated
           USING (owner_id = auth.uid()::text)",
    )
    .await;
    rig.put(&service(), &b, "red", RED).await.unwrap();
    rig.put(&service(), &b, "other", RED).await.unwrap();
    rig.sql(&format!("UPDATE storage.objects SET owner_id = '{ALICE}'")).await;
    let storage = rig.storage.clone().with_images(&settings());
    let image = render(&storage, &user(ALICE), &b, "red").await.unwrap();
    assert_eq!((image.format, image.width, image.height), (Format::Gif, 1, 1));
    remove_blobs(&rig, &b);
    let kept = render(&storage, &user(ALICE), &b, "red").await.unwrap();
    assert_eq!(kept.bytes, image.bytes);
    for ctx in [user(BOB), anon()] {
        assert_eq!(refused(&storage, &ctx, &b, "red").await, "NoSuchKey");
    }
    // A row that claims another's version has none of its bytes.
    rig.sql(
        "UPDATE storage.objects SET metadata = red.metadata, version = red.version
         FROM storage.objects red WHERE red.name = 'red' AND objects.name = 'other'",
    )
    .await;
    assert_eq!(refused(&storage, &user(ALICE), &b, "other").await, "NoSuchKey");
    // Another version is another image.
    rig.put(&service(), &b, "red", b"no image").await.unwrap();
    assert_eq!(refused(&storage, &service(), &b, "red").await, "Image");
    rig.sql(
        "SELECT set_config('storage.allow_delete_query', 'true', false);
         DELETE FROM storage.objects",
    )
    .await;
    assert_eq!(refused(&storage, &service(), &b, "red").await, "NoSuchKey");
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_shall_be() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.put(&service(), &b, "red", RED).await.unwrap();
    let none = RenderSettings { cache: 0, ..settings() };
    let storage = rig.storage.clone().with_images(&none);
    render(&storage, &service(), &b, "red").await.unwrap();
    remove_blobs(&rig, &b);
    assert_eq!(refused(&storage, &service(), &b, "red").await, "NoSuchKey");
}

#[tokio::test]
async fn what_is_too_large_is_not_even_read() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.put(&service(), &b, "red", RED).await.unwrap();
    // The header promises 60,000 × 60,000 pixels.
    let mut bomb = RED.to_vec();
    bomb[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    rig.put(&service(), &b, "bomb", &bomb).await.unwrap();
    let storage = rig.storage.clone().with_images(&settings());
    assert_eq!(refused(&storage, &service(), &b, "bomb").await, "Image");
    let few = RenderSettings { memory: 1 << 20, ..settings() };
    let costly = rig.storage.clone().with_images(&few);
    assert_eq!(refused(&costly, &service(), &b, "red").await, "ImageTooCostly");
    let small = RenderSettings { max_bytes: RED.len() as u64 - 1, ..settings() };
    let storage = rig.storage.clone().with_images(&small);
    remove_blobs(&rig, &b);
    let error = render(&storage, &service(), &b, "red").await.unwrap_err();
    assert_eq!(name_of(&error), "Image");
    assert!(error.to_string().contains("bytes"), "{error}");
}

#[tokio::test]
async fn many_who_ask_for_the_same_are_told_the_same() {
    let rig = Rig::new().await;
    let b = rig.bucket("b").await;
    rig.put(&service(), &b, "red", RED).await.unwrap();
    let storage = rig.storage.clone().with_images(&settings());
    let opened = storage.open(&service(), &b, &key("red"), Access::Caller).await.unwrap();
    let as_it_is = Options::default();
    let all = (0..100).map(|_| storage.render(&opened, &as_it_is));
    let all = futures_util::future::join_all(all).await;
    let images: Vec<_> = all.into_iter().map(|image| image.unwrap().bytes).collect();
    assert!(images.windows(2).all(|pair| pair[0] == pair[1]));
    // More than there are places for are told to come again.
    let few = RenderSettings { crowd: 3, cache: 0, ..settings() };
    let storage = rig.storage.clone().with_images(&few);
    let all = (0..20).map(|_| storage.render(&opened, &as_it_is));
    let all = futures_util::future::join_all(all).await;
    let busy = all.iter().filter(|image| matches!(image, Err(Error::Busy(_)))).count();
    assert_eq!((busy, all.iter().filter(|image| image.is_ok()).count()), (17, 3));
}

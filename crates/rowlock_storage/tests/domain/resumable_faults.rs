//! Resumable uploads among faults: of the records, of the store, of triggers, of buckets.

use crate::resumable::{append, at, begin, growing, new, offset, refused, rows};
use crate::support::stores::{Hooked, Hooks};
use crate::support::{
    ALICE, BOB, Plan, Rig, anon, body, eventually, name_of, service, slow_body, user,
};
use bytes::Bytes;
use rowlock_storage::{Append, Error, WriteCondition};
use std::sync::Arc;

async fn hooked() -> (Rig, Arc<Hooks>) {
    let hooks = Arc::<Hooks>::default();
    let shared = Arc::clone(&hooks);
    let wrap: crate::support::Wrap =
        Box::new(move |inner| Arc::new(Hooked { inner, hooks: shared }));
    (Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await, hooks)
}

#[tokio::test]
async fn what_a_record_that_failed_counted_on_is_still_there() {
    let (rig, hooks) = hooked().await;
    *hooks.forgetful.lock() = true;
    let bucket = rig.bucket("b").await;
    let table = rig.own_table("resumable");
    rig.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
           BEGIN RAISE EXCEPTION 'no'; END $f$",
    )
    .await;
    for (name, midway) in [("midway", true), ("at the end", false)] {
        let id = begin(&rig, &bucket, name, 9).await;
        append(&rig, &service(), &id, 0, b"abc").await.unwrap();
        rig.sql(&format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW
             WHEN (NEW.growth IS DISTINCT FROM OLD.growth) EXECUTE FUNCTION public.refuse()"
        ))
        .await;
        let (send, chunks) = slow_body();
        send.send(Ok(Bytes::from_static(b"def"))).unwrap();
        let (storage, asked) = (rig.storage.clone(), id.clone());
        let running = tokio::spawn(async move {
            storage.append_resumable(&service(), &asked, at(3, b"defghi"), chunks).await
        });
        let held = format!("{name} 3/9 held");
        assert!(eventually(async || rows(&rig).await.contains(&held)).await);
        if midway {
            // The writer is asked to record what it has.
            assert_eq!(offset(&rig, &id).await, 3);
            assert!(eventually(async || running.is_finished()).await, "it goes on unrecorded");
        }
        drop(send);
        let unrecorded = running.await.unwrap();
        assert!(matches!(unrecorded, Err(Error::Catalog(_))), "{name}: {unrecorded:?}");
        rig.sql(&format!("DROP TRIGGER refuse ON {table}")).await;
        assert_eq!(offset(&rig, &id).await, 3, "{name}");
        assert!(append(&rig, &service(), &id, 3, b"defghi").await.unwrap().done, "{name}");
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"abcdefghi");
    }
}

#[tokio::test]
async fn a_store_that_has_nothing_for_a_while_ends_no_upload() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "x", 6).await;
    let late = rig.storage.create_resumable(&service(), new(&bucket, "y", None)).await.unwrap().id;
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    append(&rig, &service(), &late, 0, b"abc").await.unwrap();
    // Another folder stands in its place, as where a volume is not mounted.
    let (root, aside) = (rig.root().join("stub"), rig.root().join("aside"));
    std::fs::rename(&root, &aside).unwrap();
    std::fs::create_dir(&root).unwrap();
    // What would finish it, and what would only make it longer.
    let whole = Append { length: Some(3), ..at(3, b"") };
    for attempt in [
        append(&rig, &service(), &id, 3, b"def").await,
        append(&rig, &service(), &id, 3, b"d").await,
        rig.storage.append_resumable(&service(), &late, whole, body(b"")).await,
    ] {
        assert_eq!(refused(attempt), "StorageUnavailable");
    }
    assert_eq!(offset(&rig, &id).await, 3);
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::rename(&aside, &root).unwrap();
    assert!(append(&rig, &service(), &id, 3, b"def").await.unwrap().done);
    assert_eq!(rig.get(&service(), &bucket, "x").await.unwrap(), b"abcdef");
    let done = rig.storage.append_resumable(&service(), &late, whole, body(b"")).await;
    assert!(done.unwrap().done);

    // What is lost for good is told so as well, until it expires.
    let lost = begin(&rig, &bucket, "lost", 6).await;
    append(&rig, &service(), &lost, 0, b"abc").await.unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!(refused(append(&rig, &service(), &lost, 3, b"def").await), "StorageUnavailable");
    let table = rig.own_table("resumable");
    rig.sql(&format!("UPDATE {table} SET expires_at = now() - interval '1 second'")).await;
    rig.work_until("the upload given up", async || rows(&rig).await.is_empty()).await;
}

#[tokio::test]
async fn an_upload_whose_row_a_trigger_drops_is_not_completed() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    rig.sql(
        "CREATE FUNCTION public.drops() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RETURN NULL; END'",
    )
    .await;
    for (name, ctx, upsert) in [
        ("user creates", user(ALICE), false),
        ("user replaces", user(ALICE), true),
        ("service creates", service(), false),
        ("service replaces", service(), true),
    ] {
        let id = begin(&rig, &bucket, name, 3).await;
        rig.sql(
            "CREATE TRIGGER drops BEFORE INSERT ON storage.objects
             FOR EACH ROW EXECUTE FUNCTION public.drops()",
        )
        .await;
        let with = |offset, bytes: &[u8]| Append { upsert, ..at(offset, bytes) };
        // Policies are asked by an insertion too, which the trigger keeps from users.
        let dropped = rig.storage.append_resumable(&ctx, &id, with(0, b"abc"), body(b"abc")).await;
        assert!(matches!(dropped, Err(Error::Catalog(_))), "{name}: {dropped:?}");
        rig.sql("DROP TRIGGER drops ON storage.objects").await;
        let found = rig.storage.find_resumable(&id).await.unwrap();
        assert!(!found.done && found.offset < 3, "{name}: {found:?}");
        let rest = &b"abc"[usize::try_from(found.offset).unwrap()..];
        let last = with(found.offset, rest);
        let done = rig.storage.append_resumable(&ctx, &id, last, body(rest)).await;
        assert!(done.unwrap().done, "{name}");
        assert_eq!(rig.get(&service(), &bucket, name).await.unwrap(), b"abc");
    }
}

#[tokio::test]
async fn a_finished_upload_tells_nothing_to_those_who_may_not_write_it() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    // The right to insert, and no other.
    rig.sql(
        "CREATE POLICY own ON storage.objects FOR INSERT TO authenticated WITH CHECK
           (name LIKE (current_setting('request.jwt.claims')::json->>'sub') || '/%'
            AND (metadata->>'size')::bigint <= 3)",
    )
    .await;
    let name = format!("{ALICE}/x");
    let asked = new(&bucket, &name, Some(3));
    let id = rig.storage.create_resumable(&user(ALICE), asked).await.unwrap().id;
    for (far, bytes, done) in [(0, b"".as_slice(), false), (0, b"abc", true)] {
        assert_eq!(append(&rig, &user(ALICE), &id, far, bytes).await.unwrap().done, done);
        let at_end = if done { 3 } else { 0 };
        for other in [anon(), user(BOB)] {
            assert_eq!(refused(append(&rig, &other, &id, at_end, b"").await), "42501");
        }
    }
    for upsert in [false, true] {
        let again = Append { upsert, ..at(3, b"") };
        let again = rig.storage.append_resumable(&user(ALICE), &id, again, body(b"")).await;
        assert!(again.unwrap().done);
    }
}

#[tokio::test]
async fn a_bucket_made_anew_while_bytes_come_gets_nothing_of_them() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    for (name, condition) in [("x", WriteCondition::Create), ("y", WriteCondition::None)] {
        let mut asked = new(&bucket, name, Some(6));
        asked.object.condition = condition;
        let id = rig.storage.create_resumable(&service(), asked).await.unwrap().id;
        let (send, chunks) = slow_body();
        send.send(Ok(Bytes::from_static(b"abc"))).unwrap();
        let (storage, asked) = (rig.storage.clone(), id.clone());
        let running = tokio::spawn(async move {
            let append = Append { upsert: name == "y", ..at(0, b"abcdef") };
            storage.append_resumable(&service(), &asked, append, chunks).await
        });
        let held = format!("{name} 0/6 held");
        assert!(eventually(async || rows(&rig).await.contains(&held)).await);
        rig.storage.delete_bucket(&service(), &bucket).await.unwrap();
        rig.bucket("b").await;
        send.send(Ok(Bytes::from_static(b"def"))).unwrap();
        drop(send);
        assert_eq!(refused(running.await.unwrap()), "NoSuchUpload");
        assert!(rig.row_files(&bucket).await.is_empty());
    }
    let table = rig.own_table("resumable");
    rig.sql(&format!("UPDATE {table} SET expires_at = now() - interval '1 second'")).await;
    rig.work_until("both given up", async || rows(&rig).await.is_empty()).await;
    rig.drain().await;
    assert_eq!((growing(&rig), rig.blob_files(&bucket).len()), (0, 0));
}

#[tokio::test]
async fn to_give_one_up_is_asked_of_policies_with_its_length() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.sql(
        "CREATE POLICY large ON storage.objects FOR INSERT TO authenticated
           WITH CHECK ((metadata->>'size')::bigint = 9)",
    )
    .await;
    let id = rig.storage.create_resumable(&user(ALICE), new(&bucket, "x", Some(9))).await;
    let id = id.unwrap().id;
    // Nor does a limit that it would break by now keep anybody from it.
    rig.sql("UPDATE storage.buckets SET file_size_limit = 5").await;
    let other = rig.storage.terminate_resumable(&anon(), &id).await;
    assert_eq!(name_of(&other.unwrap_err()), "42501");
    rig.storage.terminate_resumable(&user(ALICE), &id).await.unwrap();
}

#[tokio::test]
async fn how_far_an_upload_is_may_be_kept_to_those_who_may_write_it() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.sql(
        "CREATE POLICY own ON storage.objects FOR INSERT TO authenticated
           WITH CHECK (name LIKE (current_setting('request.jwt.claims')::json->>'sub') || '/%')",
    )
    .await;
    let name = format!("{ALICE}/x");
    let asked = new(&bucket, &name, Some(3));
    let id = rig.storage.create_resumable(&user(ALICE), asked).await.unwrap().id;
    for (far, bytes) in [(0, b"ab".as_slice()), (2, b"c")] {
        let now = append(&rig, &user(ALICE), &id, far, bytes).await.unwrap();
        for ctx in [user(ALICE), service()] {
            assert_eq!(rig.storage.find_resumable_as(&ctx, &id).await.unwrap(), now);
        }
        for other in [anon(), user(BOB)] {
            assert_eq!(refused(rig.storage.find_resumable_as(&other, &id).await), "42501");
        }
    }
    rig.storage.delete_object(&service(), &bucket, &id.key).await.unwrap();
    assert!(rig.storage.find_resumable_as(&user(ALICE), &id).await.unwrap().done);
}

#[tokio::test]
async fn all_that_expired_is_given_up_at_once_whatever_cannot_be() {
    let rig = Rig::new().await;
    rig.bucket("b").await;
    // The oldest are of no key that there can be: more than are looked at in one go.
    let table = rig.own_table("resumable");
    rig.sql(&format!(
        "INSERT INTO {table} (version, bucket_id, name, upload_metadata, user_metadata, expires_at)
         SELECT gen_random_uuid(), 'b', CASE WHEN n <= 600 THEN '' ELSE 'x' || n END, '', '{{}}',
           now() - interval '1 hour' + make_interval(secs => n / 10)
         FROM generate_series(1, 1200) n"
    ))
    .await;
    rig.work_until("all but those", async || rows(&rig).await.len() == 600).await;
    assert!(rows(&rig).await.iter().all(|row| row.starts_with(' ')));
}

#[tokio::test]
async fn an_upload_that_takes_long_to_give_up_holds_up_no_deletion() {
    let (rig, hooks) = hooked().await;
    let bucket = rig.bucket("b").await;
    let id = begin(&rig, &bucket, "slow", 6).await;
    append(&rig, &service(), &id, 0, b"abc").await.unwrap();
    let table = rig.own_table("resumable");
    rig.sql(&format!("UPDATE {table} SET expires_at = now() - interval '1 second'")).await;
    rig.put(&service(), &bucket, "x", b"old").await.unwrap();
    rig.put(&service(), &bucket, "x", b"new").await.unwrap();
    let hanging = hooks.hold_growing.write().await;
    rig.drain().await;
    assert_eq!(rig.blob_files(&bucket), rig.row_files(&bucket).await);
    assert_eq!(rows(&rig).await.len(), 1);
    drop(hanging);
    rig.work_until("the upload given up", async || rows(&rig).await.is_empty()).await;
}

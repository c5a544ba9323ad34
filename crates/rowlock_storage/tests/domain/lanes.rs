//! Reads that travel together: nobody sees, waits for, or fails by what is another's.

use crate::support::{ALICE, BOB, Plan, Rig, anon, eventually, key, name_of, service, user};
use futures_util::future::join_all;
use rowlock_catalog::testing::{TestServer, World};
use rowlock_storage::{Access, Context, Error};
use rowlock_types::BucketName;
use std::time::Duration;

const OWN: &str = "CREATE POLICY own ON storage.objects
    USING (owner_id = current_setting('request.jwt.claim.sub', true)) WITH CHECK (true)";

/// How many connections are lanes.
async fn lanes(rig: &Rig) -> usize {
    let query = "SELECT pid::text FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'lane'";
    rig.texts(query).await.len()
}

/// Reads until every lane is open.
async fn warm(rig: &Rig, bucket: &BucketName, name: &str, wanted: usize) {
    let open = || async {
        let _ = rig.storage.find_object(&service(), bucket, &key(name)).await;
        lanes(rig).await == wanted
    };
    assert!(eventually(open).await, "the lanes are not opened");
}

async fn open(rig: &Rig, ctx: &Context, bucket: &BucketName, name: &str) -> Result<(), Error> {
    rig.storage.open(ctx, bucket, &key(name), Access::Caller).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_on_one_lane_keep_their_own_rights() {
    let rig = Rig::with(Plan { lanes: 1, ..Plan::default() }).await;
    rig.sql(OWN).await;
    let bucket = rig.bucket("one").await;
    let callers = [user(ALICE), user(BOB)];
    for (caller, name) in callers.iter().zip(["alice", "bob"]) {
        rig.put(caller, &bucket, name, name.as_bytes()).await.unwrap();
    }
    warm(&rig, &bucket, "alice", 1).await;
    let (alice, bob, nobody, service) = (&callers[0], &callers[1], &anon(), &service());
    let who = [
        (alice, "alice", true),
        (alice, "bob", false),
        (nobody, "alice", false),
        (bob, "bob", true),
        (service, "bob", true),
        (bob, "alice", false),
    ];
    for _ in 0..20 {
        let reads = (0..48).map(|i| {
            let (caller, name, sees) = who[i % who.len()];
            let (rig, bucket) = (&rig, &bucket);
            async move {
                let found = rig.storage.find_object(caller, bucket, &key(name)).await;
                assert_eq!(found.is_ok(), sees, "{:?} and {name}", caller.caller.role);
                assert_eq!(open(rig, caller, bucket, name).await.is_ok(), sees);
            }
        });
        join_all(reads).await;
    }
}

#[tokio::test]
async fn a_role_that_does_not_exist_reads_nothing_and_disturbs_nobody() {
    let rig = Rig::with(Plan { lanes: 1, ..Plan::default() }).await;
    rig.open_policy().await;
    let bucket = rig.bucket("one").await;
    rig.put(&service(), &bucket, "a", b"x").await.unwrap();
    warm(&rig, &bucket, "a", 1).await;
    let strangers = ["no_such_role", "pg_read_all_data", "supabase_storage_admin", "postgres"];
    let reads = strangers.iter().map(|role| {
        let (rig, bucket) = (&rig, &bucket);
        async move {
            let stranger = crate::support::caller(role, Some(ALICE));
            rig.storage.find_object(&stranger, bucket, &key("a")).await.unwrap_err();
            open(rig, &stranger, bucket, "a").await.unwrap_err();
            rig.storage.find_object(&user(BOB), bucket, &key("a")).await.unwrap();
        }
    });
    join_all(reads).await;
    assert_eq!(lanes(&rig).await, 1, "the lane lived through it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_its_own_requests() {
    let rig = Rig::with(Plan { lanes: 1, ..Plan::default() }).await;
    let bucket = rig.bucket("one").await;
    for name in ["fine", "boom"] {
        rig.put(&service(), &bucket, name, b"x").await.unwrap();
    }
    rig.sql(
        "CREATE POLICY fails ON storage.objects
         USING (CASE WHEN name = 'boom' THEN 1 / (length(name) - 4) = 1 ELSE true END)",
    )
    .await;
    warm(&rig, &bucket, "fine", 1).await;
    let alice = user(ALICE);
    for _ in 0..10 {
        let reads = (0..40).map(|i| {
            let (rig, bucket, alice) = (&rig, &bucket, &alice);
            async move {
                if i % 3 == 0 {
                    let error = open(rig, alice, bucket, "boom").await.unwrap_err();
                    assert_eq!(name_of(&error), "22012");
                } else {
                    open(rig, alice, bucket, "fine").await.unwrap();
                }
            }
        });
        join_all(reads).await;
    }
    assert_eq!(lanes(&rig).await, 1, "an error ends no lane");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lane_costs_no_read_and_comes_back() {
    let rig = Rig::with(Plan { lanes: 2, ..Plan::default() }).await;
    rig.open_policy().await;
    let bucket = rig.bucket("one").await;
    rig.put(&service(), &bucket, "a", b"x").await.unwrap();
    warm(&rig, &bucket, "a", 2).await;
    let alice = user(ALICE);
    for _ in 0..5 {
        let reads = (0..40).map(|_| open(&rig, &alice, &bucket, "a"));
        let kill = rig.texts(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'lane'",
        );
        let (reads, _) = tokio::join!(join_all(reads), kill);
        for read in reads {
            read.unwrap();
        }
    }
    warm(&rig, &bucket, "a", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_waits_alone() {
    let rig = Rig::with(Plan { lanes: 1, ..Plan::default() }).await;
    let bucket = rig.bucket("one").await;
    for name in ["fine", "slow"] {
        rig.put(&service(), &bucket, name, b"x").await.unwrap();
    }
    // Held up by a lock that the test lets go, so that no clock decides.
    rig.sql(
        "CREATE POLICY slow ON storage.objects USING
         (CASE WHEN name = 'slow' THEN pg_advisory_xact_lock(77) IS NOT NULL ELSE true END)",
    )
    .await;
    warm(&rig, &bucket, "fine", 1).await;
    let alice = user(ALICE);
    open(&rig, &alice, &bucket, "fine").await.unwrap();
    rig.sql("SELECT pg_advisory_lock(77)").await;
    let slow = {
        let (storage, alice, bucket) = (rig.storage.clone(), alice.clone(), bucket.clone());
        tokio::spawn(async move {
            storage.open(&alice, &bucket, &key("slow"), Access::Caller).await.map(|_| ())
        })
    };
    let waits = || async {
        let query = "SELECT 'x' FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        !rig.texts(query).await.is_empty()
    };
    assert!(eventually(waits).await);
    let reads = (0..40).map(|_| open(&rig, &alice, &bucket, "fine"));
    for read in join_all(reads).await {
        read.unwrap();
    }
    assert!(!slow.is_finished());
    rig.sql("SELECT pg_advisory_unlock(77)").await;
    slow.await.unwrap().unwrap();
}

#[tokio::test]
async fn statements_on_lanes_have_their_time_limit() {
    let limit = Duration::from_secs(1);
    let rig = Rig::with(Plan { lanes: 1, statement_timeout: limit, ..Plan::default() }).await;
    let bucket = rig.bucket("one").await;
    rig.put(&service(), &bucket, "slow", b"x").await.unwrap();
    rig.sql("CREATE POLICY slow ON storage.objects USING (pg_sleep(60) IS NOT NULL)").await;
    warm(&rig, &bucket, "slow", 1).await;
    let error = open(&rig, &user(ALICE), &bucket, "slow").await.unwrap_err();
    assert_eq!(name_of(&error), "57014");
    open(&rig, &service(), &bucket, "slow").await.unwrap();
}

#[tokio::test]
async fn a_changed_table_is_read_as_it_is_now() {
    let rig = Rig::with(Plan { lanes: 1, connections: 1, ..Plan::default() }).await;
    rig.open_policy().await;
    let bucket = rig.bucket("one").await;
    rig.put(&service(), &bucket, "a", b"x").await.unwrap();
    warm(&rig, &bucket, "a", 1).await;
    let alice = user(ALICE);
    open(&rig, &alice, &bucket, "a").await.unwrap();
    // The plans that lanes keep were made for rights and policies of before.
    rig.sql("DROP POLICY everything ON storage.objects").await;
    open(&rig, &alice, &bucket, "a").await.unwrap_err();
    rig.open_policy().await;
    open(&rig, &alice, &bucket, "a").await.unwrap();
    rig.sql("REVOKE SELECT ON storage.objects FROM authenticated").await;
    assert_eq!(name_of(&open(&rig, &alice, &bucket, "a").await.unwrap_err()), "42501");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_leave_take_nobody_along() {
    let rig = Rig::with(Plan { lanes: 1, ..Plan::default() }).await;
    rig.open_policy().await;
    let bucket = rig.bucket("one").await;
    rig.put(&service(), &bucket, "a", b"x").await.unwrap();
    warm(&rig, &bucket, "a", 1).await;
    let alice = user(ALICE);
    for _ in 0..20 {
        let leaving: Vec<_> = (0..20)
            .map(|_| {
                let (storage, alice, bucket) = (rig.storage.clone(), alice.clone(), bucket.clone());
                tokio::spawn(async move {
                    let _ = storage.open(&alice, &bucket, &key("a"), Access::Caller).await;
                })
            })
            .collect();
        tokio::task::yield_now().await;
        for task in &leaving {
            task.abort();
        }
        open(&rig, &alice, &bucket, "a").await.unwrap();
    }
    assert_eq!(lanes(&rig).await, 1);
}

#[tokio::test]
async fn statements_whose_first_request_fails_do_not_pile_up() {
    let rig = Rig::with(Plan { lanes: 1, ..Plan::default() }).await;
    let bucket = rig.bucket("one").await;
    for name in ["fine", "boom"] {
        rig.put(&service(), &bucket, name, b"x").await.unwrap();
    }
    // The policy runs on the lane itself, and sees what its connection keeps.
    rig.sql(
        "CREATE POLICY counts ON storage.objects
         USING (CASE WHEN name = 'boom' THEN 1 / (length(name) - 4) = 1
                ELSE (SELECT count(*) < 20 FROM pg_prepared_statements) END)",
    )
    .await;
    warm(&rig, &bucket, "fine", 1).await;
    let alice = user(ALICE);
    for _ in 0..40 {
        assert_eq!(name_of(&open(&rig, &alice, &bucket, "boom").await.unwrap_err()), "22012");
    }
    open(&rig, &alice, &bucket, "fine").await.unwrap();
    assert_eq!(lanes(&rig).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_asked_of_lanes_too() {
    let server: &'static TestServer = Box::leak(Box::new(TestServer::start(World::Stack)));
    let rig = Rig::with(Plan { lanes: 1, server: Some(server), ..Plan::default() }).await;
    let hba = server.folder().join("data/pg_hba.conf");
    rig.sql("ALTER ROLE supabase_storage_admin PASSWORD 'right'").await;
    let lines = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(&hba, lines).unwrap();
    rig.sql("SELECT pg_reload_conf()").await;
    let url = rig.db.url("supabase_storage_admin");
    let connector = |password: &str| {
        let url =
            url.replace("supabase_storage_admin@", &format!("supabase_storage_admin:{password}@"));
        let settings = rowlock_catalog::connect::ConnectSettings::new(url);
        rowlock_catalog::connect::Connector::new(&settings).unwrap()
    };
    let refused = || async { connector("wrong").connect_raw().await.is_err() };
    assert!(eventually(refused).await);
    assert!(connector("right").connect_raw().await.unwrap().is_some());
}

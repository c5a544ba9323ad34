//! The way back to the reference, as docs/operations.md tells it: its SQL is run, and what is left
//! is the catalog that the reference has made itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{expected_structure, in_stack, installing, lines, prepare_as, state, structure};
use rowlock_catalog::schema::{
    Error, LEAVE, Outcome, SchemaSettings, StackSettings, leave, own_schema,
};
use rowlock_catalog::testing::{TestDatabase, TestServer, World, plain_database};
use tokio_postgres::Client;

const PAGE: &str = include_str!("../../../docs/operations.md");
const STACK_USER: &str = "supabase_storage_admin";

/// Whatever of ours there is anywhere in the database.
const OURS: &str = r"
SELECT 'relation ' || oid::regclass FROM pg_class WHERE relname LIKE '%rowlock%'
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname LIKE '%rowlock%'
UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE prosrc LIKE '%rowlock%'
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typname LIKE '%rowlock%'
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname LIKE '%rowlock%'
UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE conname LIKE '%rowlock%'
UNION ALL SELECT 'policy ' || policyname FROM pg_policies WHERE policyname LIKE '%rowlock%'
UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname LIKE '%rowlock%'
UNION ALL SELECT 'setting ' || unnest(setconfig) FROM pg_db_role_setting
    WHERE setconfig::text LIKE '%rowlock%'
";

/// The SQL of the page's section, block by block.
fn blocks() -> Vec<String> {
    let section = PAGE.split("\n## ").find(|s| s.starts_with("Back to the reference\n"));
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in section.expect("the section is there").lines() {
        match &mut open {
            None if line.trim_start() == "```sql" => {
                open = Some((line.len() - "```sql".len(), String::new()));
            }
            None => {}
            Some((_, block)) if line.trim_start() == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            // Blocks of a list are indented with it.
            Some((indent, block)) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    assert_eq!(blocks.len(), 4, "three looks and one step");
    blocks
}

/// A database in each of the three shapes that there are, not yet used: its server's user, how that
/// server starts, and where our tables will be.
async fn worlds() -> Vec<(TestDatabase, &'static str, SchemaSettings, &'static str)> {
    let stack = |storage_admin_creates| async move {
        TestServer::shared(World::Stack)
            .database_with(StackSettings { storage_admin_creates })
            .await
    };
    vec![
        (plain_database().await, "postgres", installing(), "rowlock"),
        (stack(true).await, STACK_USER, in_stack(), "rowlock"),
        (stack(false).await, STACK_USER, in_stack(), "storage"),
    ]
}

/// What servers and users leave: a bucket, objects, an unfinished upload with our own rows beside it.
async fn used(client: &Client, own: &str) {
    client
        .batch_execute(&format!(
            "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
             INSERT INTO storage.objects (bucket_id, name, version, metadata)
                 VALUES ('b', 'plain (1).txt', gen_random_uuid(), '{{\"size\": 1}}'),
                     ('b', 'tilde~.txt', gen_random_uuid(), '{{}}'),
                     ('b', 'ünï', gen_random_uuid(), '{{}}'),
                     ('b', 'folder/' || repeat('x', 217), gen_random_uuid(), '{{}}'),
                     ('b', repeat('y', 216) || '/z', gen_random_uuid(), '{{}}'),
                     ('b', repeat('y', 256) || '/z', gen_random_uuid(), '{{}}');
             INSERT INTO storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version)
                 VALUES ('u', '', 'b', 'k', 'v');
             INSERT INTO {own}.rowlock_parts (upload_id, part_number, size, etag) VALUES ('u', 1, 5, 'e');
             INSERT INTO {own}.rowlock_bucket_tags VALUES ('b', '{{}}');
             INSERT INTO {own}.rowlock_completed (upload_id, bucket_id, name, etag, version)
                 VALUES ('c', 'b', 'n', 'e', 'v');
             INSERT INTO {own}.rowlock_resumable (version, bucket_id, name, upload_metadata,
                     user_metadata, expires_at, completed_at)
                 VALUES (gen_random_uuid(), 'b', 'n', '', 'null', now(), now());
             INSERT INTO {own}.rowlock_events (id, kind, bucket_id, name, origin, dead_at)
                 VALUES (gen_random_uuid(), 'ObjectCreated:Put', 'b', 'n', '{{}}', now())"
        ))
        .await
        .unwrap();
}

async fn objects(client: &Client) -> Vec<String> {
    let all = "SELECT o::text FROM storage.objects AS o UNION ALL
        SELECT m::text FROM storage.s3_multipart_uploads AS m ORDER BY 1";
    lines(client, all).await
}

#[tokio::test]
async fn the_pages_sql_leaves_the_references_catalog() {
    let [waiting, characters, long, step] = &blocks()[..] else { unreachable!() };
    for (database, user, settings, own) in worlds().await {
        prepare_as(&database, user, &settings).await.unwrap();
        let client = database.connect(user).await;
        let admin = database.connect(database.superuser()).await;
        assert_eq!(own_schema(&client).await.unwrap(), Some(own));
        used(&client, own).await;
        let rows = objects(&admin).await;

        // The page writes the schema where most have it.
        let waiting = waiting.replace("rowlock.rowlock_", &format!("{own}.rowlock_"));
        let counted = client.query_one(&waiting, &[]).await.unwrap();
        for column in ["deletions", "writes", "resumable", "events"] {
            assert_eq!(counted.get::<_, i64>(column), 0, "{own}: {column}");
        }
        let named = |found: Vec<tokio_postgres::Row>| -> Vec<String> {
            found.iter().map(|row| row.get("name")).collect()
        };
        let odd = named(client.query(characters, &[]).await.unwrap());
        assert_eq!(odd, ["tilde~.txt", "ünï"], "{own}");
        let long = named(client.query(long, &[]).await.unwrap());
        assert_eq!(long, ["folder/".to_owned() + &"x".repeat(217), "y".repeat(256) + "/z"]);

        client.batch_execute(step).await.unwrap();
        assert_eq!(lines(&admin, OURS).await, Vec::<String>::new(), "{own}");
        assert_eq!(structure(&admin).await, expected_structure(), "{own}");
        assert_eq!(objects(&admin).await, rows, "{own}");
        // The bookkeeping is complete, so that the reference migrates nothing.
        let kept = "SELECT count(*)::text || ' ' || max(id) FROM storage.migrations";
        assert_eq!(lines(&admin, kept).await, ["64 63"]);

        // And Rowlock may come back.
        let prepared = prepare_as(&database, user, &settings).await.unwrap();
        assert_eq!((prepared.outcome, prepared.own_schema.as_str()), (Outcome::Adopted, own));
    }
}

#[tokio::test]
async fn an_adopted_database_is_as_it_was() {
    for (database, user, settings, own) in worlds().await {
        // As the reference has left it, with what users have added since.
        prepare_as(&database, user, &settings).await.unwrap();
        let client = database.connect(user).await;
        leave(&client).await.unwrap();
        let admin = database.connect(database.superuser()).await;
        admin
            .batch_execute(
                "INSERT INTO storage.buckets (id, name) VALUES ('a', 'a');
                 CREATE POLICY mine ON storage.objects FOR SELECT TO authenticated USING (true);
                 CREATE INDEX users_own ON storage.objects (created_at);
                 COMMENT ON TABLE storage.objects IS 'ours'",
            )
            .await
            .unwrap();
        let before = state(&admin).await;

        let prepared = prepare_as(&database, user, &settings).await.unwrap();
        assert_eq!(prepared.outcome, Outcome::Adopted);
        assert_ne!(lines(&admin, OURS).await, Vec::<String>::new(), "{own}");
        leave(&client).await.unwrap();
        assert_eq!(state(&admin).await, before, "{own}");
        assert_eq!(lines(&admin, OURS).await, Vec::<String>::new(), "{own}");
    }
}

#[tokio::test]
async fn nobody_leaves_work_behind() {
    for (database, user, settings, own) in worlds().await {
        prepare_as(&database, user, &settings).await.unwrap();
        let client = database.connect(user).await;
        let refused = async || match leave(&client).await.unwrap_err() {
            Error::Staying(sentence) => sentence,
            other => panic!("{other}"),
        };
        for (row, table) in [
            ("rowlock_outbox (kind, bucket_id, name) VALUES ('delete_blob', 'b', 'n')", "outbox"),
            ("rowlock_pending (blob_key, process) VALUES ('k', gen_random_uuid())", "pending"),
        ] {
            client.batch_execute(&format!("INSERT INTO {own}.{row}")).await.unwrap();
            let sentence = refused().await;
            assert!(
                sentence.starts_with("1 rows of rowlock_outbox and rowlock_pending"),
                "{sentence}"
            );
            client.batch_execute(&format!("DELETE FROM {own}.rowlock_{table}")).await.unwrap();
        }
        client
            .batch_execute(&format!(
                "INSERT INTO {own}.rowlock_resumable
                     (version, bucket_id, name, upload_metadata, user_metadata, expires_at)
                 VALUES (gen_random_uuid(), 'b', 'n', '', 'null', now())"
            ))
            .await
            .unwrap();
        let sentence = refused().await;
        assert!(sentence.starts_with("1 resumable uploads are not finished"), "{sentence}");
        client.batch_execute(&format!("DELETE FROM {own}.rowlock_resumable")).await.unwrap();
        client
            .batch_execute(&format!(
                "INSERT INTO {own}.rowlock_events (id, kind, bucket_id, name, origin)
                     VALUES (gen_random_uuid(), 'ObjectCreated:Put', 'b', 'n', '{{}}')"
            ))
            .await
            .unwrap();
        let sentence = refused().await;
        assert!(sentence.starts_with("1 events are not delivered"), "{sentence}");
        client.batch_execute(&format!("DELETE FROM {own}.rowlock_events")).await.unwrap();
        assert_eq!(own_schema(&client).await.unwrap(), Some(own), "nothing was dropped");

        let mut server = database.config(user);
        let (server, driver) =
            server.application_name("Rowlock 0.1.0").connect(tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(driver);
        let sentence = refused().await;
        assert!(sentence.contains("stop it first"), "{sentence}");
        drop(server);
        driver.await.unwrap().unwrap();
        // The database notices a closed connection when it next looks.
        while let Err(error) = leave(&client).await {
            assert!(error.to_string().contains("stop it first"), "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let sentence = refused().await;
        assert!(sentence.contains("no table"), "{sentence}");
    }
}

#[test]
fn the_page_and_the_command_run_the_same() {
    assert_eq!(blocks()[3], LEAVE);
}

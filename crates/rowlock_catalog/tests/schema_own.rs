//! Rowlock's own tables: in their schema or in `storage`, and nobody's business but the server's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{in_stack, installing, lines, prepare_as};
use rowlock_catalog::schema::{Error, StackSettings};
use rowlock_catalog::testing::{TestDatabase, TestServer, World, plain_database, stack_database};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const TABLES: [&str; 8] = [
    "rowlock_bucket_tags",
    "rowlock_completed",
    "rowlock_events",
    "rowlock_meta",
    "rowlock_outbox",
    "rowlock_parts",
    "rowlock_pending",
    "rowlock_resumable",
];
const STACK_USER: &str = "supabase_storage_admin";

async fn tables_in(client: &Client, schema: &str) -> Vec<String> {
    let query = format!(
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = '{schema}' AND c.relkind = 'r' AND c.relname LIKE 'rowlock\\_%'
             AND c.relrowsecurity
         ORDER BY c.relname"
    );
    lines(client, &query).await
}

/// Grants on our tables, sequences and schema to anyone but the owner.
async fn foreign_grants(client: &Client) -> Vec<String> {
    let query = "SELECT format('%s %s %s', name, grantee, privilege) FROM (
            SELECT c.relname, a.grantee, a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a
            WHERE c.relname LIKE 'rowlock\\_%' AND a.grantee <> c.relowner
            UNION ALL
            SELECT n.nspname, a.grantee, a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
            WHERE n.nspname = 'rowlock' AND a.grantee <> n.nspowner
        ) AS g (name, grantee, privilege)";
    lines(client, query).await
}

/// Every statement that a caller might try on every table and sequence is refused.
async fn closed_to_callers(database: &TestDatabase, schema: &str) {
    let admin = database.connect(database.superuser()).await;
    assert_eq!(foreign_grants(&admin).await, Vec::<String>::new());
    for role in ["anon", "authenticated", "service_role"] {
        admin.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        for table in TABLES {
            for attempt in [
                format!("SELECT FROM {schema}.{table}"),
                format!("INSERT INTO {schema}.{table} DEFAULT VALUES"),
                format!("DELETE FROM {schema}.{table}"),
                format!("TRUNCATE {schema}.{table}"),
                format!("SELECT nextval('{schema}.rowlock_outbox_id_seq')"),
            ] {
                let refused = admin.batch_execute(&attempt).await.unwrap_err();
                assert_eq!(
                    refused.code(),
                    Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                    "{role}: {attempt}"
                );
            }
        }
        admin.batch_execute("RESET ROLE").await.unwrap();
    }
}

/// The server's user reads and writes all of them.
async fn open_to_the_server(client: &Client, schema: &str) {
    client
        .batch_execute(&format!(
            "INSERT INTO {schema}.rowlock_outbox (kind, bucket_id, name) VALUES ('delete_blob', 'b', 'n');
             INSERT INTO {schema}.rowlock_pending (blob_key, process) VALUES ('k', gen_random_uuid());
             INSERT INTO {schema}.rowlock_completed (upload_id, bucket_id, name, etag, version)
                 VALUES ('u', 'b', 'n', 'e', 'v');
             INSERT INTO {schema}.rowlock_events (id, kind, bucket_id, name, origin)
                 VALUES (gen_random_uuid(), 'ObjectCreated:Put', 'b', 'n', '{{}}');
             DELETE FROM {schema}.rowlock_events WHERE dead_at IS NULL;
             DELETE FROM {schema}.rowlock_outbox WHERE attempts = 0;
             DELETE FROM {schema}.rowlock_pending;
             DELETE FROM {schema}.rowlock_completed"
        ))
        .await
        .unwrap();
    let version = format!("SELECT value FROM {schema}.rowlock_meta WHERE key = 'schema_version'");
    assert_eq!(lines(client, &version).await, ["5"]);
    let refused = client
        .batch_execute(&format!(
            "INSERT INTO {schema}.rowlock_outbox (kind, bucket_id, name) VALUES ('other', 'b', 'n')"
        ))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION));
}

#[tokio::test]
async fn in_a_schema_of_their_own() {
    let database = plain_database().await;
    let admin = database.connect("postgres").await;
    // As hosted projects have it: whatever is made anywhere is handed to callers.
    prepare_as(&database, "postgres", &installing()).await.unwrap();
    admin
        .batch_execute(
            "DROP SCHEMA rowlock CASCADE;
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, service_role, PUBLIC;
             ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, service_role, PUBLIC;
             ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon, PUBLIC",
        )
        .await
        .unwrap();
    let prepared = prepare_as(&database, "postgres", &installing()).await.unwrap();
    assert_eq!(prepared.own_schema, "rowlock");
    assert_eq!(tables_in(&admin, "rowlock").await, TABLES);
    assert_eq!(tables_in(&admin, "storage").await, Vec::<String>::new());
    closed_to_callers(&database, "rowlock").await;
    open_to_the_server(&admin, "rowlock").await;
}

#[tokio::test]
async fn in_a_newer_stack_that_lets_the_user_create_schemas() {
    let server = TestServer::shared(World::Stack);
    let database = server.database_with(StackSettings { storage_admin_creates: true }).await;
    let prepared = prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    assert_eq!(prepared.own_schema, "rowlock");
    assert_eq!(prepared.warnings, Vec::<String>::new());
    closed_to_callers(&database, "rowlock").await;
    open_to_the_server(&database.connect(STACK_USER).await, "rowlock").await;
}

#[tokio::test]
async fn in_schema_storage_where_there_is_no_other_place() {
    let database = stack_database().await;
    let admin = database.connect("supabase_admin").await;
    admin
        .batch_execute(
            "ALTER DEFAULT PRIVILEGES FOR ROLE supabase_storage_admin IN SCHEMA storage
                 GRANT ALL ON TABLES TO anon, authenticated, service_role;
             ALTER DEFAULT PRIVILEGES FOR ROLE supabase_storage_admin IN SCHEMA storage
                 GRANT ALL ON SEQUENCES TO anon, authenticated, service_role",
        )
        .await
        .unwrap();
    let prepared = prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    assert_eq!(prepared.own_schema, "storage");
    assert_eq!(tables_in(&admin, "storage").await, TABLES);
    closed_to_callers(&database, "storage").await;
    open_to_the_server(&database.connect(STACK_USER).await, "storage").await;

    // They stay where they are, with what is in them, though the right has come since.
    admin
        .batch_execute(&format!(
            "GRANT CREATE ON DATABASE {} TO supabase_storage_admin",
            database.name()
        ))
        .await
        .unwrap();
    let prepared = prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    assert_eq!(prepared.own_schema, "storage");
    assert_eq!(tables_in(&admin, "rowlock").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_administrator_may_make_the_schema_beforehand() {
    let database = stack_database().await;
    let admin = database.connect("supabase_admin").await;
    admin
        .batch_execute("CREATE SCHEMA rowlock AUTHORIZATION supabase_storage_admin")
        .await
        .unwrap();
    let prepared = prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    assert_eq!(prepared.own_schema, "rowlock");
    closed_to_callers(&database, "rowlock").await;
}

#[tokio::test]
async fn tables_of_another_user_are_refused() {
    let server = TestServer::shared(World::Stack);
    let database = server.database_with(StackSettings { storage_admin_creates: true }).await;
    prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    let admin = database.connect("supabase_admin").await;
    admin
        .batch_execute("ALTER TABLE rowlock.rowlock_outbox OWNER TO supabase_admin")
        .await
        .unwrap();
    let refused = prepare_as(&database, STACK_USER, &in_stack()).await.unwrap_err();
    assert!(matches!(refused, Error::ForeignTables { schema: "rowlock", .. }), "{refused}");
}

#[tokio::test]
async fn parts_go_with_their_upload_whoever_deletes_it() {
    let database = stack_database().await;
    prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    let client = database.connect(STACK_USER).await;
    client
        .batch_execute(
            "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
             INSERT INTO storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version)
                 VALUES ('u', '', 'b', 'k', 'v');
             INSERT INTO storage.rowlock_parts (upload_id, part_number, size, etag)
                 VALUES ('u', 1, 5, 'e'), ('u', 2, 5, 'e');
             SET ROLE service_role;
             DELETE FROM storage.s3_multipart_uploads WHERE id = 'u';
             RESET ROLE",
        )
        .await
        .unwrap();
    assert_eq!(lines(&client, "SELECT count(*)::text FROM storage.rowlock_parts").await, ["0"]);
    let orphan = client
        .batch_execute("INSERT INTO storage.rowlock_parts VALUES ('none', 1, 5, 'e')")
        .await
        .unwrap_err();
    assert_eq!(orphan.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION));
}

#[tokio::test]
async fn a_user_who_owns_nothing_gets_parts_without_the_reference() {
    let database = stack_database().await;
    prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    let admin = database.connect("supabase_admin").await;
    admin
        .batch_execute(
            "DROP TABLE storage.rowlock_outbox, storage.rowlock_pending, storage.rowlock_parts,
                 storage.rowlock_completed, storage.rowlock_bucket_tags, storage.rowlock_resumable,
                 storage.rowlock_events,
                 storage.rowlock_meta;
             CREATE ROLE runner LOGIN BYPASSRLS;
             GRANT USAGE ON SCHEMA storage TO runner;
             GRANT SELECT ON storage.migrations TO runner;
             CREATE SCHEMA rowlock AUTHORIZATION runner",
        )
        .await
        .unwrap();
    let prepared = prepare_as(&database, "runner", &in_stack()).await.unwrap();
    assert_eq!(prepared.own_schema, "rowlock");
    let client = database.connect("runner").await;
    client
        .batch_execute(
            "INSERT INTO rowlock.rowlock_parts VALUES ('none', 1, 5, 'e');
             INSERT INTO rowlock.rowlock_bucket_tags VALUES ('none', '{}')",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn tables_of_version_1_are_brought_forward() {
    let database = plain_database().await;
    prepare_as(&database, "postgres", &installing()).await.unwrap();
    let admin = database.connect("postgres").await;
    admin
        .batch_execute(
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, PUBLIC;
             ALTER TABLE rowlock.rowlock_parts DROP COLUMN checksum;
             DROP TABLE rowlock.rowlock_bucket_tags, rowlock.rowlock_resumable, rowlock.rowlock_events;
             UPDATE rowlock.rowlock_meta SET value = '1' WHERE key = 'schema_version';
             INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
             INSERT INTO storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version)
                 VALUES ('u', '', 'b', 'k', 'v');
             INSERT INTO rowlock.rowlock_parts (upload_id, part_number, size, etag)
                 VALUES ('u', 1, 5, 'e')",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        let prepared = prepare_as(&database, "postgres", &installing()).await.unwrap();
        assert_eq!(prepared.warnings, Vec::<String>::new());
    }
    assert_eq!(tables_in(&admin, "rowlock").await, TABLES);
    closed_to_callers(&database, "rowlock").await;
    open_to_the_server(&admin, "rowlock").await;
    let kept = "SELECT etag || coalesce(checksum, ' none') FROM rowlock.rowlock_parts";
    assert_eq!(lines(&admin, kept).await, ["e none"]);
}

#[tokio::test]
async fn tags_go_with_their_bucket() {
    let database = stack_database().await;
    prepare_as(&database, STACK_USER, &in_stack()).await.unwrap();
    let client = database.connect(STACK_USER).await;
    client
        .batch_execute(
            "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
             INSERT INTO storage.rowlock_bucket_tags VALUES ('b', '{\"a\": \"1\"}');
             SELECT set_config('storage.allow_delete_query', 'true', false);
             DELETE FROM storage.buckets WHERE id = 'b'",
        )
        .await
        .unwrap();
    let left = "SELECT count(*)::text FROM storage.rowlock_bucket_tags";
    assert_eq!(lines(&client, left).await, ["0"]);
}

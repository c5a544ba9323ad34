//! A database that has a schema is left as it is, and refused where it can't be used.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{in_stack, installing, lines, prepare_as, state};
use rowlock_catalog::schema::{Error, Outcome, REFERENCE_VERSION, SchemaSettings};
use rowlock_catalog::testing::{TestDatabase, World, plain_database, stack_database};
use tokio_postgres::Client;

const STACK_USER: &str = "supabase_storage_admin";

/// What users have added to their database.
const USERS_WORK: &str = "
    INSERT INTO storage.buckets (id, name, public) VALUES ('avatars', 'avatars', true);
    CREATE POLICY own_files ON storage.objects FOR ALL TO authenticated
        USING (owner_id = (current_setting('request.jwt.claims', true)::jsonb ->> 'sub'));
    CREATE TABLE public.profiles (id uuid PRIMARY KEY, avatar uuid REFERENCES storage.objects (id));
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER note AFTER INSERT ON storage.objects
        FOR EACH ROW EXECUTE FUNCTION public.note();
    CREATE INDEX users_own ON storage.objects (created_at);
    COMMENT ON TABLE storage.objects IS 'ours';
    REVOKE TRUNCATE ON storage.objects FROM anon;
";

const DROP_OWN_TABLES: &str = "
    DROP SCHEMA IF EXISTS rowlock CASCADE;
    DROP TABLE IF EXISTS storage.rowlock_outbox, storage.rowlock_pending, storage.rowlock_parts,
        storage.rowlock_completed, storage.rowlock_bucket_tags, storage.rowlock_resumable, storage.rowlock_events,
        storage.rowlock_meta;
";

/// A database as another server has left it, with users' work in it, and its superuser's client.
async fn existing(world: World) -> (TestDatabase, Client, &'static str, SchemaSettings) {
    let (database, user, settings) = match world {
        World::Plain => (plain_database().await, "postgres", installing()),
        World::Stack => (stack_database().await, STACK_USER, in_stack()),
    };
    prepare_as(&database, user, &settings).await.unwrap();
    let admin = database.connect(database.superuser()).await;
    admin.batch_execute(DROP_OWN_TABLES).await.unwrap();
    database.connect("postgres").await.batch_execute(USERS_WORK).await.unwrap();
    (database, admin, user, settings)
}

#[tokio::test]
async fn a_complete_schema_is_adopted_untouched() {
    for world in [World::Plain, World::Stack] {
        let (database, admin, user, settings) = existing(world).await;
        let before = state(&admin).await;
        let prepared = prepare_as(&database, user, &settings).await.unwrap();
        assert_eq!(prepared.outcome, Outcome::Adopted);
        // A second start, now beside our own tables; and one that would install roles.
        prepare_as(&database, user, &installing()).await.unwrap();
        admin.batch_execute(DROP_OWN_TABLES).await.unwrap();
        assert_eq!(state(&admin).await, before);
    }
}

#[tokio::test]
async fn the_state_compared_sees_a_touch() {
    let (_database, admin, ..) = existing(World::Stack).await;
    let before = state(&admin).await;
    for touch in [
        "GRANT SELECT ON storage.migrations TO dashboard_user",
        "UPDATE storage.migrations SET executed_at = now() WHERE id = 5",
        "CREATE OR REPLACE FUNCTION storage.operation() RETURNS text LANGUAGE plpgsql STABLE
            AS 'BEGIN RETURN NULL; END'",
        "ALTER SCHEMA storage OWNER TO postgres",
        "DROP POLICY own_files ON storage.objects",
    ] {
        admin.batch_execute("BEGIN").await.unwrap();
        admin.batch_execute(touch).await.unwrap();
        assert_ne!(state(&admin).await, before, "{touch}");
        admin.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn rows_of_a_newer_server_are_ignored() {
    let (database, admin, user, settings) = existing(World::Stack).await;
    admin
        .batch_execute("INSERT INTO storage.migrations VALUES (64, 'things-to-come', 'abc')")
        .await
        .unwrap();
    let before = state(&admin).await;
    let prepared = prepare_as(&database, user, &settings).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Newer);
    admin.batch_execute(DROP_OWN_TABLES).await.unwrap();
    assert_eq!(state(&admin).await, before);
}

#[tokio::test]
async fn an_older_schema_is_refused_untouched() {
    let (database, admin, user, settings) = existing(World::Stack).await;
    admin.batch_execute("DELETE FROM storage.migrations WHERE id > 50").await.unwrap();
    let before = state(&admin).await;
    let refused = prepare_as(&database, user, &settings).await.unwrap_err();
    assert!(matches!(&refused, Error::Older(Some((50, _)))), "{refused}");
    let message = refused.to_string();
    assert!(message.contains("50 'search-v2-optimised'"), "{message}");
    assert!(message.contains(REFERENCE_VERSION), "{message}");
    assert_eq!(state(&admin).await, before);

    admin.batch_execute("DELETE FROM storage.migrations").await.unwrap();
    let refused = prepare_as(&database, user, &settings).await.unwrap_err();
    assert!(matches!(&refused, Error::Older(None)), "{refused}");
}

#[tokio::test]
async fn a_gap_is_refused_untouched() {
    let (database, admin, user, settings) = existing(World::Stack).await;
    admin.batch_execute("DELETE FROM storage.migrations WHERE id = 40").await.unwrap();
    let before = state(&admin).await;
    let refused = prepare_as(&database, user, &settings).await.unwrap_err();
    assert!(matches!(&refused, Error::Gap { id: 40, .. }), "{refused}");
    assert!(refused.to_string().contains("fix-prefix-race-conditions-optimized"), "{refused}");
    assert_eq!(state(&admin).await, before);
}

#[tokio::test]
async fn differing_hashes_are_refreshed_or_refused() {
    let (database, admin, user, settings) = existing(World::Stack).await;
    let clean = state(&admin).await;
    admin
        .batch_execute("UPDATE storage.migrations SET hash = repeat('0', 40) WHERE id IN (2, 10)")
        .await
        .unwrap();
    let spoilt = state(&admin).await;
    let strict = SchemaSettings { allow_hash_refresh: false, ..settings.clone() };
    let refused = prepare_as(&database, user, &strict).await.unwrap_err();
    let expected = "Hashes don't match for migrations \
        '0002-storage-schema.sql,00010-search-files-search-function.sql'.";
    assert!(refused.to_string().starts_with(expected), "{refused}");
    assert_eq!(state(&admin).await, spoilt);

    let prepared = prepare_as(&database, user, &settings).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Adopted);
    assert!(prepared.warnings.iter().any(|w| w.contains("0002-storage-schema.sql")));
    admin.batch_execute(DROP_OWN_TABLES).await.unwrap();
    assert_eq!(state(&admin).await, clean);
    prepare_as(&database, user, &strict).await.unwrap();
}

#[tokio::test]
async fn other_names_under_right_hashes_pass() {
    let (database, admin, user, settings) = existing(World::Stack).await;
    admin
        .batch_execute("UPDATE storage.migrations SET name = 'renamed' WHERE id = 3")
        .await
        .unwrap();
    let prepared = prepare_as(&database, user, &settings).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Adopted);
    let name = "SELECT name::text FROM storage.migrations WHERE id = 3";
    assert_eq!(lines(&admin, name).await, ["renamed"]);
}

#[tokio::test]
async fn tables_without_bookkeeping_are_refused() {
    let database = stack_database().await;
    let admin = database.connect("supabase_admin").await;
    admin.batch_execute("CREATE TABLE storage.objects (id int)").await.unwrap();
    let refused = prepare_as(&database, STACK_USER, &in_stack()).await.unwrap_err();
    assert!(matches!(&refused, Error::Occupied(t) if t == "objects"), "{refused}");
}

#[tokio::test]
async fn a_user_who_can_not_see_the_bookkeeping_is_refused() {
    let (database, admin, ..) = existing(World::Stack).await;
    admin
        .batch_execute(
            "GRANT USAGE ON SCHEMA storage TO dashboard_user; ALTER ROLE dashboard_user LOGIN",
        )
        .await
        .unwrap();
    let refused = prepare_as(&database, "dashboard_user", &in_stack()).await.unwrap_err();
    assert!(matches!(&refused, Error::NotOwner(u) if u == "dashboard_user"), "{refused}");
    // With the right to read, but policies in the way, the table would look empty.
    admin.batch_execute("GRANT SELECT ON storage.migrations TO dashboard_user").await.unwrap();
    let refused = prepare_as(&database, "dashboard_user", &in_stack()).await.unwrap_err();
    assert!(matches!(&refused, Error::NotOwner(_)), "{refused}");
}

#[tokio::test]
async fn missing_rights_are_said_at_the_start() {
    let (database, _admin, user, settings) = existing(World::Stack).await;
    let other = SchemaSettings { anon_role: "nobody_here".to_owned(), ..settings };
    let prepared = prepare_as(&database, user, &other).await.unwrap();
    assert!(
        prepared.warnings.iter().any(|w| w.contains("role \"nobody_here\" does not exist")),
        "{:?}",
        prepared.warnings
    );
    let other = SchemaSettings { service_role: "supabase_auth_admin".to_owned(), ..other };
    let prepared = prepare_as(&database, user, &other).await.unwrap();
    let grant = "GRANT \"supabase_auth_admin\" TO \"supabase_storage_admin\"";
    assert!(prepared.warnings.iter().any(|w| w.contains(grant)), "{:?}", prepared.warnings);
}

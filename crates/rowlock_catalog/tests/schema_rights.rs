//! A start whose database user lacks a right says which one, and who can give it: the grant that
//! it names is run here, and the start then succeeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::prepare_as;
use rowlock_catalog::schema::{Error, SchemaSettings};
use rowlock_catalog::testing::{TestDatabase, TestServer, World};
use tokio_postgres::Client;

/// Roles belong to the whole server, so these tests have one of their own.
struct Town {
    _server: TestServer,
    database: TestDatabase,
    admin: Client,
}

impl Town {
    async fn new() -> Self {
        let server = TestServer::start(World::Plain);
        let database = server.database().await;
        let admin = database.connect("postgres").await;
        admin
            .batch_execute(
                "CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS;
                 CREATE ROLE \"the user\" LOGIN NOINHERIT; CREATE ROLE keeper LOGIN;
                 GRANT anon, authenticated, service_role TO \"the user\"",
            )
            .await
            .unwrap();
        Self { _server: server, database, admin }
    }

    /// What a start as the unprivileged user says it lacks.
    async fn lacks(&self, settings: &SchemaSettings) -> String {
        match prepare_as(&self.database, "the user", settings).await {
            Err(error @ Error::Rights { .. }) => {
                let text = error.to_string();
                assert!(
                    text.contains("'the user'") && text.contains("permission denied"),
                    "{text}"
                );
                text
            }
            other => panic!("{other:?}"),
        }
    }

    /// Runs the grant that a refusal names, and nothing else.
    async fn obey(&self, refusal: &str) {
        let grant = refusal.split(" run: ").nth(1).unwrap().split(". Nothing").next().unwrap();
        self.admin.batch_execute(grant).await.unwrap_or_else(|error| panic!("{grant}: {error}"));
    }
}

#[tokio::test]
async fn creating_the_schema() {
    let town = Town::new().await;
    let refusal = town.lacks(&SchemaSettings::default()).await;
    assert!(refusal.contains("as role \"postgres\""), "{refusal}");
    assert!(refusal.contains("GRANT CREATE ON DATABASE \"test_0\" TO \"the user\""), "{refusal}");
    town.obey(&refusal).await;
    let prepared = prepare_as(&town.database, "the user", &SchemaSettings::default()).await;
    assert_eq!(prepared.unwrap().own_schema, "rowlock");
}

#[tokio::test]
async fn filling_a_schema_that_somebody_else_made() {
    let town = Town::new().await;
    town.admin.batch_execute("CREATE SCHEMA storage AUTHORIZATION keeper").await.unwrap();
    let refusal = town.lacks(&SchemaSettings::default()).await;
    assert!(refusal.contains("as role \"keeper\" (which owns schema storage)"), "{refusal}");
    town.obey(&refusal).await;
    let prepared = prepare_as(&town.database, "the user", &SchemaSettings::default()).await;
    assert_eq!(prepared.unwrap().own_schema, "storage");
}

#[tokio::test]
async fn making_roles() {
    let town = Town::new().await;
    town.admin
        .batch_execute("GRANT CREATE ON DATABASE test_0 TO \"the user\"; DROP ROLE keeper")
        .await
        .unwrap();
    let settings = SchemaSettings { install_roles: true, ..SchemaSettings::default() };
    let refusal = town.lacks(&settings).await;
    assert!(refusal.contains("DB_INSTALL_ROLES=true"), "{refusal}");
    assert!(refusal.contains("superuser"), "{refusal}");
}

#[tokio::test]
async fn tables_of_somebody_else() {
    let town = Town::new().await;
    let grant = "GRANT CREATE ON DATABASE test_0 TO keeper;
                 GRANT anon, authenticated, service_role TO keeper";
    town.admin.batch_execute(grant).await.unwrap();
    prepare_as(&town.database, "keeper", &SchemaSettings::default()).await.unwrap();
    town.admin
        .batch_execute(
            "UPDATE storage.migrations SET hash = 'another' WHERE id = 3;
             GRANT SELECT ON storage.migrations TO \"the user\";
             GRANT USAGE, CREATE ON SCHEMA storage TO \"the user\";
             ALTER TABLE storage.migrations DISABLE ROW LEVEL SECURITY",
        )
        .await
        .unwrap();
    let refusal = town.lacks(&SchemaSettings::default()).await;
    assert!(refusal.contains("connect as role \"keeper\", which owns the tables"), "{refusal}");

    // Nothing to refresh any more: what is left are our own tables.
    prepare_as(&town.database, "keeper", &SchemaSettings::default()).await.unwrap();
    match prepare_as(&town.database, "the user", &SchemaSettings::default()).await {
        Err(error @ Error::ForeignTables { .. }) => {
            let text = error.to_string();
            assert!(text.contains("connect as role 'keeper'"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

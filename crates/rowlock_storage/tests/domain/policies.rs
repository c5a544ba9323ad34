//! Row-level security decides, as PostgreSQL itself would; what cannot be decided is refused.

use crate::multipart;
use crate::support::{
    ALICE, BOB, Plan, Rig, SERVICE_CLAIMS, anon, body, caller, during, eventually, key, name_of,
    new_object, service, user,
};
use rowlock_catalog::testing::World;
use rowlock_storage::{
    Context, CopyMetadata, CopyRequest, DeleteOutcome, Error, Expected, ListEntry, ListQuery,
    NewObject, WriteCondition,
};
use rowlock_types::{BucketName, ETag, Operation};
use tokio_postgres::Client;

const SETS: [(&str, &str); 6] = [
    ("none", ""),
    (
        "own folder",
        "CREATE POLICY p ON storage.objects TO authenticated
         USING ((storage.foldername(name))[1] = (SELECT auth.uid()::text))
         WITH CHECK ((storage.foldername(name))[1] = (SELECT auth.uid()::text))",
    ),
    (
        "owner",
        "CREATE POLICY p ON storage.objects USING (owner_id = (SELECT auth.uid()::text))
         WITH CHECK (owner_id = (SELECT auth.uid()::text))",
    ),
    (
        "mime type",
        "CREATE POLICY s ON storage.objects FOR SELECT USING (true);
         CREATE POLICY i ON storage.objects FOR INSERT WITH CHECK (metadata->>'mimetype' = 'image/png');
         CREATE POLICY u ON storage.objects FOR UPDATE USING (true);",
    ),
    (
        "operation",
        "CREATE POLICY s ON storage.objects FOR SELECT
           USING (storage.operation() IN ('storage.s3.object.get', 'storage.s3.upload'));
         CREATE POLICY i ON storage.objects FOR INSERT
           WITH CHECK (storage.operation() = 'storage.s3.upload');
         CREATE POLICY d ON storage.objects FOR DELETE
           USING (storage.operation() = 'storage.s3.object.delete');",
    ),
    (
        "table join",
        "CREATE TABLE public.members (member uuid, folder text);
         GRANT SELECT ON public.members TO anon, authenticated;
         INSERT INTO public.members VALUES ('11111111-1111-4111-8111-111111111111', 'shared');
         CREATE POLICY p ON storage.objects USING (EXISTS (
           SELECT 1 FROM public.members m
           WHERE m.member = (SELECT auth.uid()) AND m.folder = (storage.foldername(name))[1]))",
    ),
];

/// What PostgreSQL answers to a caller's own statement; nothing of it stays.
struct Oracle<'a> {
    client: &'a Client,
    ctx: &'a Context,
}

impl Oracle<'_> {
    /// The texts that the statement returns, or the SQLSTATE.
    async fn ask(&self, operation: Operation, sql: &str) -> Result<Vec<String>, String> {
        self.client.batch_execute("BEGIN").await.unwrap();
        let caller = &self.ctx.caller;
        let settings = [
            ("role", caller.role.as_str()),
            ("request.jwt.claims", &caller.claims),
            ("request.jwt.claim.sub", caller.subject.as_deref().unwrap_or("")),
            ("request.jwt.claim.role", caller.role.as_str()),
            ("storage.operation", operation.as_str()),
            ("storage.allow_delete_query", "true"),
        ];
        for (name, value) in settings {
            let set = self.client.query("SELECT set_config($1, $2, true)", &[&name, &value]).await;
            set.unwrap();
        }
        let answer = self.client.query(sql, &[]).await;
        self.client.batch_execute("ROLLBACK").await.unwrap();
        match answer {
            Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
            Err(error) => Err(error.code().unwrap().code().to_owned()),
        }
    }

    async fn visible(&self, operation: Operation, name: &str) -> bool {
        let sql =
            format!("SELECT name FROM storage.objects WHERE bucket_id = 'b' AND name = '{name}'");
        self.ask(operation, &sql).await.is_ok_and(|rows| !rows.is_empty())
    }

    async fn may_write(&self, operation: Operation, name: &str, kind: &str) -> Result<(), String> {
        let owner = self.ctx.caller.subject.as_deref().map_or("NULL".into(), |s| format!("'{s}'"));
        let sql = format!(
            "INSERT INTO storage.objects AS o (bucket_id, name, owner_id, version, metadata)
             VALUES ('b', '{name}', {owner}, '1', '{{\"mimetype\": \"{kind}\"}}')
             ON CONFLICT (bucket_id, name) DO UPDATE SET version = EXCLUDED.version,
               metadata = EXCLUDED.metadata, owner_id = coalesce(EXCLUDED.owner_id, o.owner_id)
             RETURNING name"
        );
        self.ask(operation, &sql).await.map(drop)
    }
}

/// The rows that each case begins with, whatever the one before has changed.
async fn reset(rig: &Rig, bucket: &BucketName) -> [String; 4] {
    let names = [format!("{ALICE}/a"), format!("{BOB}/b"), "shared/s".to_owned(), "top".to_owned()];
    let owners = [Some(ALICE), Some(BOB), None, None];
    let rows = rig
        .texts(
            "SELECT concat_ws(' ', name, owner_id, length(metadata->>'eTag')) FROM storage.objects",
        )
        .await;
    for (name, owner) in names.iter().zip(owners) {
        let etag = ETag::from_md5(&rowlock_digest::md5(name.as_bytes()));
        let row = [Some(name.as_str()), owner, Some(etag.as_str()), Some("text/plain")];
        let row = row.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if !rows.contains(&row) {
            rig.put(&service(), bucket, name, name.as_bytes()).await.unwrap();
            let own = "UPDATE storage.objects SET owner_id = $2 WHERE name = $1";
            rig.admin.execute(own, &[name, &owner]).await.unwrap();
        }
    }
    if rows.iter().any(|row| row.starts_with("new")) {
        rig.storage.delete_object(&service(), bucket, &key("new")).await.unwrap();
    }
    names
}

fn outcome<T>(answer: Result<T, Error>) -> Result<(), String> {
    answer.map(drop).map_err(|error| name_of(&error))
}

async fn state(rig: &Rig) -> Vec<String> {
    rig.texts(
        "SELECT name || ' ' || version || ' ' || coalesce(owner_id, '-') FROM storage.objects
         ORDER BY name COLLATE \"C\"",
    )
    .await
}

async fn check(rig: &Rig, bucket: &BucketName, set: &str, ctx: &Context) {
    let oracle = Oracle { client: &rig.admin, ctx };
    let who = format!("{set}, {:?} {:?}", ctx.caller.role, ctx.caller.subject);
    let names = reset(rig, bucket).await;
    let doing = |operation| during(ctx, operation);

    for name in &names {
        for operation in [Operation::S3ObjectGet, Operation::S3ObjectInfo] {
            let found = rig.storage.find_object(&doing(operation), bucket, &key(name)).await;
            let visible = oracle.visible(operation, name).await;
            let expected = if visible { Ok(()) } else { Err("NoSuchKey".to_owned()) };
            assert_eq!(outcome(found), expected, "find {name}: {who}");
        }
        let read = rig.get(&doing(Operation::S3ObjectGet), bucket, name).await;
        if let Ok(bytes) = read {
            assert_eq!(bytes, name.as_bytes());
        }
    }

    let list = "SELECT name FROM storage.objects WHERE bucket_id = 'b' ORDER BY name COLLATE \"C\"";
    let expected = oracle.ask(Operation::S3ObjectList, list).await.unwrap();
    let query = ListQuery {
        bucket: bucket.clone(),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        max_keys: 1000,
    };
    let page = rig.storage.list_objects(&doing(Operation::S3ObjectList), &query).await.unwrap();
    let listed: Vec<_> = page.entries.iter().map(ListEntry::name).collect();
    assert_eq!(listed, expected, "list: {who}");
    let folded = ListQuery { delimiter: "/".into(), ..query };
    let page = rig.storage.list_objects(&doing(Operation::S3ObjectList), &folded).await.unwrap();
    let listed: Vec<_> = page.entries.iter().map(|e| e.name().to_owned()).collect();
    let folders = |name: &String| name.split_inclusive('/').next().unwrap().to_owned();
    let mut expected: Vec<_> = expected.iter().map(folders).collect();
    expected.dedup();
    assert_eq!(listed, expected, "folded list: {who}");

    for name in names.iter().map(String::as_str).chain(["new"]) {
        let kinds: &[&str] =
            if set == "mime type" { &["text/plain", "image/png"] } else { &["text/plain"] };
        for &kind in kinds {
            reset(rig, bucket).await;
            let before = state(rig).await;
            let operation = Operation::S3Upload;
            let expected = oracle.may_write(operation, name, kind).await;
            let new = NewObject { content_type: Some(kind.into()), ..new_object(bucket, name, 3) };
            let put = match rig.storage.begin_upload(&doing(operation), new).await {
                Ok(upload) => upload.receive(body(b"put"), Expected::default()).await,
                Err(error) => Err(error),
            };
            assert_eq!(outcome(put), expected, "put {name} {kind}: {who}");
            assert_eq!(state(rig).await == before, expected.is_err(), "put {name}: {who}");
        }

        reset(rig, bucket).await;
        let before = state(rig).await;
        let operation = Operation::S3MultipartCreate;
        // All steps of an upload are asked, each under its own name.
        let mut expected = Ok(());
        for step in [operation, Operation::S3MultipartPart, Operation::S3MultipartComplete] {
            expected = expected.and(oracle.may_write(step, name, "text/plain").await);
        }
        let steps = |operation| doing(operation);
        let done = multipart::upload_in_steps(rig, steps, bucket, name, b"parts").await;
        assert_eq!(outcome(done), expected, "multipart {name}: {who}");
        assert_eq!(state(rig).await == before, expected.is_err(), "multipart {name}: {who}");

        reset(rig, bucket).await;
        let operation = Operation::S3ObjectCopy;
        let copying = doing(operation);
        let visible = oracle.visible(operation, &names[2]).await;
        let expected = if visible {
            oracle.may_write(operation, name, "text/plain").await
        } else {
            Err("NoSuchKey".to_owned())
        };
        let copied = match rig.storage.find_object(&copying, bucket, &key(&names[2])).await {
            Ok(source) => {
                let request = CopyRequest {
                    bucket: bucket.clone(),
                    key: key(name),
                    metadata: CopyMetadata::Source,
                    condition: WriteCondition::None,
                    tags: None,
                    checksum: None,
                };
                rig.storage.copy_object(&copying, &source, request).await
            }
            Err(error) => Err(error),
        };
        assert_eq!(outcome(copied), expected, "copy to {name}: {who}");
    }

    for (operation, many) in
        [(Operation::S3ObjectDelete, false), (Operation::S3ObjectDeleteMany, true)]
    {
        for name in names.iter().map(String::as_str).chain(["absent"]) {
            reset(rig, bucket).await;
            let before = state(rig).await;
            let sql = format!(
                "DELETE FROM storage.objects WHERE bucket_id = 'b' AND name = '{name}' RETURNING name"
            );
            let gone = oracle.ask(operation, &sql).await.unwrap();
            // An invisible row is no row to a delete.
            let refused = gone.is_empty() && oracle.visible(operation, name).await;
            let expected =
                if refused { DeleteOutcome::AccessDenied } else { DeleteOutcome::Deleted };
            let deleting = doing(operation);
            let outcome = if many {
                let keys = [key("none"), key(name)];
                rig.storage.delete_objects(&deleting, bucket, &keys).await.unwrap()[1]
            } else {
                rig.storage.delete_object(&deleting, bucket, &key(name)).await.unwrap()
            };
            assert_eq!(outcome, expected, "delete {name}: {who}");
            assert_eq!(before.len() - state(rig).await.len(), gone.len(), "delete {name}: {who}");
        }
    }
}

#[tokio::test]
async fn objects_are_whose_the_policies_say() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    for (set, sql) in SETS {
        rig.sql(sql).await;
        let service = (set == "none").then(service);
        for ctx in [anon(), user(ALICE), user(BOB)].into_iter().chain(service) {
            check(&rig, &bucket, set, &ctx).await;
        }
        let policies = "SELECT policyname::text FROM pg_policies WHERE tablename = 'objects'";
        for policy in rig.texts(policies).await {
            rig.sql(&format!("DROP POLICY {policy} ON storage.objects")).await;
        }
    }
    rig.drain().await;
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("one blob for each row", clean).await;
}

#[tokio::test]
async fn buckets_are_whose_the_policies_say() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("hidden").await;
    let made = BucketName::existing("made").unwrap();
    let full = rig.bucket("full").await;
    rig.put(&service(), &full, "k", b"x").await.unwrap();
    for ctx in [anon(), user(ALICE)] {
        assert!(rig.storage.list_buckets(&ctx).await.unwrap().is_empty());
        let refused = rig.storage.delete_bucket(&ctx, &full).await;
        assert_eq!(outcome(refused), Err("NoSuchBucket".into()));
        let hidden = rig.storage.head_bucket(&ctx, &bucket).await.unwrap_err();
        assert_eq!(name_of(&hidden), "NoSuchBucket");
        assert_eq!(outcome(rig.storage.create_bucket(&ctx, &made).await), Err("42501".into()));
        let taken = rig.storage.create_bucket(&ctx, &bucket).await;
        assert_ne!(outcome(taken), Ok(()));
        let refused = rig.storage.delete_bucket(&ctx, &bucket).await;
        assert_eq!(outcome(refused), Err("NoSuchBucket".into()));
    }
    rig.sql(
        "CREATE POLICY s ON storage.buckets FOR SELECT TO authenticated USING (owner_id = auth.uid()::text);
         CREATE POLICY i ON storage.buckets FOR INSERT TO authenticated WITH CHECK (owner_id = auth.uid()::text);",
    )
    .await;
    let alice = user(ALICE);
    rig.storage.create_bucket(&alice, &made).await.unwrap();
    let names: Vec<_> =
        rig.storage.list_buckets(&alice).await.unwrap().into_iter().map(|b| b.name).collect();
    assert_eq!(names, std::slice::from_ref(&made));
    assert!(rig.storage.list_buckets(&user(BOB)).await.unwrap().is_empty());
    let again = rig.storage.create_bucket(&alice, &made).await.unwrap_err();
    assert!(matches!(again, Error::BucketAlreadyExists { owned: true }), "{again:?}");
    let other = rig.storage.create_bucket(&user(BOB), &made).await.unwrap_err();
    assert!(matches!(other, Error::BucketAlreadyExists { owned: false }), "{other:?}");
    // Seen, but not to be deleted.
    let refused = rig.storage.delete_bucket(&alice, &made).await;
    assert_eq!(outcome(refused), Err("AccessDenied".into()));
    rig.sql("CREATE POLICY d ON storage.buckets FOR DELETE USING (owner_id = auth.uid()::text)")
        .await;
    rig.put(&service(), &made, "k", b"x").await.unwrap();
    let full = rig.storage.delete_bucket(&alice, &made).await;
    assert_eq!(outcome(full), Err("BucketNotEmpty".into()));
    rig.storage.delete_object(&service(), &made, &key("k")).await.unwrap();
    rig.storage.delete_bucket(&alice, &made).await.unwrap();
    assert_eq!(rig.texts("SELECT id FROM storage.buckets ORDER BY id").await, ["full", "hidden"]);
}

/// Every operation, and by what it was refused.
async fn refusals(rig: &Rig, bucket: &BucketName, ctx: &Context) -> Vec<Result<(), String>> {
    let storage = &rig.storage;
    let query = ListQuery {
        bucket: bucket.clone(),
        prefix: String::new(),
        delimiter: "/".into(),
        after: String::new(),
        max_keys: 10,
    };
    let found = storage.find_object(&service(), bucket, &key("k")).await.unwrap();
    let request = CopyRequest {
        bucket: bucket.clone(),
        key: key("copy"),
        metadata: CopyMetadata::Source,
        condition: WriteCondition::None,
        tags: None,
        checksum: None,
    };
    let id = storage.create_multipart(&service(), new_object(bucket, "m", 1)).await.unwrap();
    let m = key("m");
    vec![
        outcome(storage.find_object(ctx, bucket, &key("k")).await),
        outcome(storage.find_object(ctx, bucket, &key("folder/")).await),
        outcome(storage.list_objects(ctx, &query).await),
        outcome(storage.list_buckets(ctx).await),
        outcome(storage.head_bucket(ctx, bucket).await),
        outcome(storage.create_bucket(ctx, &BucketName::existing("made").unwrap()).await),
        outcome(storage.delete_bucket(ctx, bucket).await),
        outcome(storage.begin_upload(ctx, new_object(bucket, "k", 1)).await),
        outcome(storage.copy_object(ctx, &found, request).await),
        outcome(storage.delete_object(ctx, bucket, &key("k")).await),
        outcome(storage.create_multipart(ctx, new_object(bucket, "k", 1)).await),
        outcome(storage.begin_part(ctx, bucket, &m, &id, 1, None).await),
        outcome(storage.abort_multipart(ctx, bucket, &m, &id).await),
    ]
}

/// Roles that policies do not bind are refused before any statement.
#[tokio::test]
async fn roles_beyond_policies_are_refused_before_any_sql() {
    let rig = Rig::with(Plan { proxied: true, ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"x").await.unwrap();
    let query = ListQuery {
        bucket: bucket.clone(),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        max_keys: 10,
    };
    // The last one is a member of the tables' owner.
    for role in ["none", "", "supabase_admin", "supabase_storage_admin", "postgres"] {
        let ctx = caller(role, Some(ALICE));
        rig.proxy.as_ref().unwrap().take();
        let refused = [
            outcome(rig.storage.find_object(&ctx, &bucket, &key("k")).await),
            outcome(rig.storage.list_objects(&ctx, &query).await),
            outcome(rig.storage.list_buckets(&ctx).await),
            outcome(rig.storage.delete_bucket(&ctx, &bucket).await),
            outcome(rig.storage.delete_object(&ctx, &bucket, &key("k")).await),
            outcome(rig.storage.begin_upload(&ctx, new_object(&bucket, "k", 1)).await),
            outcome(rig.storage.create_multipart(&ctx, new_object(&bucket, "k", 1)).await),
        ];
        assert_eq!(rig.proxy.as_ref().unwrap().take().statements, 0, "{role:?}");
        assert!(refused.iter().all(|r| *r == Err("RoleRefused".into())), "{role:?}: {refused:?}");
    }
    assert_eq!(state(&rig).await.len(), 1);
}

/// Where the connection user is a superuser, any role can be taken: members of the owner too.
#[tokio::test]
async fn members_of_the_owner_are_refused() {
    let rig = Rig::with(Plan { world: World::Plain, ..Plan::default() }).await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"x").await.unwrap();
    let role = format!("ops_{}", rig.db.name());
    rig.sql(&format!("CREATE ROLE {role}; GRANT postgres TO {role}")).await;
    rig.catalog.refresh_forbidden_roles().await.unwrap();
    for role in ["postgres", &role] {
        for refused in refusals(&rig, &bucket, &caller(role, Some(ALICE))).await.iter().take(10) {
            assert_eq!(*refused, Err("RoleRefused".into()), "{role}");
        }
    }
}

/// A scope that cannot be set leaves the connection user's rights to nobody.
#[tokio::test]
async fn without_its_scope_no_statement_answers() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    rig.sql("CREATE POLICY everything ON storage.buckets USING (true) WITH CHECK (true)").await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"x").await.unwrap();
    let long = "r".repeat(70);
    let cases = [
        ("nobody", "22023"),
        ("ANON", "22023"),
        ("NONE", "22023"),
        ("anon;", "22023"),
        (&long, "22023"),
        // It exists, but the connection user may not take it.
        ("dashboard_user", "42501"),
        ("pg_read_all_data", "42501"),
    ];
    for (role, code) in cases {
        for round in 0..2 {
            let refused = refusals(&rig, &bucket, &caller(role, Some(ALICE))).await;
            for (at, answer) in refused.iter().enumerate() {
                // Uploads of others are invisible before anything is asked as the caller.
                let expected = if at > 10 { "NoSuchUpload" } else { code };
                assert_eq!(*answer, Err(expected.to_owned()), "{role}, round {round}, {at}");
            }
        }
    }
    assert_eq!(state(&rig).await.len(), 1);
    assert_eq!(rig.get(&user(ALICE), &bucket, "k").await.unwrap(), b"x");
    assert_clean(&rig).await;
}

/// No connection of the pool keeps a transaction or a role.
pub(crate) async fn assert_clean(rig: &Rig) {
    let busy = format!(
        "SELECT state || ' ' || query FROM pg_stat_activity WHERE datname = '{}'
         AND application_name = 'rig' AND state <> 'idle'",
        rig.db.name()
    );
    let quiet = eventually(|| async { rig.texts(&busy).await.is_empty() }).await;
    assert!(quiet, "{:?}", rig.texts(&busy).await);
    // As many at once as there are connections: each answers as whom it runs.
    let looks = (0..20).map(|_| rig.catalog.next_outbox_due());
    for look in futures_util::future::join_all(looks).await {
        look.unwrap();
    }
}

#[tokio::test]
async fn a_trigger_that_refuses_is_heard_and_leaves_no_blob() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"before").await.unwrap();
    let before = (state(&rig).await, rig.files());
    rig.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
           BEGIN RAISE EXCEPTION 'quota of % used up', NEW.bucket_id; END $f$;
         CREATE TRIGGER refuse BEFORE INSERT ON storage.objects
           FOR EACH ROW EXECUTE FUNCTION public.refuse();",
    )
    .await;
    let early = rig.put(&user(ALICE), &bucket, "k", b"x").await.unwrap_err();
    assert_eq!(name_of(&early), "P0001");
    assert!(early.to_string().contains("quota of b used up"), "{early}");
    let late = rig.put(&service(), &bucket, "k", b"x").await.unwrap_err();
    assert_eq!(name_of(&late), "P0001");
    let late = rig.put_if(&service(), &bucket, "n", b"x", WriteCondition::Absent).await;
    assert_eq!(outcome(late), Err("P0001".into()));
    let late = multipart::upload(&rig, &service(), &bucket, "n", b"x").await;
    assert_eq!(outcome(late), Err("P0001".into()));
    rig.sql("DROP TRIGGER refuse ON storage.objects").await;
    for id in rig.texts("SELECT id FROM storage.s3_multipart_uploads").await {
        let id = rowlock_types::UploadId::parse(&id).unwrap();
        rig.storage.abort_multipart(&service(), &bucket, &key("n"), &id).await.unwrap();
    }
    let same = || async { (state(&rig).await, rig.files()) == before };
    rig.work_until("nothing of it is left", same).await;
    assert_eq!(rig.get(&service(), &bucket, "k").await.unwrap(), b"before");
    assert_clean(&rig).await;
}

const SPY: &str = "
    CREATE TABLE public.seen (what text, who text, claims text, sub text, operation text, path text);
    GRANT ALL ON public.seen TO anon, authenticated, service_role;
    CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
      INSERT INTO public.seen VALUES (TG_OP, current_user, current_setting('request.jwt.claims'),
        current_setting('request.jwt.claim.sub'), storage.operation(),
        current_setting('request.path'));
      IF TG_OP <> 'DELETE' AND NEW.name LIKE 'refused%' THEN RAISE EXCEPTION 'at the end'; END IF;
      RETURN NULL;
    END $f$;
    CREATE CONSTRAINT TRIGGER spy AFTER INSERT OR UPDATE OR DELETE ON storage.objects
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.spy();";

/// Deferred triggers run at COMMIT, as the role that the transaction ends in.
#[tokio::test]
async fn deferred_triggers_see_the_role_of_the_last_write() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    rig.sql(SPY).await;
    let bucket = rig.bucket("b").await;
    let alice = user(ALICE);
    let seen = async || {
        let seen = rig
            .texts(
                "SELECT concat_ws(' ', what, who, claims, sub, operation, path) FROM public.seen",
            )
            .await;
        rig.sql("TRUNCATE public.seen").await;
        seen
    };
    let by_service =
        |what: &str| format!("{what} service_role {SERVICE_CLAIMS}  storage.s3.upload /s3/test");
    rig.put(&alice, &bucket, "k", b"x").await.unwrap();
    assert_eq!(seen().await, [by_service("INSERT")]);
    rig.put(&alice, &bucket, "k", b"y").await.unwrap();
    assert_eq!(seen().await, [by_service("UPDATE")]);
    rig.put_if(&alice, &bucket, "c", b"y", WriteCondition::Absent).await.unwrap();
    assert_eq!(seen().await, [by_service("INSERT")]);
    // The slow way: somebody else's row came in between.
    let begun = rig.storage.begin_upload(&alice, new_object(&bucket, "s", 1)).await.unwrap();
    rig.put(&user(BOB), &bucket, "s", b"z").await.unwrap();
    seen().await;
    begun.receive(body(b"a"), Expected::default()).await.unwrap();
    assert_eq!(seen().await, [by_service("UPDATE")]);
    multipart::upload(&rig, &alice, &bucket, "m", b"parts").await.unwrap();
    assert_eq!(seen().await, [by_service("INSERT")]);
    rig.storage.delete_object(&alice, &bucket, &key("k")).await.unwrap();
    let claims = &alice.caller.claims;
    let own = format!("DELETE authenticated {claims} {ALICE} storage.s3.upload /s3/test");
    assert_eq!(seen().await, [own]);

    // An error at COMMIT is an error, whichever way the commit went.
    let before = state(&rig).await;
    for ctx in [&service(), &alice] {
        let refused = rig.put(ctx, &bucket, "refused", b"x").await;
        assert_eq!(outcome(refused), Err("P0001".into()));
        let refused = rig.put_if(ctx, &bucket, "refused", b"x", WriteCondition::Absent).await;
        assert_eq!(outcome(refused), Err("P0001".into()));
        let refused = multipart::upload(&rig, ctx, &bucket, "refused/m", b"x").await;
        assert_eq!(outcome(refused), Err("P0001".into()));
    }
    assert_eq!(state(&rig).await, before);
    rig.drain().await;
    let clean = || async { rig.blob_files(&bucket) == rig.row_files(&bucket).await };
    rig.work_until("no blob of a refused write is left", clean).await;
    assert_clean(&rig).await;
}

/// A policy that fails is no permission.
#[tokio::test]
async fn a_policy_that_fails_permits_nothing() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.put(&service(), &bucket, "k", b"x").await.unwrap();
    let policy = |how: &str| format!("CREATE POLICY p ON storage.objects USING ({how})");
    for (how, code) in [
        ("1 / (length(name) - length(name)) = 1", "22012"),
        ("name::int = 1", "22P02"),
        ("EXISTS (SELECT 1 FROM public.absent)", ""),
        ("EXISTS (SELECT 1 FROM public.secret)", "42501"),
        ("EXISTS (SELECT 1 FROM storage.objects)", "42P17"),
    ] {
        rig.sql("CREATE TABLE IF NOT EXISTS public.secret (x int); REVOKE ALL ON public.secret FROM anon, authenticated").await;
        if code.is_empty() {
            // PostgreSQL refuses such a policy itself; a table dropped later takes it along.
            assert!(rig.admin.batch_execute(&policy(how)).await.is_err());
            continue;
        }
        rig.sql(&policy(how)).await;
        let refused = refusals(&rig, &bucket, &user(ALICE)).await;
        for at in [0, 2, 7, 8, 9, 10] {
            assert_eq!(refused[at], Err(code.to_owned()), "{how}, {at}");
        }
        assert_eq!(rig.get(&service(), &bucket, "k").await.unwrap(), b"x");
        rig.sql("DROP POLICY p ON storage.objects").await;
    }
    assert_eq!(state(&rig).await.len(), 1);
    assert_clean(&rig).await;
}

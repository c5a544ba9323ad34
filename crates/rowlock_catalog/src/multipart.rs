//! Queries on `storage.s3_multipart_uploads` and their parts. Callers have no policies there:
//! the service role (or the tables' owner) does the work, after the caller's right was tested.

use crate::catalog::{Catalog, OwnSchema, own_sql};
use crate::error::Error;
use crate::objects::{CommitRequest, CompletedUpload, object_lock_key};
use crate::part_checksums;
use crate::pool::Pooled;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::Transaction;
use rowlock_types::{Operation, Role};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};

/// A pending multipart upload.
#[derive(Debug, Clone)]
pub struct UploadRow {
    /// Its id, which is the blob store's.
    pub id: String,
    /// The bucket's id.
    pub bucket: String,
    /// The key it will become.
    pub key: String,
    /// The version its blob will have.
    pub version: String,
    /// Who began it.
    pub owner: Option<String>,
    /// When it was begun.
    pub created_at: OffsetDateTime,
    /// What the object's metadata will hold (`mimetype`, …).
    pub metadata: serde_json::Value,
    /// What the object's user metadata will hold.
    pub user_metadata: serde_json::Value,
    /// The bucket's size limit in bytes.
    pub file_size_limit: Option<i64>,
}

/// A stored part.
#[derive(Debug, Clone)]
pub struct PartRow {
    /// 1 to 10,000.
    pub number: i32,
    /// Entity tag without quotes.
    pub etag: String,
    /// Length in bytes; 0 where the reference stored the part.
    pub size: i64,
    /// When it was stored.
    pub created_at: OffsetDateTime,
}

/// A new upload's row.
#[derive(Debug, Clone)]
pub struct NewUpload<'a> {
    /// The blob store's id.
    pub id: &'a str,
    /// The bucket's id.
    pub bucket: &'a str,
    /// The key it will become.
    pub key: &'a str,
    /// The version its blob will have.
    pub version: &'a str,
    /// The reference's proof of progress.
    pub signature: &'a str,
    /// See [`UploadRow::metadata`].
    pub metadata: &'a serde_json::Value,
    /// See [`UploadRow::user_metadata`].
    pub user_metadata: &'a serde_json::Value,
}

/// A completed upload, remembered so that a repeated Complete can answer again.
#[derive(Debug, Clone)]
pub struct CompletedRow {
    /// The object's entity tag, quoted.
    pub etag: String,
    /// The object's version.
    pub version: String,
    /// When it was completed.
    pub completed_at: OffsetDateTime,
}

/// Which pending uploads to list, by key and then id.
#[derive(Debug, Clone)]
pub struct ListUploadsRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// Only keys at or after this text.
    pub from: &'a str,
    /// Only keys before this text.
    pub until: &'a str,
    /// Of the key `from`, only ids after this one.
    pub after_id: &'a str,
    /// Only uploads of this owner (`Some(None)`: of nobody); `None`: of anyone.
    pub owner: Option<Option<&'a str>>,
    /// At most so many.
    pub limit: i64,
}

const UPLOAD: &str = "\
    SELECT u.id, u.bucket_id, u.key, u.version, u.owner_id, u.created_at, u.metadata,
           u.user_metadata, b.file_size_limit
    FROM storage.s3_multipart_uploads u JOIN storage.buckets b ON b.id = u.bucket_id
    WHERE u.id = $1 AND u.bucket_id = $2 AND u.key = $3 AND current_user = $4";

/// The reference may have recorded a part more than once: the last one counts.
const PARTS: &str = "\
    SELECT DISTINCT ON (part_number) part_number, etag, size, created_at
    FROM storage.s3_multipart_uploads_parts
    WHERE upload_id = $1 AND part_number > $2 AND current_user = $3
    ORDER BY part_number, created_at DESC, id LIMIT $4";

impl UploadRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Error> {
        let json = |name| -> Result<serde_json::Value, Error> {
            Ok(row
                .try_get::<_, Option<Json<serde_json::Value>>>(name)?
                .map_or(serde_json::Value::Null, |json| json.0))
        };
        Ok(Self {
            id: row.try_get("id")?,
            bucket: row.try_get("bucket_id")?,
            key: row.try_get("key")?,
            version: row.try_get("version")?,
            owner: row.try_get("owner_id")?,
            created_at: crate::time::of(row, "created_at"),
            metadata: json("metadata")?,
            user_metadata: json("user_metadata")?,
            file_size_limit: row.try_get("file_size_limit")?,
        })
    }
}

impl PartRow {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let etag: String = row.try_get("etag")?;
        Ok(Self {
            number: row.try_get("part_number")?,
            etag: etag.trim_matches('"').to_owned(),
            size: row.try_get("size")?,
            created_at: crate::time::of(row, "created_at"),
        })
    }
}

impl Catalog {
    /// Records a new upload.
    ///
    /// # Errors
    /// The database's.
    pub async fn insert_upload(&self, scope: &Scope<'_>, new: &NewUpload<'_>) -> Result<(), Error> {
        const SQL: &str = "\
            INSERT INTO storage.s3_multipart_uploads
              (id, upload_signature, bucket_id, key, version, owner_id, metadata, user_metadata)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE current_user = $9 RETURNING id";
        let service = self.as_service(scope);
        let role = service.caller.role.as_str();
        let owner = scope.caller.subject.as_deref();
        let (metadata, user_metadata) = (Json(new.metadata), Json(new.user_metadata));
        let params: [Param<'_>; 9] = [
            (&new.id, Type::TEXT),
            (&new.signature, Type::TEXT),
            (&new.bucket, Type::TEXT),
            (&new.key, Type::TEXT),
            (&new.version, Type::TEXT),
            (&owner, Type::TEXT),
            (&metadata, Type::JSONB),
            (&user_metadata, Type::JSONB),
            (&role, Type::TEXT),
        ];
        if self.read_one(&service, SQL, &params).await?.is_empty() {
            return Err(Error::ScopeLost);
        }
        Ok(())
    }

    /// Finds an upload by all of its address.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_upload(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<Option<UploadRow>, Error> {
        let service = self.as_service(scope);
        let role = service.caller.role.as_str();
        let params: [Param<'_>; 4] =
            [(&id, Type::TEXT), (&bucket, Type::TEXT), (&key, Type::TEXT), (&role, Type::TEXT)];
        let rows = self.read_one(&service, UPLOAD, &params).await?;
        rows.first().map(UploadRow::from_row).transpose()
    }

    /// The upload's parts with a number above `after`, by number.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_parts(
        &self,
        scope: &Scope<'_>,
        upload_id: &str,
        after: i32,
        limit: i64,
    ) -> Result<Vec<PartRow>, Error> {
        let service = self.as_service(scope);
        let role = service.caller.role.as_str();
        let params: [Param<'_>; 4] = [
            (&upload_id, Type::TEXT),
            (&after, Type::INT4),
            (&role, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self.read_one(&service, PARTS, &params).await?;
        rows.iter().map(PartRow::from_row).collect()
    }

    /// Begins to record a part: takes the lock on (upload, part), and holds the upload so that
    /// neither Complete nor Abort can pass. `None` when the upload is gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_part(
        &self,
        upload: &UploadRow,
        number: i32,
    ) -> Result<Option<PartRecord<'_>>, Error> {
        const LOCK: &str =
            "SELECT set_config('lock_timeout', '30000ms', true), pg_advisory_xact_lock($1)::text";
        const HOLD: &str = "SELECT 1 FROM storage.s3_multipart_uploads WHERE id = $1 FOR KEY SHARE";
        let owner = Role::new("");
        let lock_key = object_lock_key(&upload.id, &number.to_string());
        let tx = Transaction::begin(self).await?;
        tx.query(&owner, LOCK, &[(&lock_key, Type::INT8)]).await?;
        if tx.query(&owner, HOLD, &[(&upload.id, Type::TEXT)]).await?.is_empty() {
            tx.rollback().await?;
            return Ok(None);
        }
        Ok(Some(PartRecord { tx, catalog: self, upload_id: upload.id.clone(), number }))
    }

    /// Ends an upload without an object (Abort): its row goes, the outbox removes its parts.
    /// False when there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn abort_upload(&self, upload: &UploadRow) -> Result<bool, Error> {
        let owner = Role::new("");
        let tx = Transaction::begin(self).await?;
        let gone = take_upload(&tx, self.own_schema(), &owner, &upload.id).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// A Complete that succeeded earlier.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_completed(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
    ) -> Result<Option<CompletedRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT etag, version, completed_at FROM ",
            "completed WHERE upload_id = $1 AND bucket_id = $2 AND name = $3",
        );
        let rows = self
            .as_owner(sql, &[(&upload_id, Type::TEXT), (&bucket, Type::TEXT), (&key, Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(CompletedRow {
            etag: row.try_get(0)?,
            version: row.try_get(1)?,
            completed_at: row.try_get(2)?,
        }))
    }

    /// Lists pending uploads, by key and then by id (ids grow with time).
    ///
    /// # Errors
    /// The database's.
    pub async fn list_uploads(
        &self,
        scope: &Scope<'_>,
        request: &ListUploadsRequest<'_>,
    ) -> Result<Vec<UploadRow>, Error> {
        const SQL: &str = "\
            SELECT id, bucket_id, key, version, owner_id, created_at, metadata, user_metadata,
                   NULL::bigint AS file_size_limit
            FROM storage.s3_multipart_uploads
            WHERE bucket_id = $1 AND key >= $2 AND key < $3 AND current_user = $4
              AND (key > $2 OR id COLLATE \"C\" > $5)
              AND ($6 OR owner_id IS NOT DISTINCT FROM $7)
            ORDER BY key, id COLLATE \"C\" LIMIT $8";
        let service = self.as_service(scope);
        let role = service.caller.role.as_str();
        let anyone = request.owner.is_none();
        let owner = request.owner.flatten();
        let params: [Param<'_>; 8] = [
            (&request.bucket, Type::TEXT),
            (&request.from, Type::TEXT),
            (&request.until, Type::TEXT),
            (&role, Type::TEXT),
            (&request.after_id, Type::TEXT),
            (&anyone, Type::BOOL),
            (&owner, Type::TEXT),
            (&request.limit, Type::INT8),
        ];
        let rows = self.read_one(&service, SQL, &params).await?;
        rows.iter().map(UploadRow::from_row).collect()
    }

    /// One statement as the connection user, who owns the tables: for own tables only.
    pub(crate) async fn as_owner(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.retrying(|| async {
            let session: Pooled = self.session().await?;
            let types: Vec<Type> = params.iter().map(|p| p.1.clone()).collect();
            let ready = session.ready(sql, &Role::new(""), &types).await?;
            session.send(&ready, params).await
        })
        .await
    }
}

/// A part being recorded: the transaction is open while the part is put in its place.
pub struct PartRecord<'a> {
    tx: Transaction<'a>,
    catalog: &'a Catalog,
    upload_id: String,
    number: i32,
}

impl std::fmt::Debug for PartRecord<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartRecord").field("number", &self.number).finish_non_exhaustive()
    }
}

impl PartRecord<'_> {
    /// Records the part, over an earlier one of its number, and commits. `checksum`: algorithm
    /// and base64 value, separated by a colon.
    ///
    /// # Errors
    /// The database's.
    pub async fn record(
        self,
        scope: &Scope<'_>,
        etag: &str,
        size: i64,
        checksum: Option<&str>,
    ) -> Result<OffsetDateTime, Error> {
        const REPLACE: &str = "\
            DELETE FROM storage.s3_multipart_uploads_parts
            WHERE upload_id = $1 AND part_number = $2";
        const INSERT: &str = "\
            INSERT INTO storage.s3_multipart_uploads_parts
              (upload_id, size, part_number, bucket_id, key, etag, owner_id, version)
            SELECT id, $3, $2, bucket_id, key, $4, $5, version
            FROM storage.s3_multipart_uploads WHERE id = $1 RETURNING created_at";
        let role = Role::new("");
        let subject = scope.caller.subject.as_deref();
        let address: [Param<'_>; 2] = [(&self.upload_id, Type::TEXT), (&self.number, Type::INT4)];
        let mut values = address.to_vec();
        values.extend([
            (&size as _, Type::INT8),
            (&etag as _, Type::TEXT),
            (&subject as _, Type::TEXT),
        ]);
        if let Some(checksum) = checksum {
            let part = (self.number, etag, size, checksum);
            let schema = self.catalog.own_schema();
            part_checksums::remember(&self.tx, schema, &self.upload_id, part).await?;
        }
        self.tx.scope(&self.catalog.as_service(scope)).await?;
        self.tx.query(&role, REPLACE, &address).await?;
        let rows = self.tx.query(&role, INSERT, &values).await?;
        let at = rows.first().ok_or(Error::ScopeLost)?.try_get(0)?;
        self.tx.commit().await?;
        Ok(at)
    }
}

/// Takes an upload's row out, with an outbox row for its parts.
pub(crate) async fn take_upload(
    tx: &Transaction<'_>,
    schema: OwnSchema,
    owner: &Role,
    upload_id: &str,
) -> Result<bool, Error> {
    const DELETE: &str = "DELETE FROM storage.s3_multipart_uploads WHERE id = $1";
    let outbox = own_sql!(
        schema,
        "INSERT INTO ",
        "outbox (kind, bucket_id, name, version, payload) \
         SELECT 'remove_multipart', bucket_id, key, version, jsonb_build_object('upload_id', id) \
         FROM storage.s3_multipart_uploads WHERE id = $1 FOR UPDATE RETURNING 1",
    );
    let address: [Param<'_>; 1] = [(&upload_id, Type::TEXT)];
    if tx.query(owner, outbox, &address).await?.is_empty() {
        return Ok(false);
    }
    tx.query(owner, DELETE, &address).await?;
    Ok(true)
}

/// Whether a Complete may end its upload.
pub(crate) enum EndedUpload {
    Yes,
    /// It is gone.
    Gone,
    /// This part is no longer the one that was joined.
    PartChanged(i32),
}

/// Inside a commit: ends the upload that the object completes.
pub(crate) async fn end_upload(
    tx: &Transaction<'_>,
    schema: OwnSchema,
    upload: &CompletedUpload<'_>,
    request: &CommitRequest<'_>,
) -> Result<EndedUpload, Error> {
    const HOLD: &str = "SELECT 1 FROM storage.s3_multipart_uploads WHERE id = $1 FOR UPDATE";
    const CHANGED: &str = "\
        SELECT w.number FROM unnest($2::integer[], $3::text[]) AS w(number, etag)
        WHERE w.etag IS DISTINCT FROM (
          SELECT btrim(p.etag, '\"') FROM storage.s3_multipart_uploads_parts p
          WHERE p.upload_id = $1 AND p.part_number = w.number
          ORDER BY p.created_at DESC, p.id LIMIT 1)
        ORDER BY w.number LIMIT 1";
    let owner = Role::new("");
    let id: [Param<'_>; 1] = [(&upload.upload_id, Type::TEXT)];
    if tx.query(&owner, HOLD, &id).await?.is_empty() {
        return Ok(EndedUpload::Gone);
    }
    let numbers: Vec<i32> = upload.parts.iter().map(|part| part.0).collect();
    let etags: Vec<&str> = upload.parts.iter().map(|part| part.1.as_str()).collect();
    let joined: [Param<'_>; 3] =
        [(&upload.upload_id, Type::TEXT), (&numbers, Type::INT4_ARRAY), (&etags, Type::TEXT_ARRAY)];
    if let Some(row) = tx.query(&owner, CHANGED, &joined).await?.first() {
        return Ok(EndedUpload::PartChanged(row.try_get(0)?));
    }
    take_upload(tx, schema, &owner, upload.upload_id).await?;
    let remember = own_sql!(
        schema,
        "INSERT INTO ",
        "completed (upload_id, bucket_id, name, etag, version) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (upload_id) DO NOTHING",
    );
    let etag = request.metadata.e_tag.as_deref().unwrap_or("");
    let values: [Param<'_>; 5] = [
        (&upload.upload_id, Type::TEXT),
        (&request.bucket, Type::TEXT),
        (&request.name, Type::TEXT),
        (&etag, Type::TEXT),
        (&request.version, Type::TEXT),
    ];
    tx.query(&owner, remember, &values).await?;
    Ok(EndedUpload::Yes)
}

impl Catalog {
    /// Forgets Completes that are older than a day: no client repeats one so late.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_completed(&self) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "completed WHERE completed_at < now() - interval '1 day'",
        );
        self.as_owner(sql, &[]).await?;
        self.forget_part_checksums().await
    }

    /// The scope that background work on multipart uploads runs in.
    pub fn background_scope(&self) -> Scope<'_> {
        self.service_scope(Operation::None)
    }
}

//! Queries on `storage.s3_multipart_uploads` and their parts. Callers have no policies there:
//! the service role (or the tables' owner) does the work, after the caller's right was tested.

mod complete;
mod part;

pub use complete::CompletedRow;
pub(crate) use complete::{EndedUpload, Ending, EndingValues};
pub use part::{OtherParts, PartRecord, PartRow, StoredSoFar};

use crate::catalog::{Catalog, OwnSchema, own_sql};
use crate::error::Error;
use crate::pool::Pooled;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::{Step, Transaction};
use rowlock_types::Role;
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

    /// Ends an upload without an object (Abort), in one trip: its row goes, the outbox removes its
    /// parts. False when there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn abort_upload(&self, upload: &UploadRow) -> Result<bool, Error> {
        let owner = Role::new("");
        let id: [Param<'_>; 1] = [(&upload.id, Type::TEXT)];
        let steps = ending(self.own_schema()).map(|sql| Step::Query(&owner, sql, &id));
        let answers = self.retrying(|| Transaction::whole(self, &steps)).await?;
        Ok(answers.first().is_some_and(|queued| !queued.is_empty()))
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
        let rows = self.read_one_begun(crate::lists::BEGIN, &service, SQL, &params).await?;
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

/// What ends an upload, each with the upload's id as its parameter: an outbox row for its parts,
/// which returns a row where there is an upload; then its row goes.
pub(crate) fn ending(schema: OwnSchema) -> [&'static str; 2] {
    let outbox = own_sql!(
        schema,
        "INSERT INTO ",
        "outbox (kind, bucket_id, name, version, payload) \
         SELECT 'remove_multipart', bucket_id, key, version, jsonb_build_object('upload_id', id) \
         FROM storage.s3_multipart_uploads WHERE id = $1 FOR UPDATE RETURNING 1",
    );
    [outbox, "DELETE FROM storage.s3_multipart_uploads WHERE id = $1"]
}

/// Takes an upload's row out, with an outbox row for its parts.
pub(crate) async fn take_upload(
    tx: &Transaction<'_>,
    schema: OwnSchema,
    owner: &Role,
    upload_id: &str,
) -> Result<bool, Error> {
    let id: [Param<'_>; 1] = [(&upload_id, Type::TEXT)];
    let answers = tx.together(&ending(schema).map(|sql| Step::Query(owner, sql, &id))).await?;
    Ok(answers.first().is_some_and(|queued| !queued.is_empty()))
}

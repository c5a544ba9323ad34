//! Parts of pending uploads: their rows in the public table, and what has no column there (their
//! S3 checksums) in a table of ours beside it.

use super::{UPLOAD, UploadRow};
use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::objects::object_lock_key;
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::{Step, Transaction};
use rowlock_types::Role;
use std::collections::HashMap;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

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
    /// Its S3 checksums: algorithm and base64 value separated by a colon, several by spaces.
    pub checksums: Option<String>,
}

/// Of which part's companions the sizes are summed up.
#[derive(Debug, Clone, Copy)]
pub struct OtherParts {
    /// The part itself, which will replace what is stored under its number.
    pub number: i32,
    /// Whether the sum is needed although the bucket has no limit of its own.
    pub always: bool,
}

/// What was stored of an upload before one of its parts is sent.
#[derive(Debug, Clone, Default)]
pub struct StoredSoFar {
    /// The bytes of the other parts, as far as they were stored by this server (0 where nothing
    /// limits the bucket).
    pub others: i64,
    /// Says by which record the part itself was stored, if it was: each record has its own.
    pub mark: Option<String>,
}

/// The reference may have recorded a part more than once: the last one counts.
const PARTS: &str = "\
    SELECT DISTINCT ON (part_number) part_number, etag, size, created_at
    FROM storage.s3_multipart_uploads_parts
    WHERE upload_id = $1 AND part_number > $2 AND current_user = $3
    ORDER BY part_number, created_at DESC, id LIMIT $4";

/// Checksums by part number and entity tag: a part that was stored again by the reference has
/// another tag than its checksum.
type Checksums = HashMap<(i32, String), String>;

impl PartRow {
    fn from_row(row: &Row, checksums: &mut Checksums) -> Result<Self, Error> {
        let etag: String = row.try_get("etag")?;
        let (number, etag) = (row.try_get("part_number")?, etag.trim_matches('"').to_owned());
        Ok(Self {
            checksums: checksums.remove(&(number, etag.clone())),
            number,
            etag,
            size: row.try_get("size")?,
            created_at: crate::time::of(row, "created_at"),
        })
    }
}

impl Catalog {
    /// Finds an upload by all of its address, with what is stored of its parts.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_upload_and_sum(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        key: &str,
        id: &str,
        others: OtherParts,
    ) -> Result<Option<(UploadRow, StoredSoFar)>, Error> {
        // The condition on the bucket has no column of the table: it is decided before the scan.
        let sum = own_sql!(
            self.own_schema(),
            "SELECT coalesce(sum(size), 0)::bigint, (SELECT xmin::text FROM ",
            "parts WHERE upload_id = $1 AND part_number = $2) FROM ",
            "parts WHERE upload_id = $1 AND part_number <> $2 AND ($3 OR EXISTS ( \
             SELECT FROM storage.buckets WHERE id = $4 AND file_size_limit IS NOT NULL))",
        );
        let service = self.as_service(scope);
        let (owner, role) = (Role::new(""), service.caller.role.as_str());
        let summed: [Param<'_>; 4] = [
            (&id, Type::TEXT),
            (&others.number, Type::INT4),
            (&others.always, Type::BOOL),
            (&bucket, Type::TEXT),
        ];
        let address: [Param<'_>; 4] =
            [(&id, Type::TEXT), (&bucket, Type::TEXT), (&key, Type::TEXT), (&role, Type::TEXT)];
        let steps = [
            Step::Query(&owner, sum, &summed),
            Step::Scope(&service),
            Step::Query(&service.caller.role, UPLOAD, &address),
        ];
        let answers = self.retrying(|| Transaction::whole(self, &steps)).await?;
        let [sum, _, upload] = answers.as_slice() else { return Err(Error::ScopeLost) };
        let Some(upload) = upload.first() else { return Ok(None) };
        let stored = match sum.first() {
            Some(row) => StoredSoFar { others: row.try_get(0)?, mark: row.try_get(1)? },
            None => StoredSoFar::default(),
        };
        Ok(Some((UploadRow::from_row(upload)?, stored)))
    }

    /// Finds an upload by all of its address, with its parts of a number above `after`, by number
    /// and at most `limit`. In one trip.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_upload_and_parts(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        key: &str,
        id: &str,
        after: i32,
        limit: i64,
    ) -> Result<Option<(UploadRow, Vec<PartRow>)>, Error> {
        let checksums = own_sql!(
            self.own_schema(),
            "SELECT part_number, etag, checksum FROM ",
            "parts WHERE upload_id = $1 AND part_number > $2 AND checksum IS NOT NULL \
             ORDER BY part_number LIMIT $3",
        );
        let service = self.as_service(scope);
        let (owner, role) = (Role::new(""), service.caller.role.as_str());
        let known: [Param<'_>; 3] = [(&id, Type::TEXT), (&after, Type::INT4), (&limit, Type::INT8)];
        let address: [Param<'_>; 4] =
            [(&id, Type::TEXT), (&bucket, Type::TEXT), (&key, Type::TEXT), (&role, Type::TEXT)];
        let parts: [Param<'_>; 4] =
            [(&id, Type::TEXT), (&after, Type::INT4), (&role, Type::TEXT), (&limit, Type::INT8)];
        let steps = [
            Step::Query(&owner, checksums, &known),
            Step::Scope(&service),
            Step::Query(&service.caller.role, UPLOAD, &address),
            Step::Query(&service.caller.role, PARTS, &parts),
        ];
        let answers = self.retrying(|| Transaction::whole(self, &steps)).await?;
        let [known, _, upload, parts] = answers.as_slice() else { return Err(Error::ScopeLost) };
        let Some(upload) = upload.first() else { return Ok(None) };
        let mut checksums = Checksums::with_capacity(known.len());
        for row in known {
            checksums.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        }
        let parts = parts.iter().map(|row| PartRow::from_row(row, &mut checksums));
        Ok(Some((UploadRow::from_row(upload)?, parts.collect::<Result<_, _>>()?)))
    }

    /// Begins to record a part, in one trip: takes the lock on (upload, part), and holds the
    /// upload so that neither Complete nor Abort can pass. `None` when the upload is gone.
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
        let mark = own_sql!(
            self.own_schema(),
            "SELECT xmin::text FROM ",
            "parts WHERE upload_id = $1 AND part_number = $2",
        );
        let owner = Role::new("");
        let lock_key = object_lock_key(&upload.id, &number.to_string());
        let (lock, hold): ([Param<'_>; 1], [Param<'_>; 1]) =
            ([(&lock_key, Type::INT8)], [(&upload.id, Type::TEXT)]);
        let part: [Param<'_>; 2] = [(&upload.id, Type::TEXT), (&number, Type::INT4)];
        let steps = [
            Step::Query(&owner, LOCK, &lock),
            Step::Query(&owner, HOLD, &hold),
            Step::Query(&owner, mark, &part),
        ];
        let (tx, answers) = self.retrying(|| Transaction::begin_with(self, &steps)).await?;
        if answers.get(1).is_none_or(Vec::is_empty) {
            tx.rollback().await?;
            return Ok(None);
        }
        let mark = answers.get(2).and_then(|rows| rows.first());
        let mark = mark.map(|row| row.try_get(0)).transpose()?;
        Ok(Some(PartRecord { tx, catalog: self, upload_id: upload.id.clone(), number, mark }))
    }

    /// Forgets what is known of parts of uploads that ended, where the database could not be told
    /// to let it go with their upload.
    pub(super) async fn forget_parts(&self) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "parts WHERE created_at < now() - interval '1 day' AND NOT EXISTS ( \
             SELECT FROM storage.s3_multipart_uploads u WHERE u.id = upload_id)",
        );
        self.as_owner(sql, &[]).await.map(drop)
    }
}

/// A part being recorded: the transaction is open while the part is put in its place.
pub struct PartRecord<'a> {
    tx: Transaction<'a>,
    catalog: &'a Catalog,
    upload_id: String,
    number: i32,
    mark: Option<String>,
}

impl std::fmt::Debug for PartRecord<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartRecord").field("number", &self.number).finish_non_exhaustive()
    }
}

impl PartRecord<'_> {
    /// See [`StoredSoFar::mark`]; it changes no more before the end of this record.
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Leaves everything as it is.
    ///
    /// # Errors
    /// The database's.
    pub async fn leave(self) -> Result<(), Error> {
        self.tx.rollback().await
    }

    /// Records the part, over an earlier one of its number, and commits, in one trip. `checksums`
    /// as in [`PartRow::checksums`].
    ///
    /// # Errors
    /// The database's.
    pub async fn record(
        self,
        scope: &Scope<'_>,
        etag: &str,
        size: i64,
        checksums: Option<&str>,
    ) -> Result<OffsetDateTime, Error> {
        const REPLACE: &str = "\
            DELETE FROM storage.s3_multipart_uploads_parts
            WHERE upload_id = $1 AND part_number = $2";
        const INSERT: &str = "\
            INSERT INTO storage.s3_multipart_uploads_parts
              (upload_id, size, part_number, bucket_id, key, etag, owner_id, version)
            SELECT id, $3, $2, bucket_id, key, $4, $5, version
            FROM storage.s3_multipart_uploads WHERE id = $1 RETURNING created_at";
        let remember = own_sql!(
            self.catalog.own_schema(),
            "INSERT INTO ",
            "parts (upload_id, part_number, size, etag, checksum) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (upload_id, part_number) DO UPDATE SET size = EXCLUDED.size, \
             etag = EXCLUDED.etag, checksum = EXCLUDED.checksum, created_at = now()",
        );
        let Self { tx, catalog, upload_id, number, mark: _ } = self;
        let (owner, service) = (Role::new(""), catalog.as_service(scope));
        let subject = scope.caller.subject.as_deref();
        let address: [Param<'_>; 2] = [(&upload_id, Type::TEXT), (&number, Type::INT4)];
        let mut own = address.to_vec();
        own.extend([
            (&size as _, Type::INT8),
            (&etag as _, Type::TEXT),
            (&checksums as _, Type::TEXT),
        ]);
        let mut public = address.to_vec();
        public.extend([
            (&size as _, Type::INT8),
            (&etag as _, Type::TEXT),
            (&subject as _, Type::TEXT),
        ]);
        let role = &service.caller.role;
        let answers = tx
            .commit_with(&[
                Step::Query(&owner, remember, &own),
                Step::Scope(&service),
                Step::Query(role, REPLACE, &address),
                Step::Query(role, INSERT, &public),
            ])
            .await?;
        // The upload is held: its row is there.
        let row = answers.get(3).and_then(|rows| rows.first()).ok_or(Error::ScopeLost)?;
        Ok(row.try_get(0)?)
    }
}

//! The end of an upload that becomes an object, inside the commit of that object.

use super::ending;
use crate::catalog::{Catalog, OwnSchema, own_sql};
use crate::error::Error;
use crate::objects::{CommitRequest, CompletedUpload};
use crate::scope::Scope;
use crate::session::Param;
use crate::transaction::Step;
use rowlock_types::{Operation, Role};
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

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

const HOLD: &str = "SELECT 1 FROM storage.s3_multipart_uploads WHERE id = $1 FOR UPDATE";

/// The first part that is no longer the one that was joined.
const CHANGED: &str = "\
    SELECT w.number FROM unnest($2::integer[], $3::text[]) AS w(number, etag)
    LEFT JOIN (
      SELECT DISTINCT ON (part_number) part_number, btrim(etag, '\"') AS etag
      FROM storage.s3_multipart_uploads_parts WHERE upload_id = $1
      ORDER BY part_number, created_at DESC, id) p ON p.part_number = w.number
    WHERE w.etag IS DISTINCT FROM p.etag ORDER BY w.number LIMIT 1";

/// Whether a Complete may end its upload.
pub(crate) enum EndedUpload {
    Yes,
    /// It is gone.
    Gone,
    /// This part is no longer the one that was joined.
    PartChanged(i32),
}

/// The statements by which a commit ends the upload that its object completes; what they found is
/// judged once they are answered, and before anything is committed.
pub(crate) struct Ending<'a> {
    schema: OwnSchema,
    owner: Role,
    id: [Param<'a>; 1],
    joined: Vec<Param<'a>>,
    completed: [Param<'a>; 5],
}

/// What those statements refer to.
pub(crate) struct EndingValues<'a> {
    numbers: Vec<i32>,
    etags: Vec<&'a str>,
    etag: &'a str,
}

impl<'a> EndingValues<'a> {
    pub(crate) fn new(upload: &CompletedUpload<'a>, request: &CommitRequest<'a>) -> Self {
        Self {
            numbers: upload.parts.iter().map(|part| part.0).collect(),
            etags: upload.parts.iter().map(|part| part.1.as_str()).collect(),
            etag: request.metadata.e_tag.as_deref().unwrap_or(""),
        }
    }
}

impl<'a> Ending<'a> {
    pub(crate) fn new(
        schema: OwnSchema,
        upload: &'a CompletedUpload<'a>,
        request: &'a CommitRequest<'a>,
        values: &'a EndingValues<'a>,
    ) -> Self {
        let id = [(&upload.upload_id as _, Type::TEXT)];
        let mut joined: Vec<Param<'a>> = id.to_vec();
        joined.push((&values.numbers, Type::INT4_ARRAY));
        joined.push((&values.etags, Type::TEXT_ARRAY));
        let completed = [
            (&upload.upload_id as _, Type::TEXT),
            (&request.bucket as _, Type::TEXT),
            (&request.name as _, Type::TEXT),
            (&values.etag as _, Type::TEXT),
            (&request.version as _, Type::TEXT),
        ];
        Self { schema, owner: Role::new(""), id, joined, completed }
    }

    /// As the tables' owner: see [`judge`](Self::judge) for the answers.
    pub(crate) fn steps(&self) -> [Step<'_>; 5] {
        let remember = own_sql!(
            self.schema,
            "INSERT INTO ",
            "completed (upload_id, bucket_id, name, etag, version) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (upload_id) DO NOTHING",
        );
        let [outbox, delete] = ending(self.schema);
        [
            Step::Query(&self.owner, HOLD, &self.id),
            Step::Query(&self.owner, CHANGED, &self.joined),
            Step::Query(&self.owner, outbox, &self.id),
            Step::Query(&self.owner, delete, &self.id),
            Step::Query(&self.owner, remember, &self.completed),
        ]
    }

    /// Judges what the steps found. Anything but `Yes` has to be rolled back.
    pub(crate) fn judge(answers: &[Vec<Row>]) -> Result<EndedUpload, Error> {
        let [held, changed, ..] = answers else { return Err(Error::ScopeLost) };
        Ok(match (held.first(), changed.first()) {
            (None, _) => EndedUpload::Gone,
            (_, Some(row)) => EndedUpload::PartChanged(row.try_get(0)?),
            _ => EndedUpload::Yes,
        })
    }
}

impl Catalog {
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
        self.forget_parts().await
    }

    /// The scope that background work on multipart uploads runs in.
    pub fn background_scope(&self) -> Scope<'_> {
        self.service_scope(Operation::None)
    }
}

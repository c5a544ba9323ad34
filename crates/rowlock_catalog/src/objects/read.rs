use super::find::ObjectRow;
use crate::catalog::Catalog;
use crate::error::Error;
use crate::lanes::{Columns, FoundRow};
use crate::scope::Scope;
use crate::session::Param;
use time::OffsetDateTime;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// Whose eyes an object is read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAs {
    /// Anyone's: objects of public buckets only.
    Anyone,
    /// The caller's; objects of public buckets whoever asks.
    Caller,
}

/// A row of `storage.objects` with all that answers tell.
#[derive(Debug, Clone)]
pub struct ReadRow {
    /// `objects.id`.
    pub id: Uuid,
    /// When the object was made.
    pub created_at: OffsetDateTime,
    /// User metadata as it is stored.
    pub user_metadata: Option<serde_json::Value>,
    /// The rest.
    pub object: ObjectRow,
}

/// What was found.
#[derive(Debug)]
pub enum ReadOutcome {
    /// The object.
    Found(Box<ReadRow>),
    /// The bucket is there, the object is not, or not for these eyes.
    NoObject,
    /// There is no such bucket, or none that is public.
    NoBucket,
}

/// The bucket, and with it the object where the bucket is public or $4 says so.
const BUCKET: &str = "\
    SELECT coalesce(b.public, false) AS public, o.id, o.name, o.version, o.metadata,
      o.user_metadata, o.owner_id, o.created_at, o.updated_at
    FROM storage.buckets b
    LEFT JOIN storage.objects o
      ON o.bucket_id = $1 AND o.name = $2 AND (coalesce(b.public, false) OR $4)
    WHERE b.id = $1 AND current_user = $3";

const OBJECT: &str = "\
    SELECT id, name, version, metadata, user_metadata, owner_id, created_at, updated_at
    FROM storage.objects
    WHERE bucket_id = $1 AND name = $2 AND current_user = $3";

impl ReadRow {
    pub(crate) fn from_row(row: &impl Columns) -> Result<Self, Error> {
        let user_metadata = row.column::<Option<Json<serde_json::Value>>>("user_metadata")?;
        Ok(Self {
            id: row.column("id")?,
            created_at: row
                .column::<Option<OffsetDateTime>>("created_at")?
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            user_metadata: user_metadata.map(|json| json.0),
            object: ObjectRow::from_row(row)?,
        })
    }
}

impl Catalog {
    /// Reads an object's row. As a caller who sees it, or for anyone, that is one trip. What a
    /// caller may not see, or the database can't tell, is looked for once more: where the bucket is
    /// public, its object is everybody's.
    ///
    /// # Errors
    /// The database's.
    pub async fn read_object(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
        read_as: ReadAs,
    ) -> Result<ReadOutcome, Error> {
        let sees_all = read_as == ReadAs::Caller && scope.caller.is_service;
        let mut own = Ok(());
        if read_as == ReadAs::Caller && !sees_all {
            let role = scope.caller.role.as_str();
            let params: [Param<'_>; 3] =
                [(&bucket, Type::TEXT), (&name, Type::TEXT), (&role, Type::TEXT)];
            own = match self.read_row(scope, OBJECT, &params).await {
                Ok(rows) => match rows.first() {
                    Some(row) => return found_row(row),
                    None => Ok(()),
                },
                // A policy that fails is no word about public buckets.
                Err(error @ Error::Database { .. }) => Err(error),
                Err(error) => return Err(error),
            };
        }
        let service = self.as_service(scope);
        let role = service.caller.role.as_str();
        let params: [Param<'_>; 4] = [
            (&bucket, Type::TEXT),
            (&name, Type::TEXT),
            (&role, Type::TEXT),
            (&sees_all, Type::BOOL),
        ];
        let found = self.read_row(&service, BUCKET, &params).await?;
        let Some(row) = found.first() else { return Ok(ReadOutcome::NoBucket) };
        let public: bool = row.column("public")?;
        if public || sees_all {
            let there = row.column::<Option<Uuid>>("id")?.is_some();
            return if there { found_row(row) } else { Ok(ReadOutcome::NoObject) };
        }
        if read_as == ReadAs::Anyone {
            return Ok(ReadOutcome::NoBucket);
        }
        own.map(|()| ReadOutcome::NoObject)
    }
}

fn found_row(row: &FoundRow) -> Result<ReadOutcome, Error> {
    Ok(ReadOutcome::Found(Box::new(ReadRow::from_row(row)?)))
}

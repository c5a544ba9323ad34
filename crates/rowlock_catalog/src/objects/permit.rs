use crate::catalog::Catalog;
use crate::error::Error;
use crate::lanes::Columns;
use crate::scope::Scope;
use crate::session::Param;
use rowlock_types::UserMetadataJson;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// What is asked before an upload: may the scope's role write this row?
#[derive(Debug, Clone)]
pub struct PermitRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// The full key.
    pub name: &'a str,
    /// The metadata that is known so far; policies see it in the tested row.
    pub metadata: &'a serde_json::Value,
    /// User metadata; policies see it too.
    pub user_metadata: &'a dyn UserMetadataJson,
    /// Whether the write only creates: it then asks for the right to insert alone, and a row that
    /// is there already is a unique violation.
    pub create: bool,
}

/// What was found, and the database's verdict.
#[derive(Debug)]
pub struct Permit {
    /// The bucket, as the service role sees it.
    pub bucket: BucketLimits,
    /// The object's row before the write, as the service role sees it.
    pub existing: Option<ExistingObject>,
}

/// What a bucket allows.
#[derive(Debug, Clone, Default)]
pub struct BucketLimits {
    /// The largest object in bytes.
    pub file_size_limit: Option<i64>,
    /// The content types allowed (`image/*` patterns included); empty: any.
    pub allowed_mime_types: Vec<String>,
}

/// The row that an upload would replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingObject {
    /// `objects.id`.
    pub id: Uuid,
    /// Which state of the row this is: see [`ExpectedRow`](super::ExpectedRow).
    pub state: String,
    /// `metadata.eTag`.
    pub etag: Option<String>,
}

const LOOK: &str = "\
    SELECT b.file_size_limit, b.allowed_mime_types, o.id, o.xmin::text AS state,
           o.metadata->>'eTag' AS etag
    FROM storage.buckets b
    LEFT JOIN storage.objects o ON o.bucket_id = $1 AND o.name = $2
    WHERE b.id = $1 AND current_user = $3";

/// The write that policies judge; it is always rolled back. `version` is `1` in the tested row.
pub(crate) const PROBE: &str = "\
    INSERT INTO storage.objects AS o
      (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
    SELECT $1, $2, $3, $4, '1', $5, $6 WHERE current_user = $7
    ON CONFLICT (name, bucket_id) DO UPDATE SET
      version = EXCLUDED.version, metadata = EXCLUDED.metadata,
      user_metadata = EXCLUDED.user_metadata,
      owner = COALESCE(EXCLUDED.owner, o.owner),
      owner_id = COALESCE(EXCLUDED.owner_id, o.owner_id)
    RETURNING o.id";

/// The write of a caller who replaces nothing, and need not be able to read.
const PROBE_CREATE: &str = "\
    INSERT INTO storage.objects
      (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
    SELECT $1, $2, $3, $4, '1', $5, $6 WHERE current_user = $7";

impl Permit {
    fn from_row(row: &impl Columns) -> Result<Self, Error> {
        let existing = match row.column::<Option<Uuid>>("id")? {
            Some(id) => {
                Some(ExistingObject { id, state: row.column("state")?, etag: row.column("etag")? })
            }
            None => None,
        };
        Ok(Self {
            bucket: BucketLimits {
                file_size_limit: row.column("file_size_limit")?,
                allowed_mime_types: row
                    .column::<Option<Vec<String>>>("allowed_mime_types")?
                    .unwrap_or_default(),
            },
            existing,
        })
    }
}

impl Catalog {
    /// Asks for a permit in one trip: the bucket and the existing row as the service role, then
    /// the write as the caller, then ROLLBACK. The service role itself needs no test.
    /// `None` when there is no such bucket; the second part is the database's verdict.
    ///
    /// # Errors
    /// The database's, but for its verdict on the tested write.
    pub async fn permit_write(
        &self,
        scope: &Scope<'_>,
        request: &PermitRequest<'_>,
    ) -> Result<Option<(Permit, Result<(), Error>)>, Error> {
        let service = self.as_service(scope);
        let service_role = service.caller.role.as_str();
        let look: [Param<'_>; 3] = [
            (&request.bucket, Type::TEXT),
            (&request.name, Type::TEXT),
            (&service_role, Type::TEXT),
        ];
        if scope.caller.is_service {
            let rows = self.read_row(&service, LOOK, &look).await?;
            return match rows.first() {
                Some(row) => Ok(Some((Permit::from_row(row)?, Ok(())))),
                None => Ok(None),
            };
        }
        let role = scope.caller.role.as_str();
        let owner = owner_uuid(scope);
        let owner_id = scope.caller.subject.as_deref();
        let metadata = Json(request.metadata);
        let user_metadata = Json(request.user_metadata.to_json());
        let probe: [Param<'_>; 7] = [
            (&request.bucket, Type::TEXT),
            (&request.name, Type::TEXT),
            (&owner, Type::UUID),
            (&owner_id, Type::TEXT),
            (&metadata, Type::JSONB),
            (&user_metadata, Type::JSONB),
            (&role, Type::TEXT),
        ];
        let sql = if request.create { PROBE_CREATE } else { PROBE };
        let (found, verdict) = self
            .two_scopes_counted((&service, LOOK, &look), (scope, sql, &probe), "ROLLBACK")
            .await?;
        let Some(row) = found.first() else { return Ok(None) };
        let verdict = match verdict {
            Ok((_, 0)) => Err(Error::ScopeLost),
            Ok(_) => Ok(()),
            // Not the policies' word: the trip itself failed.
            Err(error @ (Error::Unavailable(_) | Error::TooManyConnections)) => return Err(error),
            Err(error) => Err(error),
        };
        Ok(Some((Permit::from_row(row)?, verdict)))
    }
}

/// The deprecated `owner` column holds only subjects that are UUIDs.
pub(crate) fn owner_uuid(scope: &Scope<'_>) -> Option<Uuid> {
    scope.caller.subject.as_deref().and_then(|subject| Uuid::try_parse(subject).ok())
}

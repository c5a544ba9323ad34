use crate::catalog::Catalog;
use crate::error::Error;
use crate::lanes::Columns;
use crate::scope::Scope;
use rowlock_types::{ObjectMetadata, UserMetadata};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::types::{Json, Type};

/// A row of `storage.objects`, as the scope's role sees it.
#[derive(Debug, Clone)]
pub struct ObjectRow {
    /// The full key.
    pub name: String,
    /// The version's text, unchecked.
    pub version: Option<String>,
    /// System metadata (empty where the row's is unreadable).
    pub metadata: ObjectMetadata,
    /// User metadata (empty where there is none).
    pub user_metadata: UserMetadata,
    /// User metadata as it is stored, where it is more than names and texts.
    pub user_json: Option<Value>,
    /// `owner_id`.
    pub owner: Option<String>,
    /// When the row was written last.
    pub updated_at: OffsetDateTime,
}

impl ObjectRow {
    pub(crate) fn from_row(row: &impl Columns) -> Result<Self, Error> {
        // Rows made by hand hold any JSON: what can't be read counts as absent.
        let metadata = row.column::<Option<Json<ObjectMetadata>>>("metadata");
        let user = row.column::<Option<Json<Value>>>("user_metadata");
        let user = user.ok().flatten().map(|json| json.0);
        Ok(Self {
            name: row.column("name")?,
            version: row.column::<Option<String>>("version")?.filter(|v| !v.is_empty()),
            metadata: metadata.ok().flatten().map(|json| json.0).unwrap_or_default(),
            user_json: user.as_ref().filter(|json| !is_texts(json)).cloned(),
            user_metadata: user.map(user_metadata).unwrap_or_default(),
            owner: row.column("owner_id")?,
            updated_at: crate::time::of(row, "updated_at"),
        })
    }
}

/// Values that are no texts (REST clients may store any JSON) are shown as their JSON.
fn user_metadata(value: Value) -> UserMetadata {
    let Value::Object(map) = value else { return UserMetadata::new() };
    map.into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect()
}

/// Whether this is user metadata as S3 has it.
fn is_texts(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.values().all(Value::is_string))
}

impl Catalog {
    /// Finds an object as the scope's role; with `fallback`, the row of that name if there is
    /// none under `name`.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_object(
        &self,
        scope: &Scope<'_>,
        bucket: &str,
        name: &str,
        fallback: Option<&str>,
    ) -> Result<Option<ObjectRow>, Error> {
        const ONE: &str = "\
            SELECT name, version, metadata, user_metadata, owner_id, updated_at
            FROM storage.objects
            WHERE bucket_id = $1 AND name = $2 AND current_user = $3";
        const EITHER: &str = "\
            SELECT name, version, metadata, user_metadata, owner_id, updated_at
            FROM storage.objects
            WHERE bucket_id = $1 AND name IN ($2, $4) AND current_user = $3
            ORDER BY name = $2 DESC LIMIT 1";
        let role = scope.caller.role.as_str();
        let mut params: Vec<crate::session::Param<'_>> =
            vec![(&bucket, Type::TEXT), (&name, Type::TEXT), (&role, Type::TEXT)];
        let sql = match &fallback {
            Some(other) => {
                params.push((other, Type::TEXT));
                EITHER
            }
            None => ONE,
        };
        let rows = self.read_row(scope, sql, &params).await?;
        rows.first().map(ObjectRow::from_row).transpose()
    }
}

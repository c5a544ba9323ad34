//! Events: what happened to objects, told to the receiver of webhooks once it has committed.
//!
//! A row is written in the transaction that changes the object. The worker claims rows by a lease
//! and removes each when its receiver has taken it: a crash at any point tells it again, under the
//! same id, and loses none.

use crate::catalog::{Catalog, own_sql};
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
use rowlock_types::{Operation, RequestInfo};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// The request that caused an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventOrigin {
    /// The host that a proxy was asked for (`X-Forwarded-Host`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the request is called in logs.
    pub req_id: String,
    /// What the gateway calls it (`sb-request-id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sb_req_id: Option<String>,
    /// `standard`, `s3` or `resumable`.
    pub upload_type: String,
}

/// The headers that events tell of.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Headers {
    #[serde(rename = "x-forwarded-host", skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(rename = "sb-request-id", skip_serializing_if = "Option::is_none")]
    sb_req_id: Option<String>,
}

impl EventOrigin {
    /// What a scope's request says.
    pub fn of(scope: &Scope<'_>) -> Self {
        let headers: Headers = serde_json::from_str(&scope.request.headers).unwrap_or_default();
        let operation = scope.operation.as_str();
        let upload_type = match operation.strip_prefix("storage.") {
            Some(rest) if rest.starts_with("s3.") => "s3",
            Some(rest) if rest.starts_with("tus.") => "resumable",
            _ => "standard",
        };
        Self {
            host: headers.host,
            req_id: scope.request.id.to_string(),
            sb_req_id: headers.sb_req_id,
            upload_type: upload_type.to_owned(),
        }
    }

    /// A request of which as much is known as events tell.
    pub fn request(&self) -> RequestInfo {
        let headers = Headers { host: self.host.clone(), sb_req_id: self.sb_req_id.clone() };
        RequestInfo {
            headers: Arc::from(serde_json::to_string(&headers).unwrap_or_default()),
            id: Arc::from(self.req_id.as_str()),
            ..RequestInfo::default()
        }
    }
}

/// Whether an operation's writes are copies of other objects.
pub(crate) fn copies(operation: Operation) -> bool {
    matches!(operation, Operation::ObjectCopy | Operation::S3ObjectCopy)
}

/// An event that was claimed.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its id, the same at every attempt.
    pub id: Uuid,
    /// `ObjectCreated:Put`, `ObjectRemoved:Delete`, …
    pub kind: String,
    /// The bucket's id.
    pub bucket: String,
    /// The key.
    pub name: String,
    /// The version; `None` for rows that had none.
    pub version: Option<String>,
    /// The object's metadata, without what is our own.
    pub metadata: Option<serde_json::Value>,
    /// The request that caused it.
    pub origin: EventOrigin,
    /// Where a moved object was.
    pub old_object: Option<OldObject>,
    /// When it happened.
    pub created_at: OffsetDateTime,
    /// How often it was tried, this time included.
    pub attempts: i32,
}

/// Where a moved object was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldObject {
    /// The key.
    pub name: String,
    /// The bucket's id.
    pub bucket_id: String,
    /// The version.
    pub version: Option<String>,
}

impl EventRow {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let json = |column| -> Result<Option<serde_json::Value>, Error> {
            Ok(row.try_get::<_, Option<Json<serde_json::Value>>>(column)?.map(|json| json.0))
        };
        let origin = json("origin")?.and_then(|json| serde_json::from_value(json).ok());
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            bucket: row.try_get("bucket_id")?,
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            metadata: json("metadata")?,
            origin: origin.unwrap_or_default(),
            old_object: json("old_object")?.and_then(|json| serde_json::from_value(json).ok()),
            created_at: row.try_get("created_at")?,
            attempts: row.try_get("attempts")?,
        })
    }
}

impl Catalog {
    /// Claims up to `limit` events that are due, the oldest first; nobody else gets them during the
    /// lease.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_events(&self, limit: i64, lease: Duration) -> Result<Vec<EventRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "events e SET due_at = now() + make_interval(secs => $2), attempts = attempts + 1 \
             WHERE id IN (SELECT id FROM ",
            "events WHERE dead_at IS NULL AND due_at <= now() \
               ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) \
             RETURNING e.*",
        );
        let lease = lease.as_secs_f64();
        let rows = self.as_owner(sql, &[(&limit, Type::INT8), (&lease, Type::FLOAT8)]).await?;
        rows.iter().map(EventRow::from_row).collect()
    }

    /// Removes events that their receiver has taken.
    ///
    /// # Errors
    /// The database's; they are told again then.
    pub async fn finish_events(&self, ids: &[Uuid]) -> Result<(), Error> {
        let sql = own_sql!(self.own_schema(), "DELETE FROM ", "events WHERE id = ANY($1)");
        self.as_owner(sql, &[(&ids, Type::UUID_ARRAY)]).await.map(drop)
    }

    /// Puts an event off after a failure; without a delay it is given up, and stays for people to
    /// look at.
    ///
    /// # Errors
    /// The database's; the lease's end brings it back then.
    pub async fn postpone_event(
        &self,
        id: Uuid,
        delay: Option<Duration>,
        why: &str,
    ) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "events SET due_at = now() + make_interval(secs => coalesce($2, 0)), last_error = $3, \
               dead_at = CASE WHEN $2::float8 IS NULL THEN now() END WHERE id = $1",
        );
        let delay = delay.map(|delay| delay.as_secs_f64());
        let params: [Param<'_>; 3] =
            [(&id, Type::UUID), (&delay, Type::FLOAT8), (&why, Type::TEXT)];
        self.as_owner(sql, &params).await.map(drop)
    }

    /// Gives back events that were claimed and not delivered.
    ///
    /// # Errors
    /// The database's; the lease's end brings them back then.
    pub async fn release_events(&self, ids: &[Uuid]) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "events SET due_at = now(), attempts = attempts - 1 WHERE id = ANY($1)",
        );
        self.as_owner(sql, &[(&ids, Type::UUID_ARRAY)]).await.map(drop)
    }

    /// How many events were given up and are still kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn dead_events(&self) -> Result<i64, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "SELECT count(*) FROM ",
            "events WHERE dead_at IS NOT NULL",
        );
        let rows = self.as_owner(sql, &[]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
    }

    /// Forgets events that were given up longer ago than this.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_dead_events(&self, age: Duration) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "DELETE FROM ",
            "events WHERE dead_at < now() - make_interval(secs => $1)",
        );
        let age = age.as_secs_f64();
        self.as_owner(sql, &[(&age, Type::FLOAT8)]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{EventOrigin, copies};
    use crate::scope::Scope;
    use rowlock_types::{Caller, Operation, RequestInfo, Role};

    fn origin(headers: &str, operation: Operation) -> EventOrigin {
        let caller = Caller {
            role: Role::new("anon"),
            subject: None,
            claims: "{}".into(),
            token: "".into(),
            is_service: false,
        };
        let request =
            RequestInfo { headers: headers.into(), id: "r1".into(), ..RequestInfo::default() };
        EventOrigin::of(&Scope { caller: &caller, request: &request, operation })
    }

    #[test]
    fn the_request_tells_where_an_event_comes_from() {
        let headers = r#"{"x-forwarded-host":"a.example","sb-request-id":"s1","x-other":"1"}"#;
        let full = origin(headers, Operation::S3MultipartComplete);
        assert_eq!(full.host.as_deref(), Some("a.example"));
        assert_eq!((full.req_id.as_str(), full.sb_req_id.as_deref()), ("r1", Some("s1")));
        let again = full.request();
        assert_eq!(&*again.headers, r#"{"x-forwarded-host":"a.example","sb-request-id":"s1"}"#);
        assert_eq!(&*again.id, "r1");
        for (operation, wanted) in [
            (Operation::S3Upload, "s3"),
            (Operation::TusPart, "resumable"),
            (Operation::ObjectUpload, "standard"),
            (Operation::ObjectMove, "standard"),
        ] {
            let bare = origin("", operation);
            assert_eq!((bare.upload_type.as_str(), bare.host), (wanted, None), "{operation:?}");
        }
        assert!(copies(Operation::S3ObjectCopy) && copies(Operation::ObjectCopy));
        assert!(!copies(Operation::S3MultipartPartCopy));
    }
}

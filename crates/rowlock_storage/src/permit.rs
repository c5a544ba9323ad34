//! The question before every write: bucket, limits, policies.

use crate::limit::{Room, SizeLimit};
use crate::upload::WriteCondition;
use crate::{Context, Error, Storage};
use rowlock_catalog::{ExpectedRow, PermitRequest, SqlState};
use rowlock_types::{BucketName, ObjectKey, UserMetadataJson};

/// What is asked.
pub(crate) struct Asked<'a> {
    pub(crate) bucket: &'a BucketName,
    pub(crate) key: &'a ObjectKey,
    pub(crate) content_type: &'a str,
    /// The metadata that policies see.
    pub(crate) metadata: &'a serde_json::Value,
    pub(crate) user_metadata: &'a dyn UserMetadataJson,
    pub(crate) size: Option<u64>,
    pub(crate) condition: &'a WriteCondition,
    /// Parts and Completes are no single uploads: only the other limits bind them.
    pub(crate) single: bool,
}

/// A write that may go on.
#[derive(Debug, Clone)]
pub(crate) struct Permitted {
    /// The row that lies under the key now.
    pub(crate) existing: ExpectedRow,
    /// How large the object may be.
    pub(crate) limit: Option<SizeLimit>,
}

/// The default content type of an object (S3 API reference, PutObject).
pub(crate) const DEFAULT_TYPE: &str = "application/octet-stream";

impl Storage {
    pub(crate) async fn permit(
        &self,
        ctx: &Context,
        asked: &Asked<'_>,
    ) -> Result<Permitted, Error> {
        ObjectKey::new(asked.key.as_str(), self.settings.key_rules)?;
        let request = PermitRequest {
            bucket: asked.bucket.as_str(),
            name: asked.key.as_str(),
            metadata: asked.metadata,
            user_metadata: asked.user_metadata,
            create: *asked.condition == WriteCondition::Create,
        };
        let permit = self.catalog.permit_write(&ctx.scope(), &request).await.map_err(refusal)?;
        let Some((permit, verdict)) = permit else { return Err(Error::NoSuchBucket) };
        let limit = self.limit(permit.bucket.file_size_limit, asked.single);
        if let (Some(limit), Some(size)) = (limit, asked.size) {
            Room::from(limit).check(size)?;
        }
        check_mime_type(&permit.bucket.allowed_mime_types, asked.content_type)?;
        if let Err(error) = verdict {
            // Policies had no objection, or they would have spoken first.
            let there =
                *asked.condition == WriteCondition::Create && error.is(&SqlState::UNIQUE_VIOLATION);
            return Err(if there { Error::PreconditionFailed } else { refusal(error) });
        }
        // An early answer only: what counts is the condition at the commit.
        let etag = permit.existing.as_ref().and_then(|row| row.etag.as_deref());
        let may_hold = match asked.condition {
            WriteCondition::None => true,
            WriteCondition::Absent | WriteCondition::Create => permit.existing.is_none(),
            WriteCondition::Matches(tags) => {
                etag.is_some_and(|etag| tags.iter().any(|tag| tag.as_str() == etag))
            }
        };
        if !may_hold {
            // AWS: If-Match on a key without an object is a missing key, not a failed condition.
            let absent = permit.existing.is_none();
            let asks_for_a_row = matches!(asked.condition, WriteCondition::Matches(_));
            return Err(if absent && asks_for_a_row {
                Error::NoSuchKey
            } else {
                Error::PreconditionFailed
            });
        }
        let existing = match permit.existing {
            Some(row) => ExpectedRow::Present { id: row.id, state: row.state },
            None => ExpectedRow::Absent,
        };
        Ok(Permitted { existing, limit })
    }
}

/// A bucket that was deleted meanwhile shows as a broken reference.
pub(crate) fn refusal(error: rowlock_catalog::Error) -> Error {
    if error.is(&SqlState::FOREIGN_KEY_VIOLATION) { Error::NoSuchBucket } else { error.into() }
}

/// Whether a bucket takes a content type: an empty list takes all, `image/*` all images.
fn check_mime_type(allowed: &[String], content_type: &str) -> Result<(), Error> {
    let bare = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let fits = |pattern: &String| {
        let pattern = pattern.trim().to_ascii_lowercase();
        match pattern.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => bare.split('/').next() == Some(kind),
            None => pattern == "*" || pattern == bare,
        }
    };
    if allowed.is_empty() || allowed.iter().any(fits) {
        Ok(())
    } else {
        Err(Error::InvalidMimeType(content_type.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::check_mime_type;

    #[test]
    fn mime_patterns() {
        let list = |items: &[&str]| items.iter().map(|&i| i.to_owned()).collect::<Vec<_>>();
        assert!(check_mime_type(&[], "any/thing").is_ok());
        let allowed = list(&["text/plain", "image/*"]);
        for good in ["text/plain", "TEXT/plain; charset=utf-8", "image/png"] {
            assert!(check_mime_type(&allowed, good).is_ok(), "{good}");
        }
        for bad in ["text/html", "imagex/png", "", "application/json"] {
            assert!(check_mime_type(&allowed, bad).is_err(), "{bad}");
        }
        assert!(check_mime_type(&list(&["*/*"]), "x/y").is_ok());
    }
}

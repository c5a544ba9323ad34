use crate::read::FOLDER_PLACEHOLDER;
use crate::task::detached;
use crate::{Context, DeleteOutcome, Error, Storage};
use rowlock_catalog::DeleteIfOutcome;
use rowlock_types::{BucketName, ETag, ObjectKey};

/// A condition of a delete (`If-Match`; S3 user guide, "conditional deletes").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteCondition {
    /// `*`: there must be an object.
    Exists,
    /// There must be an object with one of these tags.
    Matches(Vec<ETag>),
}

impl Storage {
    /// Deletes one object as the caller where the condition holds. `name/` addresses the folder's
    /// placeholder where there is no literal row.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] for another tag, [`Error::NoSuchKey`] where there is no
    /// object, [`Error::NoSuchBucket`], or the database's.
    pub async fn delete_object_if(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        condition: &DeleteCondition,
    ) -> Result<DeleteOutcome, Error> {
        let placeholder = key.is_folder().then(|| format!("{key}{FOLDER_PLACEHOLDER}"));
        let names = std::iter::once(key.as_str().to_owned()).chain(placeholder);
        for name in names {
            match self.delete_row_if(ctx, bucket, name, condition).await? {
                DeleteIfOutcome::Deleted => return Ok(DeleteOutcome::Deleted),
                DeleteIfOutcome::Denied => return Ok(DeleteOutcome::AccessDenied),
                DeleteIfOutcome::Mismatch => return Err(Error::PreconditionFailed),
                DeleteIfOutcome::Absent => {}
            }
        }
        if self.catalog.bucket_exists(&ctx.scope(), bucket.as_str()).await? {
            Err(Error::NoSuchKey)
        } else {
            Err(Error::NoSuchBucket)
        }
    }

    async fn delete_row_if(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        name: String,
        condition: &DeleteCondition,
    ) -> Result<DeleteIfOutcome, Error> {
        let tags: Option<Vec<String>> = match condition {
            DeleteCondition::Exists => None,
            DeleteCondition::Matches(tags) => Some(tags.iter().map(ETag::to_string).collect()),
        };
        let (this, ctx, bucket) = (self.clone(), ctx.clone(), bucket.clone());
        let grace = self.settings.blob_grace;
        detached(async move {
            let (scope, bucket) = (ctx.scope(), bucket.as_str());
            let tags = tags.as_deref();
            let outcome = this.catalog.delete_object_if(&scope, bucket, &name, tags, grace).await?;
            this.ring();
            Ok(outcome)
        })
        .await
    }
}

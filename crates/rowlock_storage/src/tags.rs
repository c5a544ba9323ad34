use crate::{Context, Error, MissingRight, Storage};
use rowlock_catalog::BucketTagsOutcome;
use rowlock_types::{BucketName, ObjectKey};

pub use rowlock_catalog::Tags;

impl Storage {
    /// Replaces an object's tags as the caller, who needs the right to change the row; no tags
    /// take them away. `name/` addresses a folder as in [`Storage::find_object`].
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::NoSuchBucket`], [`Error::AccessDenied`], or the database's
    /// refusal.
    pub async fn set_object_tags(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
        tags: &Tags,
    ) -> Result<(), Error> {
        // Under its stored key, and only what the caller may see.
        let object = self.find_object(ctx, bucket, key).await?;
        let (bucket, key) = (bucket.as_str(), object.key.as_str());
        if self.catalog.set_object_tags(&ctx.scope(), bucket, key, tags).await? {
            Ok(())
        } else {
            Err(Error::AccessDenied(MissingRight::UpdateObject))
        }
    }

    /// A bucket's tags, for a caller who may see the bucket; `None` where none were ever set.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], or the database's.
    pub async fn bucket_tags(
        &self,
        ctx: &Context,
        bucket: &BucketName,
    ) -> Result<Option<Tags>, Error> {
        self.head_bucket(ctx, bucket).await?;
        Ok(self.catalog.bucket_tags(bucket.as_str()).await?)
    }

    /// Replaces a bucket's tags (`None`: takes them away) as the caller, who needs the right to
    /// change the bucket's row.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::AccessDenied`], or the database's refusal.
    pub async fn set_bucket_tags(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        tags: Option<&Tags>,
    ) -> Result<(), Error> {
        match self.catalog.set_bucket_tags(&ctx.scope(), bucket.as_str(), tags).await? {
            BucketTagsOutcome::Written => Ok(()),
            BucketTagsOutcome::NoBucket => Err(Error::NoSuchBucket),
            // Whether it exists is told only to those who may see it.
            BucketTagsOutcome::Denied => match self.head_bucket(ctx, bucket).await {
                Ok(_) => Err(Error::AccessDenied(MissingRight::UpdateBucket)),
                Err(error) => Err(error),
            },
        }
    }
}

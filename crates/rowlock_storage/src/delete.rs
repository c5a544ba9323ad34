use crate::read::FOLDER_PLACEHOLDER;
use crate::{Context, Error, Storage};
use rowlock_catalog::DeletedRows;
use rowlock_types::{BucketName, ObjectKey};

/// What became of one name of a delete request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It is gone, or was never there.
    Deleted,
    /// It is still there, where the caller can see it: the caller may not delete it.
    AccessDenied,
}

impl Storage {
    /// Deletes one object as the caller. `name/` addresses the folder's placeholder where there is
    /// no literal row.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], or the database's. An absent object is `Deleted`.
    pub async fn delete_object(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        key: &ObjectKey,
    ) -> Result<DeleteOutcome, Error> {
        let outcomes = self.delete_objects(ctx, bucket, std::slice::from_ref(key)).await?;
        outcomes.first().copied().ok_or(Error::Internal("a delete without an outcome"))
    }

    /// Deletes up to 1,000 objects as the caller; one outcome for each key, in order.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], or the database's.
    pub async fn delete_objects(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        keys: &[ObjectKey],
    ) -> Result<Vec<DeleteOutcome>, Error> {
        let names: Vec<&str> = keys.iter().map(ObjectKey::as_str).collect();
        let literal = self.delete_rows(ctx, bucket, &names).await?;
        let placeholders: Vec<Option<String>> = keys
            .iter()
            .map(|key| {
                let found = literal.deleted.contains(key.as_str())
                    || literal.refused.contains(key.as_str());
                (key.is_folder() && !found).then(|| format!("{key}{FOLDER_PLACEHOLDER}"))
            })
            .collect();
        let names: Vec<&str> = placeholders.iter().flatten().map(String::as_str).collect();
        let folders = match names.as_slice() {
            [] => DeletedRows::default(),
            names => self.delete_rows(ctx, bucket, names).await?,
        };
        let outcome = |(key, placeholder): (&ObjectKey, &Option<String>)| {
            let refused = literal.refused.contains(key.as_str())
                || placeholder.as_ref().is_some_and(|name| folders.refused.contains(name));
            if refused { DeleteOutcome::AccessDenied } else { DeleteOutcome::Deleted }
        };
        Ok(keys.iter().zip(&placeholders).map(outcome).collect())
    }

    async fn delete_rows(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        names: &[&str],
    ) -> Result<DeletedRows, Error> {
        let grace = self.settings.blob_grace;
        let rows = self.catalog.delete_objects(&ctx.scope(), bucket.as_str(), names, grace).await?;
        self.ring();
        if rows.bucket_exists { Ok(rows) } else { Err(Error::NoSuchBucket) }
    }
}

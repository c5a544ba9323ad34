use crate::{Context, Error, LimitOf, SizeLimit, Storage};
use rowlock_catalog::{
    BucketChanges, BucketDetails, BucketFilter, CreateBucketOutcome, NewBucketRow,
};
use rowlock_types::BucketName;

/// A bucket to be made, with its settings.
#[derive(Debug, Clone)]
pub struct NewBucket {
    /// Its id.
    pub id: BucketName,
    /// Its name, which is the id in all but odd cases.
    pub name: BucketName,
    /// Whether its objects are public.
    pub public: bool,
    /// The largest object in bytes.
    pub file_size_limit: Option<i64>,
    /// The content types allowed (`image/*` patterns included); `None`: any.
    pub allowed_mime_types: Option<Vec<String>>,
}

impl Storage {
    /// The buckets that the caller may see, with their settings. A row whose id could not be one
    /// segment of a path is left out: it can't be served.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_bucket_details(
        &self,
        ctx: &Context,
        filter: &BucketFilter,
    ) -> Result<Vec<BucketDetails>, Error> {
        let mut rows = self.catalog.list_bucket_details(&ctx.scope(), filter).await?;
        rows.retain(|row| match BucketName::existing(&row.id) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "a bucket in the database is left out");
                false
            }
        });
        Ok(rows)
    }

    /// A bucket with its settings, if the caller may see it.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`].
    pub async fn bucket_details(
        &self,
        ctx: &Context,
        bucket: &BucketName,
    ) -> Result<BucketDetails, Error> {
        let found = self.catalog.bucket_details(&ctx.scope(), bucket.as_str()).await?;
        found.ok_or(Error::NoSuchBucket)
    }

    /// Makes a bucket as the caller.
    ///
    /// # Errors
    /// [`Error::BucketAlreadyExists`], [`Error::EntityTooLarge`] for a limit beyond the server's,
    /// or what the database says (row-level security).
    pub async fn create_bucket_with(&self, ctx: &Context, new: &NewBucket) -> Result<(), Error> {
        self.check_size_limit(new.file_size_limit)?;
        let row = NewBucketRow {
            id: new.id.as_str(),
            name: new.name.as_str(),
            public: new.public,
            file_size_limit: new.file_size_limit,
            allowed_mime_types: new.allowed_mime_types.as_deref(),
        };
        match self.catalog.create_bucket_with(&ctx.scope(), &row).await? {
            CreateBucketOutcome::Created => Ok(()),
            CreateBucketOutcome::Exists { visible } => {
                Err(Error::BucketAlreadyExists { owned: visible })
            }
        }
    }

    /// Changes a bucket's settings as the caller.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`] where there is none that the caller may change,
    /// [`Error::EntityTooLarge`] for a limit beyond the server's, or what the database says.
    pub async fn change_bucket(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        changes: &BucketChanges,
    ) -> Result<(), Error> {
        self.check_size_limit(changes.file_size_limit.flatten())?;
        if self.catalog.change_bucket(&ctx.scope(), bucket.as_str(), changes).await? {
            Ok(())
        } else {
            Err(Error::NoSuchBucket)
        }
    }

    /// A bucket can't promise more than the server takes.
    fn check_size_limit(&self, wanted: Option<i64>) -> Result<(), Error> {
        let wanted = wanted.and_then(|wanted| u64::try_from(wanted).ok());
        match (wanted, self.settings.max_object_bytes) {
            (Some(wanted), Some(bytes)) if wanted > bytes => {
                let limit = SizeLimit { bytes, of: LimitOf::Server };
                Err(Error::EntityTooLarge { limit, size: Some(wanted) })
            }
            _ => Ok(()),
        }
    }
}

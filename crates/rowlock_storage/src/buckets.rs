use crate::task::detached;
use crate::{Context, Error, MissingRight, Storage};
use rowlock_catalog::{BucketRow, CreateBucketOutcome, DeleteBucketOutcome};
use rowlock_types::BucketName;
use time::OffsetDateTime;

/// A bucket as a caller may see it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name and id.
    pub name: BucketName,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Whether its objects are public.
    pub public: bool,
}

impl Bucket {
    /// `None` for a row whose id could not be one segment of a path: it can't be served.
    fn from_row(row: BucketRow) -> Option<Self> {
        match BucketName::existing(&row.id) {
            Ok(name) => Some(Self { name, created_at: row.created_at, public: row.public }),
            Err(error) => {
                tracing::warn!(%error, "a bucket in the database is left out");
                None
            }
        }
    }
}

impl Storage {
    /// All buckets that the caller may see, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_buckets(&self, ctx: &Context) -> Result<Vec<Bucket>, Error> {
        let rows = self.catalog.list_buckets(&ctx.scope()).await?;
        Ok(rows.into_iter().filter_map(Bucket::from_row).collect())
    }

    /// Makes a bucket as the caller.
    ///
    /// # Errors
    /// [`Error::BucketAlreadyExists`], or what the database says (row-level security).
    pub async fn create_bucket(&self, ctx: &Context, name: &BucketName) -> Result<(), Error> {
        match self.catalog.create_bucket(&ctx.scope(), name.as_str()).await? {
            CreateBucketOutcome::Created => Ok(()),
            CreateBucketOutcome::Exists { visible } => {
                Err(Error::BucketAlreadyExists { owned: visible })
            }
        }
    }

    /// One bucket, if the caller may see it.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`].
    pub async fn head_bucket(&self, ctx: &Context, name: &BucketName) -> Result<Bucket, Error> {
        let row = self.catalog.find_bucket(&ctx.scope(), name.as_str()).await?;
        row.and_then(Bucket::from_row).ok_or(Error::NoSuchBucket)
    }

    /// Deletes an empty bucket as the caller; its pending multipart uploads are aborted.
    ///
    /// # Errors
    /// [`Error::NoSuchBucket`], [`Error::BucketNotEmpty`], [`Error::AccessDenied`], or what the
    /// database says.
    pub async fn delete_bucket(&self, ctx: &Context, name: &BucketName) -> Result<(), Error> {
        let (this, owned_ctx, owned_name) = (self.clone(), ctx.clone(), name.clone());
        let outcome = detached(async move {
            Ok(this.catalog.delete_bucket(&owned_ctx.scope(), owned_name.as_str()).await?)
        })
        .await?;
        match outcome {
            DeleteBucketOutcome::Deleted => {
                self.wake.notify_one();
                Ok(())
            }
            DeleteBucketOutcome::Absent => Err(Error::NoSuchBucket),
            // Whether it exists, or holds anything, is told only to those who may see it.
            DeleteBucketOutcome::NotEmpty => {
                self.head_bucket(ctx, name).await.and(Err(Error::BucketNotEmpty))
            }
            DeleteBucketOutcome::Denied => {
                let refused = Error::AccessDenied(MissingRight::DeleteBucket);
                self.head_bucket(ctx, name).await.and(Err(refused))
            }
        }
    }
}

//! Whether rows and blobs belong together: a server that was given another tenant, bucket or
//! folder than the last time finds every row and no blob.

use crate::{Error, Storage};
use futures_util::{StreamExt, stream};
use rowlock_types::{BucketName, KeyRules, ObjectKey};
use std::sync::Arc;

/// How many blobs are looked for at a time.
const AT_A_TIME: usize = 4;

/// What a look at a few objects has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fit {
    /// How many objects were looked at; 0 where there is none.
    pub looked_at: usize,
    /// How many of them have no blob.
    pub missing: usize,
}

impl Storage {
    /// Looks whether a few objects, picked by chance, have their blobs. Costs one statement and
    /// at most `objects` looks at the store.
    ///
    /// # Errors
    /// The database's or the store's, which prove nothing.
    pub async fn fit(&self, objects: u16) -> Result<Fit, Error> {
        let mut blobs = Vec::new();
        for row in self.catalog.some_rows(i64::from(objects)).await? {
            let (Ok(bucket), Ok(key)) =
                (BucketName::existing(&row.bucket), ObjectKey::new(&row.name, KeyRules::Utf8))
            else {
                continue;
            };
            blobs.extend(self.blob_of(&bucket, &key, row.version.as_deref()).await?);
        }
        let mut fit = Fit { looked_at: blobs.len(), missing: 0 };
        let looks = blobs.into_iter().map(|blob| {
            let store = Arc::clone(&self.blobs);
            async move { store.head(&blob).await }
        });
        let mut found = stream::iter(looks).buffer_unordered(AT_A_TIME);
        while let Some(look) = found.next().await {
            match look {
                Ok(_) => {}
                Err(rowlock_blobs::Error::NotFound) => fit.missing += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(fit)
    }
}

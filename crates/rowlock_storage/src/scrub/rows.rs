//! From the rows to the store: does every object have its blob?

use super::{Finding, Scrub, ScrubError};
use crate::{Error, Storage};
use futures_util::{StreamExt, stream};
use rowlock_catalog::AuditRow;
use rowlock_types::{BucketName, KeyRules, ObjectKey};

/// How many rows are read at once, and how many blobs looked for at a time.
const PAGE: i64 = 1000;
const AT_A_TIME: usize = 16;

/// What a look for a row's blob has shown.
enum Look {
    /// It is there, and as long as it should be; with its names where it has no version.
    Good(Vec<String>),
    Missing,
    WrongSize {
        expected: u64,
        found: u64,
    },
}

impl Scrub<'_> {
    pub(super) async fn rows(&mut self) -> Result<(), ScrubError> {
        let mut last = (String::new(), String::new());
        loop {
            let page = self.storage.catalog.rows_after(&last.0, &last.1, PAGE).await?;
            let Some(row) = page.last() else { return Ok(()) };
            last = (row.bucket.clone(), row.name.clone());
            self.summary.rows += page.len() as u64;
            let storage = self.storage;
            let looks = page.into_iter().map(|row| async move {
                let look = look_for(storage, &row).await;
                (row, look)
            });
            let mut looks = stream::iter(looks).buffered(AT_A_TIME);
            while let Some((row, look)) = looks.next().await {
                match look? {
                    Look::Good(names) => {
                        for name in names {
                            self.versionless.remove(&name);
                        }
                    }
                    Look::Missing | Look::WrongSize { .. } => self.look_again(row).await?,
                }
            }
        }
    }

    /// An object may have been replaced or deleted since its row was read, and its blob with it.
    async fn look_again(&mut self, row: AuditRow) -> Result<(), ScrubError> {
        let now = self.storage.catalog.rows_named(&[&row.bucket], &[&row.name]).await?;
        let Some(row) = now.into_iter().next() else { return Ok(()) };
        let AuditRow { bucket, name: key, version, .. } = row.clone();
        match look_for(self.storage, &row).await? {
            Look::Good(_) => {}
            Look::Missing => self.tell(Finding::Missing { bucket, key, version }),
            Look::WrongSize { expected, found } => {
                self.tell(Finding::WrongSize { bucket, key, expected, found });
            }
        }
        Ok(())
    }
}

async fn look_for(storage: &Storage, row: &AuditRow) -> Result<Look, Error> {
    let (Ok(bucket), Ok(key)) =
        (BucketName::existing(&row.bucket), ObjectKey::new(&row.name, KeyRules::Utf8))
    else {
        return Ok(Look::Missing);
    };
    let blob = storage.blob_of(&bucket, &key, row.version.as_deref()).await?;
    let Some(blob) = blob else { return Ok(Look::Missing) };
    match storage.blobs.head(&blob).await {
        Ok(found) => Ok(match row.size {
            Some(expected) if expected != found => Look::WrongSize { expected, found },
            _ if blob.version.is_none() => Look::Good(storage.blobs.names(&blob)),
            _ => Look::Good(Vec::new()),
        }),
        Err(rowlock_blobs::Error::NotFound) => Ok(Look::Missing),
        Err(error) => Err(error.into()),
    }
}

use crate::{Context, Error, MissingRight, Storage};
use rowlock_catalog::FullRow;
use rowlock_types::BucketName;
use std::collections::HashMap;

impl Storage {
    /// Deletes one object as the caller. What is not there, and what the caller may not delete, is
    /// an error, also where the caller does not see it.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::AccessDenied`], or the database's.
    pub async fn remove_object(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        name: &str,
    ) -> Result<(), Error> {
        let grace = self.settings.blob_grace;
        let removed =
            self.catalog.remove_objects(&ctx.scope(), bucket.as_str(), &[name], grace).await?;
        self.ring();
        if !removed.rows.is_empty() {
            Ok(())
        } else if removed.existing.is_empty() {
            Err(Error::NoSuchKey)
        } else {
            Err(Error::AccessDenied(MissingRight::DeleteObject))
        }
    }

    /// Deletes what the caller may delete of up to 1,000 names, and returns the rows in the order
    /// of the names. The others are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_objects(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        names: &[&str],
    ) -> Result<Vec<FullRow>, Error> {
        let grace = self.settings.blob_grace;
        let removed =
            self.catalog.remove_objects(&ctx.scope(), bucket.as_str(), names, grace).await?;
        self.ring();
        let places: HashMap<&str, usize> =
            names.iter().enumerate().rev().map(|(place, name)| (*name, place)).collect();
        let mut rows = removed.rows;
        rows.sort_by_key(|row| places.get(row.name.as_str()).copied());
        Ok(rows)
    }
}

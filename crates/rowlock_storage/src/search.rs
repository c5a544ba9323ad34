use crate::{Context, Error, Storage};
use rowlock_catalog::{FolderRequest, PageRequest, SearchEntry};

impl Storage {
    /// Lists one folder's entries as the caller. An unknown bucket has none.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_folder(
        &self,
        ctx: &Context,
        request: &FolderRequest<'_>,
    ) -> Result<Vec<SearchEntry>, Error> {
        Ok(self.catalog.list_folder(&ctx.scope(), request).await?)
    }

    /// Lists a page of a bucket as the caller. An unknown bucket has no entries.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_page(
        &self,
        ctx: &Context,
        request: &PageRequest<'_>,
    ) -> Result<Vec<SearchEntry>, Error> {
        Ok(self.catalog.list_page(&ctx.scope(), request).await?)
    }
}

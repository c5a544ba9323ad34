//! What is told of a row that policies do not admit.

use rowlock_storage::CatalogError;

/// The message. Whether another row lies under the key is not told, so all rights are named that a
/// write can need.
pub(crate) fn row_refusal(error: &CatalogError) -> &'static str {
    match error {
        CatalogError::Database { message, .. } if message.ends_with("table \"buckets\"") => {
            "Access Denied: new row violates row-level security policy: no policy on \
             storage.buckets admits it"
        }
        _ => {
            "Access Denied: new row violates row-level security policy: a write needs policies \
             for INSERT and SELECT on storage.objects that admit the row, and for UPDATE where it \
             replaces one"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_storage::SqlState;

    fn refused(text: &str) -> &'static str {
        row_refusal(&CatalogError::Database {
            state: SqlState::INSUFFICIENT_PRIVILEGE,
            message: format!("new row violates row-level security policy {text}"),
            detail: None,
            constraint: None,
            in_user_code: false,
        })
    }

    #[test]
    fn rights_and_table_are_told_and_nothing_else() {
        let create = refused("for table \"objects\"");
        assert!(create.contains("INSERT and SELECT on storage.objects"), "{create}");
        // Whether an object lies under the key, and what a policy is called, is not told.
        assert_eq!(create, refused("(USING expression) for table \"objects\""));
        assert_eq!(create, refused("\"secret\" for table \"objects\""));
        assert!(refused("for table \"buckets\"").contains("on storage.buckets"));
    }
}

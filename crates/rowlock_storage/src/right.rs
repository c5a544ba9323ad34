use std::fmt;

/// A right that no policy gives. To a caller who sees what it is about, telling it gives nothing
/// away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingRight {
    /// To change an object's row: moves, tags.
    UpdateObject,
    /// To delete an object's row.
    DeleteObject,
    /// To change a bucket's row: tags.
    UpdateBucket,
    /// To delete a bucket's row.
    DeleteBucket,
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (right, table, what) = match self {
            Self::UpdateObject => ("UPDATE", "objects", "change this object"),
            Self::DeleteObject => ("DELETE", "objects", "delete this object"),
            Self::UpdateBucket => ("UPDATE", "buckets", "change this bucket"),
            Self::DeleteBucket => ("DELETE", "buckets", "delete this bucket"),
        };
        write!(f, "no policy for {right} on storage.{table} lets you {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::MissingRight;

    #[test]
    fn a_refusal_names_right_and_table() {
        assert_eq!(
            MissingRight::UpdateObject.to_string(),
            "no policy for UPDATE on storage.objects lets you change this object"
        );
        assert_eq!(
            MissingRight::DeleteBucket.to_string(),
            "no policy for DELETE on storage.buckets lets you delete this bucket"
        );
    }
}

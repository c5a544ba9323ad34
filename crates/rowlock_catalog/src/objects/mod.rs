//! Queries on `storage.objects`.

mod commit;
mod delete;
mod delete_if;
mod empty;
mod find;
mod full;
mod going;
mod moved;
mod notes;
mod opening;
mod permit;
mod read;
mod relocate;
mod remove;
mod write;

pub use commit::{CommitOutcome, CommitRequest, CompletedUpload, ExpectedRow, RowCondition};
pub use delete::DeletedRows;
pub use delete_if::DeleteIfOutcome;
pub use empty::{EmptyJob, EmptyStep};
pub use find::ObjectRow;
pub use full::FullRow;
pub(crate) use permit::owner_uuid;
pub use permit::{BucketLimits, ExistingObject, Permit, PermitRequest};
pub use read::{ReadAs, ReadOutcome, ReadRow};
pub use relocate::{MoveOutcome, MoveRequest, MoveSource, MoveVerdict};
pub use remove::RemovedRows;

/// The advisory lock key of an object, shared with the reference: a 32-bit hash over the UTF-16
/// code units of `<bucket>/<key>` (start 5381; multiply by 33, then XOR), as an unsigned number.
pub fn object_lock_key(bucket: &str, key: &str) -> i64 {
    let units = bucket.encode_utf16().chain(std::iter::once(u16::from(b'/')));
    let hash = units
        .chain(key.encode_utf16())
        .fold(5381_u32, |hash, unit| hash.wrapping_mul(33) ^ u32::from(unit));
    i64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::object_lock_key;

    #[test]
    fn lock_keys_are_the_references() {
        assert_eq!(object_lock_key("b1", "f/a.txt"), 476_755_719);
        assert_eq!(object_lock_key("b1", "f/b.txt"), 480_104_196);
    }
}

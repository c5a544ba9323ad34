//! Times of rows that anybody may have written.

use crate::lanes::Columns;
use time::OffsetDateTime;

/// A row's time; 1970 where there is none, or one that no calendar here holds (`infinity`, the
/// year 20000): one such row must not make a whole list unreadable.
pub(crate) fn of(row: &impl Columns, column: &str) -> OffsetDateTime {
    row.column::<Option<OffsetDateTime>>(column)
        .ok()
        .flatten()
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

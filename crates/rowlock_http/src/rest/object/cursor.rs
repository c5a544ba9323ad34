//! Where a page of a list ended: base64 of lines, each a letter, a colon and a value, as the
//! reference writes them. `l` is the last entry's name (a folder's ends in `/`), `o` the order, `c`
//! the column of a time, `a` the last entry's time.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rowlock_storage::PageOrder;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::rest::error::RestError;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A cursor. What it does not say is left to the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    pub(super) name: String,
    pub(super) downwards: Option<bool>,
    pub(super) order: Option<PageOrder>,
    pub(super) moment: Option<String>,
}

impl Cursor {
    /// Reads a cursor of either server's.
    ///
    /// # Errors
    /// InvalidParameter.
    pub(super) fn parse(text: &str) -> Result<Self, RestError> {
        let invalid = || {
            let message = "Invalid Parameter continuation token";
            RestError::new(400, "InvalidParameter", message)
        };
        let bytes = BASE64.decode(text).map_err(|_| invalid())?;
        let lines = String::from_utf8(bytes).map_err(|_| invalid())?;
        let mut cursor = Self::default();
        for line in lines.split('\n') {
            match line.split_once(':') {
                Some(("l", name)) if !name.contains('\0') => name.clone_into(&mut cursor.name),
                Some(("o", "asc")) => cursor.downwards = Some(false),
                Some(("o", "desc")) => cursor.downwards = Some(true),
                Some(("c", "name")) => cursor.order = Some(PageOrder::Name),
                Some(("c", "created_at")) => cursor.order = Some(PageOrder::CreatedAt),
                Some(("c", "updated_at")) => cursor.order = Some(PageOrder::UpdatedAt),
                Some(("a", moment)) if is_moment(moment) => cursor.moment = Some(moment.to_owned()),
                _ => return Err(invalid()),
            }
        }
        // Without its time a list by time would begin anew, and never end.
        let by_time = cursor.order.is_some_and(|order| order != PageOrder::Name);
        if cursor.name.is_empty() || by_time != cursor.moment.is_some() {
            return Err(invalid());
        }
        Ok(cursor)
    }

    /// The cursor's text.
    pub(super) fn render(&self) -> String {
        let mut lines = vec![format!("l:{}", self.name)];
        if let Some(downwards) = self.downwards {
            lines.push(format!("o:{}", if downwards { "desc" } else { "asc" }));
        }
        match self.order {
            Some(PageOrder::CreatedAt) => lines.push("c:created_at".to_owned()),
            Some(PageOrder::UpdatedAt) => lines.push("c:updated_at".to_owned()),
            Some(PageOrder::Name) | None => {}
        }
        lines.extend(self.moment.as_ref().map(|moment| format!("a:{moment}")));
        BASE64.encode(lines.join("\n"))
    }
}

/// What the database takes for a time.
fn is_moment(text: &str) -> bool {
    matches!(text, "infinity" | "-infinity") || OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> Result<Cursor, RestError> {
        Cursor::parse(&BASE64.encode(lines))
    }

    #[test]
    fn cursors_of_the_reference_are_read_and_written_alike() {
        for text in [
            "bDphLzIudHh0",
            "bDpwZXItY2VudApvOmFzYw==",
            "bDphLzIudHh0Cm86YXNjCmM6Y3JlYXRlZF9hdAphOjIwMjYtMTEtMjRUMDI6MDE6MDYuNjEwWg==",
        ] {
            assert_eq!(Cursor::parse(text).unwrap().render(), text);
        }
        let cursor = parse("l:a:b/\no:desc").unwrap();
        assert_eq!((cursor.name.as_str(), cursor.downwards), ("a:b/", Some(true)));
        assert!(parse("l:x\nc:updated_at\na:-infinity").is_ok());
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        assert_eq!(Cursor::parse("garbage").unwrap_err().code(), "InvalidParameter");
        for lines in [
            "",
            "o:asc",
            "l:",
            "x:y",
            "l:a\n",
            "l:a\no:up",
            "l:a\nc:colour",
            "l:a\nc:created_at",
            "l:a\na:2026-11-24T02:01:06.610Z",
            "l:a\nc:created_at\na:now()",
            "l:a\0",
        ] {
            assert_eq!(parse(lines).unwrap_err().code(), "InvalidParameter", "{lines:?}");
        }
    }
}

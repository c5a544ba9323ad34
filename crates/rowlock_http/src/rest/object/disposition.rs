//! `?download`: the answer becomes a file.

use std::fmt::Write as _;

/// The `Content-Disposition` that `?download` or `?download=name` asks for (RFC 6266; the name
/// encoded by RFC 8187, section 3.2, so that any script survives).
pub(super) fn attachment(name: &str) -> String {
    if name.is_empty() {
        return "attachment;".to_owned();
    }
    let encoded = encode(name);
    format!("attachment; filename={encoded}; filename*=UTF-8''{encoded}")
}

fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::attachment;

    #[test]
    fn names_of_any_script() {
        assert_eq!(attachment(""), "attachment;");
        assert_eq!(attachment("x.png"), "attachment; filename=x.png; filename*=UTF-8''x.png");
        assert_eq!(
            attachment("日 a\"b.txt"),
            "attachment; filename=%E6%97%A5%20a%22b.txt; filename*=UTF-8''%E6%97%A5%20a%22b.txt"
        );
        assert!(!attachment("a\r\nb: c").contains('\n'));
    }
}

use std::fmt::Write;

/// `CopySource`: bucket and key, percent-encoded but for the slashes (S3 API reference,
/// CopyObject).
pub(crate) fn copy_source(bucket: &str, key: &str) -> String {
    let mut text = String::with_capacity(bucket.len() + key.len() + 16);
    text.push_str(bucket);
    text.push('/');
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            // Writing into a String can't fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_urls_mean_something_by_is_escaped() {
        assert_eq!(super::copy_source("b", "a b+c%/?&ü"), "b/a%20b%2Bc%25/%3F%26%C3%BC");
    }
}

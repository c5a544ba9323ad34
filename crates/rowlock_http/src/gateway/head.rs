//! Heads that are longer than any client's should be, refused in each protocol's words.

use http::Request;

/// The most bytes that a request's target and headers may take together. What is longer than
/// twice that never gets here: the server below refuses it with 431 and no words.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The mark of a request whose head is too long, for the S3 protocol to say so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadTooLong;

/// Whether the head is too long.
pub(super) fn is_too_long<B>(request: &Request<B>) -> bool {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    // A colon, a space and the end of the line.
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 4
    };
    target + request.headers().iter().map(line).sum::<usize>() > MAX_HEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_headers_count() {
        let of = |path: usize, header: usize, times: usize| {
            let mut request = Request::new(());
            *request.uri_mut() = format!("/{}", "p".repeat(path)).parse().unwrap();
            for _ in 0..times {
                request.headers_mut().append("x", "v".repeat(header).parse().unwrap());
            }
            is_too_long(&request)
        };
        assert!(!of(0, MAX_HEAD_BYTES - 6, 1));
        assert!(of(1, MAX_HEAD_BYTES - 6, 1));
        assert!(!of(60_000, 1000, 5) && of(60_000, 1000, 6));
    }
}

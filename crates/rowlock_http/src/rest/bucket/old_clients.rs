//! Clients that crash on a member that they do not know.

use http::HeaderMap;

/// Whether the client is supabase-py before 2.18.0 or storage3 before 0.12.1.
pub(super) fn crashes_on_type(headers: &HeaderMap) -> bool {
    let older = |header: &str, product: &str, than: [u32; 3]| {
        let value = headers.get(header).and_then(|value| value.to_str().ok());
        value.and_then(|value| version_of(value, product)).is_some_and(|version| version < than)
    };
    older("x-client-info", "supabase-py", [2, 18, 0]) || older("user-agent", "storage3", [0, 12, 1])
}

/// The version behind a product's name: `storage3/0.8.2`, `supabase-py/storage3 v0.8.2`.
fn version_of(value: &str, product: &str) -> Option<[u32; 3]> {
    let (_, rest) = value.split_once(product)?;
    let rest = rest.strip_prefix(['/', ' '])?.trim_start();
    let rest = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let mut numbers = rest[..end].split('.').map(str::parse::<u32>);
    let first = numbers.next()?.ok()?;
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    Some([first, next(), next()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn versions() {
        for (header, value, crashes) in [
            ("x-client-info", "supabase-py/2.17.3", true),
            ("x-client-info", "supabase-py/2.18.0", false),
            ("x-client-info", "supabase-py/3.0.0", false),
            ("x-client-info", "supabase-js/2.1.0", false),
            ("user-agent", "supabase-py/storage3 v0.8.2", true),
            ("user-agent", "storage3/0.12.0", true),
            ("user-agent", "storage3/0.12.1", false),
            ("user-agent", "storage3", false),
            ("user-agent", "curl/7.0", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header, HeaderValue::from_static(value));
            assert_eq!(crashes_on_type(&headers), crashes, "{value}");
        }
    }
}

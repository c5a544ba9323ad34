use std::fmt;

/// What of a request goes into its signature, borrowed from the server's own types.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method as received, upper case.
    pub method: &'a str,
    /// The paths the client may have signed, still percent-encoded and each beginning with `/`,
    /// likeliest first: a gateway in front may have cut or added a prefix.
    pub paths: &'a [&'a str],
    /// The `Host` texts the client may have signed, likeliest first. The `host` among `headers`
    /// is not looked at.
    pub hosts: &'a [&'a str],
    /// The query as received, without `?`.
    pub query: &'a str,
    /// All headers in the order received, names in lower case, values as received.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> Request<'a> {
    /// Every value of the header `name`, in the order received.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// The first value of the header `name` without outer white space, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.values(name).next()?).ok().map(str::trim)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

impl fmt::Debug for Request<'_> {
    /// Leaves out query and header values, which hold tokens and signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("paths", &self.paths)
            .field("hosts", &self.hosts)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

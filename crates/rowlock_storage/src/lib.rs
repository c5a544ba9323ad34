//! The domain: the one place that may touch both a row and a blob.

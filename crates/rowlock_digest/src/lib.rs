//! Digests and checksums computed while bytes stream by.

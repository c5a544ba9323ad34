//! Blobs in an S3 service, in the layout of the reference, so that either server can serve what
//! the other has written:
//!
//! ```text
//! <root bucket>/<tenant>/<bucket>/<key…>/<version>                  a blob
//! <root bucket>/.rowlock/check/<tenant>                             a trial write, for a moment
//! <root bucket>/.rowlock/growing/<tenant>/<version>/<random>         what of a growing blob fills no part
//! <root bucket>/.rowlock/long/<tenant>/<sha256>/<version or null>   keys that would pass 1024 bytes
//! ```
//!
//! Uploads are sent from buffers that can be sent again, all of them under one budget for the
//! process; what is larger than a buffer, or finds no room in the budget, is passed through as it
//! arrives. Uploads of more than a part's size become multipart uploads. Nothing here reads an
//! environment variable, but for the chain that looks for ambient credentials
//! ([`Credentials::Ambient`]), whose business they are.

mod budget;
mod check;
mod codes;
mod connection;
mod copy;
mod delete;
mod encode;
mod failure;
mod grower;
mod growing;
mod layout;
mod list;
mod multipart;
mod part;
mod piece;
mod read;
mod resolve;
mod retry;
mod settings;
mod spare;
mod store;
mod streams;
mod tail;
mod transport;
mod upload;
mod writer;

pub use check::Problem;
pub use layout::Separator;
pub use settings::{Checksums, Credentials, Limits, OpenError, S3Settings};
pub use store::S3Store;

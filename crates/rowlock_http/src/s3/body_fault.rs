//! Why a body could not be read, and how that is answered.

use rowlock_sigv4::ChunkError;

use super::error::{S3Error, code, incomplete_body};
use crate::server::is_stalled;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    /// The aws-chunked framing, its signatures or its trailers are wrong.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The client sent nothing for too long.
    #[error("the client sent nothing for too long")]
    Stalled,
    /// The connection broke, or its framing did.
    #[error("the body broke off")]
    Broken,
    /// A form is no form.
    #[error("the form is malformed")]
    MalformedForm,
    /// A form has too much before its file.
    #[error("the form's fields are too large")]
    FormTooLarge,
    /// A form's file is larger than its policy allows (bytes).
    #[error("the form's file is too large")]
    FileTooLarge { most: u64 },
    /// A form's file is smaller than its policy demands (bytes).
    #[error("the form's file is too small")]
    FileTooSmall { least: u64, size: u64 },
}

impl From<BodyFault> for S3Error {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Chunk(error) => {
                let code = match error.code() {
                    "SignatureDoesNotMatch" => code::SIGNATURE_DOES_NOT_MATCH,
                    "IncompleteBody" => code::INCOMPLETE_BODY,
                    "MalformedTrailerError" => code::MALFORMED_TRAILER,
                    _ => code::INVALID_REQUEST,
                };
                Self::new(code, error.to_string())
            }
            BodyFault::Stalled => Self::new(
                code::REQUEST_TIMEOUT,
                "Your socket connection to the server was not read from or written to within the timeout period.",
            ),
            BodyFault::Broken => incomplete_body(),
            BodyFault::MalformedForm => Self::new(
                code::MALFORMED_POST_REQUEST,
                "The body of your POST request is not well-formed multipart/form-data.",
            ),
            BodyFault::FormTooLarge => Self::new(
                code::MAX_POST_PRE_DATA,
                "Your POST request fields preceding the upload file were too large.",
            ),
            BodyFault::FileTooLarge { most } => Self::new(
                code::ENTITY_TOO_LARGE,
                "Your proposed upload exceeds the maximum allowed size",
            )
            .detail("MaxSizeAllowed", most.to_string()),
            BodyFault::FileTooSmall { least, size } => Self::new(
                code::ENTITY_TOO_SMALL,
                "Your proposed upload is smaller than the minimum allowed size",
            )
            .detail("ProposedSize", size.to_string())
            .detail("MinSizeAllowed", least.to_string()),
        }
    }
}

/// What a failed read of a body means.
pub(crate) fn fault_of(error: &axum::Error) -> BodyFault {
    if is_stalled(error) { BodyFault::Stalled } else { BodyFault::Broken }
}

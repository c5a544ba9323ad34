/// Why an aws-chunked body was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A chunk's header is no size with, in signed modes, a signature; or its data is not
    /// followed by a line end.
    #[error("The aws-chunked body is malformed: {0}")]
    Malformed(&'static str),
    /// A chunk's or the trailers' signature is wrong.
    #[error("The signature of {0} does not match the one we calculated")]
    SignatureMismatch(&'static str),
    /// The body ended before its last chunk, or in the middle of a trailer.
    #[error("The request body terminated unexpectedly")]
    Truncated,
    /// The chunks held fewer bytes than `x-amz-decoded-content-length`.
    #[error(
        "You did not provide the number of bytes specified by the x-amz-decoded-content-length \
         header: {received} of {expected}"
    )]
    TooShort {
        /// What the header said.
        expected: u64,
        /// What came.
        received: u64,
    },
    /// The chunks held more bytes than `x-amz-decoded-content-length`.
    #[error(
        "You provided more bytes than the x-amz-decoded-content-length header specified: \
         {expected}"
    )]
    TooLong {
        /// What the header said.
        expected: u64,
    },
    /// Something follows the last chunk that may not.
    #[error("Data follows the last chunk of the aws-chunked body")]
    DataAfterEnd,
    /// The trailers cannot be read, or are not those that `x-amz-trailer` announced.
    #[error(
        "The request contained trailing data that was not well-formed or did not conform to our \
         published schema: {0}"
    )]
    MalformedTrailer(&'static str),
}

impl ChunkError {
    /// The S3 error code
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::DataAfterEnd => "InvalidRequest",
            Self::SignatureMismatch(_) => "SignatureDoesNotMatch",
            Self::Truncated | Self::TooShort { .. } | Self::TooLong { .. } => "IncompleteBody",
            Self::MalformedTrailer(_) => "MalformedTrailerError",
        }
    }
}

//! What the service's refusals mean that only the operator can mend.

use crate::failure::NO_CREDENTIALS;

/// What the operator has to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mend {
    Bucket,
    /// There is no access key.
    NoAccessKey,
    /// The access key is unknown or has expired.
    AccessKey,
    Secret,
    Region,
    Clock,
    /// The key's rights.
    Rights,
    /// The account, or what the bucket is set to do with objects.
    Account,
    /// How much the bucket may hold.
    Quota,
}

/// By code (S3 API reference, "Error responses", "List of error codes"; STS's
/// `InvalidClientTokenId`).
const CODES: &[(&str, Mend)] = &[
    (NO_CREDENTIALS, Mend::NoAccessKey),
    ("NoSuchBucket", Mend::Bucket),
    ("InvalidAccessKeyId", Mend::AccessKey),
    ("InvalidClientTokenId", Mend::AccessKey),
    ("InvalidToken", Mend::AccessKey),
    ("ExpiredToken", Mend::AccessKey),
    ("TokenRefreshRequired", Mend::AccessKey),
    ("SignatureDoesNotMatch", Mend::Secret),
    ("AuthorizationHeaderMalformed", Mend::Region),
    ("PermanentRedirect", Mend::Region),
    ("TemporaryRedirect", Mend::Region),
    ("IllegalLocationConstraintException", Mend::Region),
    ("InvalidRegion", Mend::Region),
    ("RequestTimeTooSkewed", Mend::Clock),
    ("AccessDenied", Mend::Rights),
    ("AccountProblem", Mend::Account),
    ("AllAccessDisabled", Mend::Account),
    ("InvalidPayer", Mend::Account),
    ("InvalidSecurity", Mend::Account),
    ("NotSignedUp", Mend::Account),
    // A rule of the bucket's has put the object into an archive.
    ("InvalidObjectState", Mend::Account),
];

/// Whether a refusal is Garage's of what would pass a quota: "Forbidden: Bucket size quota is
/// reached, …", "Forbidden: Object quota is reached, …".
pub(crate) fn is_quota(code: &str, message: &str) -> bool {
    code == "AccessDenied" && message.contains("quota is reached")
}

/// What the operator has to look at after a refusal with this code and message; `None` where it is
/// not the operator's to mend.
pub(crate) fn operators(code: &str, message: &str) -> Option<Mend> {
    // Garage says these so.
    match code {
        _ if is_quota(code, message) => return Some(Mend::Quota),
        "InvalidRequest" if message.contains("Date is too") => return Some(Mend::Clock),
        "AccessDenied" if message.contains("No such key") => return Some(Mend::AccessKey),
        "AccessDenied" if message.contains("nvalid signature") => return Some(Mend::Secret),
        _ => {}
    }
    CODES.iter().find(|(known, _)| *known == code).map(|(_, mend)| *mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use rowlock_blobs::Error;

    fn told_to_clients(code: &str, message: &str) -> Error {
        let failure = Failure::of(code, message.to_owned());
        Failure { status: Some(400), coded: true, ..failure }.error("reading")
    }

    #[test]
    fn what_the_operator_can_mend_is_a_store_that_is_not_available() {
        let garages = [("InvalidRequest", "Bad request: Date is too old"), ("AccessDenied", "x")];
        for (code, message) in CODES.iter().map(|(code, _)| (*code, "x")).chain(garages) {
            let told = told_to_clients(code, message);
            assert!(matches!(told, Error::Unavailable { .. }), "{code}: {told:?}");
        }
        let told = told_to_clients("InvalidRequest", "something of ours");
        assert!(matches!(told, Error::Io { .. }), "{told:?}");
    }

    /// As Garage 2.5 answers, with the status of a service that is away.
    #[test]
    fn a_name_that_is_too_long_for_garages_database_is_not_tried_again() {
        let said = "Internal error: Could not reach quorum of 1 (sets=Some(1)). 0 of 1 request \
                    succeeded, others returned errors: [\"06b13f5b339efdae: DB error: database \
                    error: LMDB: MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong \
                    DUPFIXED size\"]";
        let refused = |said: &str, coded| {
            let failure = Failure::of("ServiceUnavailable", said.to_owned());
            Failure { status: Some(503), coded, ..failure }
        };
        let told = refused(said, true);
        assert!(!told.passes());
        assert!(matches!(told.write_error("sending"), Error::UnsupportedKey(_)), "{told:?}");
        let away = said.replace("LMDB: MDB_BAD_VALSIZE", "LMDB: MDB_READERS_FULL");
        for away in [refused(&away, true), refused(said, false)] {
            assert!(away.passes());
            assert!(matches!(away.error("sending"), Error::Unavailable { .. }), "{away:?}");
        }
    }

    #[test]
    fn a_quota_that_is_reached_is_a_store_that_is_full() {
        for message in [
            "Forbidden: Bucket size quota is reached, maximum total size of objects for this \
             bucket: 4194304. The bucket is already 3145728 bytes, and this object would add \
             2097152 bytes.",
            "Forbidden: Object quota is reached, maximum objects for this bucket: 1",
        ] {
            let told = told_to_clients("AccessDenied", message);
            assert!(matches!(told, Error::Full), "{told:?}");
            assert_eq!(operators("AccessDenied", message), Some(Mend::Quota));
        }
        let told = told_to_clients("AccessDenied", "Forbidden: no access to bucket quota");
        assert!(matches!(told, Error::Unavailable { .. }), "{told:?}");
    }

    #[test]
    fn what_the_operator_can_mend_is_told_in_the_services_words() {
        let why = |code, message: &str, coded| {
            let failure = Failure::of(code, message.to_owned());
            match (Failure { status: Some(403), coded, ..failure }).error("reading") {
                Error::Unavailable { why, .. } => why,
                other => panic!("{other:?}"),
            }
        };
        let denied = "Operation is not allowed\nfor this key.";
        let line = "AccessDenied, 403: Operation is not allowed for this key.";
        assert_eq!(why("AccessDenied", denied, true), line);
        assert_eq!(why("AccessDenied", "of no service", false), "AccessDenied, 403");
        assert_eq!(why("SlowDown", "it passes", true), "SlowDown, 403");
        assert!(why("AccessDenied", &"x".repeat(10_000), true).len() < 400);
    }
}

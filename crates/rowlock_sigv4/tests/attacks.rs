//! What someone without the secret may try with a signed request, and what a proxy may do to one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{NOW, Owned, SECRET, SIGNER, put};
use proptest::prelude::*;
use rowlock_sigv4::{
    Claim, MAX_CANDIDATES, PayloadMode, Placement, Policy, Refusal, Signer, SigningKeys,
};
use time::macros::datetime;

#[test]
fn the_untouched_requests_are_accepted() {
    assert_eq!(put().signed().verify().unwrap().expires, None);
    let presigned = put().presigned().verify().unwrap();
    assert_eq!(presigned.expires, Some(datetime!(2026-08-30 12:15:00 UTC)));
}

#[test]
fn an_added_amz_header_is_refused_by_name() {
    for signed in [put().signed(), put().presigned()] {
        for name in ["x-amz-copy-source", "x-amz-acl", "x-amz-meta-a", "x-amz-security-token"] {
            let bent = signed.clone().header(name, "/other/key");
            assert_eq!(bent.refusal(), Refusal::UnsignedHeader(name.to_owned()));
            assert_eq!(bent.refusal().code(), "AccessDenied");
        }
        // A CDN's own header is no concern of the client.
        signed
            .clone()
            .header("x-amz-cf-id", "id")
            .header("x-amzn-trace-id", "id")
            .verify()
            .unwrap();
    }
}

#[test]
fn a_digest_header_beside_a_query_signature_changes_nothing() {
    let presigned = put().presigned().header("x-amz-content-sha256", &"0".repeat(64));
    assert_eq!(presigned.verify().unwrap().payload, PayloadMode::Unsigned);
    let signed = put().header("x-amz-content-sha256", &"0".repeat(64)).presigned();
    // Signed, it is what the client says about the body; our own signer says UNSIGNED-PAYLOAD
    // whatever the header, so here the signature no longer fits.
    assert!(signed.mismatches());
    let claim = signed.with(|r| Claim::read(r).map(|c| c.map(|c| c.payload())));
    assert_eq!(claim, Ok(Some(PayloadMode::Hashed([0; 32]))));
    let mut query = put();
    query.query.push_str("&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD");
    assert_eq!(query.presigned().verify().unwrap().payload, PayloadMode::Unsigned);
}

#[test]
fn an_unsigned_host_is_refused() {
    let refused = Refusal::UnsignedHeader("host".to_owned());
    let header = put().signed().replace_authorization("host;", "");
    assert_eq!(header.refusal(), refused);
    let query = put().header("a", "1").presigned().replace_query("a%3Bhost", "a");
    assert_eq!(query.refusal(), refused);
}

#[test]
fn every_changed_part_breaks_the_signature() {
    for signed in [
        put().header("x-amz-meta-a", "1").header("x-amz-meta-b", "2").signed(),
        put().header("x-amz-meta-a", "1").header("x-amz-meta-b", "2").presigned(),
    ] {
        signed.verify().unwrap();
        let bent = |change: fn(&mut Owned)| {
            let mut request = signed.clone();
            change(&mut request);
            request
        };
        assert!(bent(|r| r.method = "DELETE".to_owned()).mismatches());
        assert!(bent(|r| r.paths = vec!["/bucket/another".to_owned()]).mismatches());
        assert!(bent(|r| r.paths = vec!["/bucket//a%20key".to_owned()]).mismatches());
        assert!(bent(|r| r.hosts = vec!["elsewhere".to_owned()]).mismatches());
        assert!(bent(|r| r.query.push_str("&acl")).mismatches());
        assert!(bent(|r| r.query.push_str("&x-id=DeleteObject")).mismatches());
        assert!(bent(|r| r.query = r.query.replace("x-id=PutObject", "")).mismatches());
        let swapped = |r: &mut Owned| {
            for (name, _) in &mut r.headers {
                *name = match name.as_str() {
                    "x-amz-meta-a" => "x-amz-meta-b".to_owned(),
                    "x-amz-meta-b" => "x-amz-meta-a".to_owned(),
                    _ => name.clone(),
                };
            }
        };
        assert!(bent(swapped).mismatches());
        match signed.clone().without("x-amz-meta-b").refusal() {
            Refusal::SignatureMismatch(tried) => {
                assert_eq!(tried.absent_headers, ["x-amz-meta-b"]);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn one_header_cannot_be_sent_as_two() {
    // Joined by a comma, the two sign like the one.
    let signed = put().header("x-amz-copy-source", "/b/secret,x").signed();
    let split = signed
        .without("x-amz-copy-source")
        .header("x-amz-copy-source", "/b/secret")
        .header("x-amz-copy-source", "x");
    assert_eq!(split.refusal(), Refusal::DuplicateHeader("x-amz-copy-source".to_owned()));
    let lists = put()
        .header("x-amz-object-attributes", "ETag")
        .header("x-amz-object-attributes", "ObjectSize")
        .header("x-amz-meta-a", "1")
        .header("x-amz-meta-a", "2");
    lists.signed().verify().unwrap();
    let twice = put().signed().header("authorization", "Bearer x");
    assert_eq!(twice.refusal(), Refusal::DuplicateHeader("authorization".to_owned()));
}

#[test]
fn duplicated_signature_parameters_are_refused() {
    for name in [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ] {
        let mut twice = put().presigned();
        twice.query.push_str(&format!("&{}=604800", name.replace('-', "%2D")));
        assert_eq!(twice.refusal(), Refusal::DuplicateQueryParameter(name));
        assert_eq!(twice.refusal().code(), "AuthorizationQueryParametersError");
    }
    let mut token = put();
    token.query = "X-Amz-Security-Token=a".to_owned();
    let both = token.header("x-amz-security-token", "b").signed();
    assert_eq!(both.refusal(), Refusal::DuplicateQueryParameter("X-Amz-Security-Token"));
}

#[test]
fn incomplete_or_strange_signatures_are_refused() {
    let presigned = put().presigned();
    for (from, to, name) in [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", "X-Amz-Algorithm"),
        ("&X-Amz-Expires=900", "", "X-Amz-Expires"),
        ("&X-Amz-Date=20260830T120000Z", "", "X-Amz-Date"),
        ("&X-Amz-SignedHeaders=host", "", "X-Amz-SignedHeaders"),
        ("&X-Amz-Signature=", "&y=", "X-Amz-Signature"),
    ] {
        let refusal = presigned.clone().replace_query(from, to).refusal();
        assert_eq!(refusal, Refusal::MissingQueryParameter(name));
    }
    for expires in ["0", "604801", "-1", "%2B900", "90x", "", "99999999999999999999"] {
        let bent = presigned.clone().replace_query("Expires=900", &format!("Expires={expires}"));
        assert_eq!(bent.refusal(), Refusal::ExpiresOutOfRange, "{expires}");
    }
    assert!(presigned.clone().replace_query("Expires=900", "Expires=604800").mismatches());
    for (from, to, code) in [
        ("key/", "/", "AuthorizationHeaderMalformed"),
        ("/s3/", "/ec2/", "AuthorizationHeaderMalformed"),
        ("aws4_request", "aws5_request", "AuthorizationHeaderMalformed"),
        ("20260830", "2026083x", "AuthorizationHeaderMalformed"),
        ("20260830", "20260829", "AuthorizationHeaderMalformed"),
        ("SignedHeaders=", "SignedHeaders=Host;", "AuthorizationHeaderMalformed"),
        ("SignedHeaders=", "SignedHeaders=host;", "AuthorizationHeaderMalformed"),
        ("SignedHeaders=", "SignedHeaders=;", "AuthorizationHeaderMalformed"),
        ("Signature=", "Signature=x,Signature=", "AuthorizationHeaderMalformed"),
        (", Signature=", ", Sig=", "AuthorizationHeaderMalformed"),
        ("Credential=", "Credential ", "AuthorizationHeaderMalformed"),
        ("Signature=", "Signature=00", "SignatureDoesNotMatch"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", "NotImplemented"),
    ] {
        let refusal = put().signed().replace_authorization(from, to).refusal();
        assert_eq!(refusal.code(), code, "{from} -> {to}: {refusal}");
    }
    for (name, value, code) in [
        ("x-amz-date", "2026-08-30", "AccessDenied"),
        ("x-amz-content-sha256", "abc", "InvalidArgument"),
        ("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented"),
    ] {
        let bent = put().signed().without(name).header(name, value);
        assert_eq!(bent.refusal().code(), code, "{name}: {value}");
    }
    assert_eq!(put().signed().without("x-amz-date").refusal(), Refusal::MissingDate);
    let no_digest = put().signed().without("x-amz-content-sha256");
    assert_eq!(no_digest.refusal(), Refusal::MissingContentSha256);
}

#[test]
fn the_date_header_stands_in() {
    let signed = put().signed().without("x-amz-date").replace_authorization(";x-amz-date", "");
    for date in ["Sun, 30 Aug 2026 12:00:00 GMT", "20260830T120000Z"] {
        // The time is read; the signature was made over another set of headers.
        assert!(signed.clone().header("date", date).mismatches());
        let late = signed.clone().header("date", date);
        let late = late.verify_with(&Policy::new("stub"), datetime!(2026-08-30 13:00:00 UTC));
        assert_eq!(late.unwrap_err().code(), "RequestTimeTooSkewed");
    }
    assert_eq!(signed.header("date", "today").refusal(), Refusal::MissingDate);
}

#[test]
fn other_mechanisms_are_told_apart() {
    let read = |request: &Owned| request.with(|r| Claim::read(r).map(|c| c.map(|c| c.placement())));
    assert_eq!(read(&put()), Ok(None));
    assert_eq!(read(&put().header("authorization", "Bearer token")), Ok(None));
    assert_eq!(read(&put().header("authorization", "  ")), Ok(None));
    assert_eq!(read(&put().header("authorization", "AWS key:sig")), Err(Refusal::SignatureV2));
    let v2 = Owned::new("GET", "/b/k", "AWSAccessKeyId=key&Signature=x&Expires=1");
    assert_eq!(read(&v2), Err(Refusal::SignatureV2));
    assert_eq!(Refusal::SignatureV2.code(), "InvalidRequest");
    assert!(Refusal::SignatureV2.to_string().contains("s3v4"));

    for other in ["Bearer token", "", "Basic x", "AWS key:sig", "AWS4-HMAC-SHA256x"] {
        let request = put().presigned().header("authorization", other);
        assert_eq!(read(&request), Ok(Some(Placement::Query)), "{other}");
        request.verify().unwrap();
    }
    let mut both = put().presigned();
    both.headers = put().signed().headers;
    assert_eq!(read(&both), Err(Refusal::HeaderAndQuery));
    assert_eq!(Refusal::HeaderAndQuery.code(), "InvalidArgument");
    let both = Owned { headers: put().signed().headers, ..v2 };
    assert_eq!(read(&both), Err(Refusal::HeaderAndQuery));
}

#[test]
fn clocks_may_differ_by_fifteen_minutes() {
    let policy = Policy::new("stub");
    let (signed, presigned) = (put().signed(), put().presigned());
    let at = |seconds| NOW + time::Duration::seconds(seconds);
    for seconds in [-900, 0, 900] {
        signed.verify_with(&policy, at(seconds)).unwrap();
        presigned.verify_with(&policy, at(seconds)).unwrap();
    }
    for seconds in [-901, 901] {
        let refusal = signed.verify_with(&policy, at(seconds)).unwrap_err();
        let expected = Refusal::TimeTooSkewed {
            request: NOW,
            server: at(seconds),
            allowed: time::Duration::seconds(900),
        };
        assert_eq!((refusal.code(), refusal), ("RequestTimeTooSkewed", expected));
    }
    let early = presigned.verify_with(&policy, at(-901)).unwrap_err();
    assert_eq!(early, Refusal::NotYetValid { from: NOW, server: at(-901) });
    let late = presigned.verify_with(&policy, at(901)).unwrap_err();
    assert_eq!(late, Refusal::Expired { expires: at(900), server: at(901), lasted: 900 });
    assert!(late.to_string().contains("2026-08-30T12:15:00Z"), "{late}");
}

#[test]
fn a_region_is_refused_only_on_request_and_then_named() {
    let elsewhere = Signer { region: "eu-west-1", ..SIGNER };
    for region in ["eu-west-1", "auto", "us-east-1", ""] {
        put().signed_by(&Signer { region, ..SIGNER }).verify().unwrap();
    }
    let strict = Policy { enforce_region: true, ..Policy::new("stub") };
    put().signed().verify_with(&strict, NOW).unwrap();
    let refusal = put().signed_by(&elsewhere).verify_with(&strict, NOW).unwrap_err();
    assert_eq!(refusal.code(), "AuthorizationHeaderMalformed");
    assert_eq!(refusal.to_string(), "The region 'eu-west-1' is wrong; expecting 'stub'");
    // Claiming the right region afterwards does not help.
    let bent = put().signed_by(&elsewhere).replace_authorization("eu-west-1", "stub");
    assert!(matches!(bent.verify_with(&strict, NOW), Err(Refusal::SignatureMismatch(_))));
    let wrong = put().signed_by(&Signer { secret: "other", ..elsewhere }).refusal();
    assert!(wrong.to_string().contains("this server's is 'stub'"), "{wrong}");
}

#[test]
fn refusals_never_tell_secrets() {
    let signer = Signer { session_token: Some("the-session-token"), ..SIGNER };
    let mut wrong = put().signed_by(&signer);
    wrong.with(|r| {
        let claim = Claim::read(r).unwrap().unwrap();
        assert_eq!(claim.session_token(), Some("the-session-token"));
        assert!(!format!("{claim:?} {r:?} {signer:?}").contains("the-se"));
    });
    wrong.method = "DELETE".to_owned();
    let refusal = wrong.refusal();
    let text = format!("{refusal} {refusal:?}");
    assert!(!text.contains("the-session-token") && !text.contains(SECRET), "{text}");
    assert!(text.contains("localhost:8000") && text.contains("/bucket/a%20key"), "{text}");
}

#[test]
fn a_session_token_is_covered_by_the_signature() {
    let signer = Signer { session_token: Some("token"), ..SIGNER };
    let mut presigned = put();
    presigned.query = presigned.with(|r| signer.presign(r, 900, NOW));
    presigned.verify().unwrap();
    assert!(presigned.clone().replace_query("Token=token", "Token=other").mismatches());
    assert!(presigned.replace_query("&X-Amz-Security-Token=token", "").mismatches());
    let signed = put().signed_by(&signer);
    signed.verify().unwrap();
    assert!(signed.clone().without("x-amz-security-token").mismatches());
    let other = signed.without("x-amz-security-token").header("x-amz-security-token", "other");
    assert!(other.mismatches());
}

#[test]
fn the_candidate_that_fits_is_named_and_sixteen_are_tried() {
    let mut request = put().signed();
    let (host, path) = (request.hosts[0].clone(), request.paths[0].clone());
    request.hosts = vec!["proxy".to_owned(), host.clone()];
    request.paths = vec!["/a".to_owned(), "/b".to_owned(), path.clone()];
    let verified = request.verify().unwrap();
    assert_eq!((verified.host, verified.path), (1, 2));

    request.paths = vec![path];
    request.hosts = vec!["proxy".to_owned(); MAX_CANDIDATES - 1];
    request.hosts.push(host);
    assert_eq!(request.verify().unwrap().host, MAX_CANDIDATES - 1);
    request.hosts.insert(0, "proxy".to_owned());
    assert!(request.mismatches());
    request.hosts.clear();
    assert!(request.mismatches());
}

#[test]
fn what_proxies_do_to_a_request_is_undone() {
    // The path in another spelling of the same key.
    for path in ["/bucket/a%20key", "/bucket/%61%20key", "/bucket%2Fa key"] {
        let mut request = put().signed();
        request.paths = vec![path.to_owned()];
        request.verify().unwrap();
    }
    // The path signed as it was sent, without S3's encoding.
    Owned::new("PUT", "/bucket/a!(1)*", "").signed().verify().unwrap();
    // The query in another order and spelling.
    let mut request = Owned::new("GET", "/b", "prefix=a%20b&list-type=2&acl").signed();
    request.query = "acl=&list-type=2&prefix=a+b".to_owned();
    request.verify().unwrap();
    // Another accept-encoding, a dropped expectation, spaces.
    let request = put()
        .header("accept-encoding", "identity")
        .header("expect", "100-continue")
        .header("x-amz-meta-a", "a   b")
        .signed();
    let request = request
        .without("accept-encoding")
        .without("expect")
        .header("accept-encoding", "gzip")
        .header("x-original-accept-encoding", "identity");
    request.verify().unwrap();
    assert!(request.without("x-original-accept-encoding").mismatches());
}

#[test]
fn keys_are_kept_for_proven_signatures_only() {
    let keys = SigningKeys::new();
    let policy = Policy::new("stub");
    let verify = |request: &Owned| {
        request.with(|r| Claim::read(r).unwrap().unwrap().verify(SECRET, NOW, &policy, &keys))
    };
    let wrong = put().signed_by(&Signer { secret: "other", ..SIGNER });
    assert!(verify(&wrong).is_err());
    assert!(keys.is_empty());
    for _ in 0..3 {
        verify(&put().signed()).unwrap();
    }
    assert_eq!(keys.len(), 1);
    assert!(verify(&wrong).is_err());
}

proptest! {
    #[test]
    fn whatever_is_signed_verifies_and_a_changed_byte_does_not(
        path in "/[ -~é]{0,20}",
        query in "[a-z&=+%/ é]{0,30}",
        value in "[ -~é]{0,20}",
        other in "[a-z]{1,10}",
    ) {
        let path = rowlock_sigv4::encode_path(&path);
        let request = Owned::new("GET", &path, &query)
            .header("x-amz-meta-a", &value)
            .header("content-type", &value);
        for signed in [request.clone().signed(), request.presigned()] {
            prop_assert!(signed.verify().is_ok());
            let mut bent = signed.clone();
            bent.paths[0].push_str(&other);
            prop_assert!(bent.mismatches());
            let mut bent = signed.clone();
            bent.query.push_str(&format!("&{other}"));
            prop_assert!(bent.mismatches());
            let mut bent = signed.clone();
            bent.headers[1].1.extend(other.bytes());
            prop_assert!(bent.mismatches());
        }
    }

    #[test]
    fn reading_never_panics(
        authorization in "(AWS4-HMAC-SHA256 )?[ -~]{0,60}",
        query in "(X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=)?[ -~]{0,60}",
        date in "[0-9TZé:-]{0,17}",
    ) {
        let request = Owned::new("GET", "", &query)
            .header("authorization", &authorization)
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .header("x-amz-date", &date);
        let refused = request.with(|r| match Claim::read(r) {
            Ok(Some(claim)) => {
                claim.verify(SECRET, NOW, &Policy::new(""), &SigningKeys::new()).is_err()
            }
            Ok(None) | Err(_) => true,
        });
        prop_assert!(refused);
    }
}

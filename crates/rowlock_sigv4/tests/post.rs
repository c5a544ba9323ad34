//! Forms signed as AWS's own example is, and what must not pass.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rowlock_sigv4::{
    FormFields, Policy, PostClaim, PostPolicy, Refusal, SigningKeys, UploadedForm,
};
use time::OffsetDateTime;
use time::macros::datetime;

/// The example of <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html>.
const POLICY: &str = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
const SIGNATURE: &str = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: OffsetDateTime = datetime!(2015-12-29 00:05:00 UTC);

fn fields(pairs: &[(&str, &str)]) -> FormFields {
    let mut fields = FormFields::default();
    for (name, value) in pairs {
        fields.push(name, (*value).to_owned()).unwrap();
    }
    fields
}

fn example() -> Vec<(&'static str, &'static str)> {
    vec![
        ("key", "user/user1/${filename}"),
        ("acl", "public-read"),
        (
            "success_action_redirect",
            "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
        ),
        ("Content-Type", "image/jpeg"),
        ("x-amz-meta-uuid", "14365123651274"),
        ("x-amz-server-side-encryption", "AES256"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20151229T000000Z"),
        ("x-amz-meta-tag", ""),
        ("Policy", POLICY),
        ("X-Amz-Signature", SIGNATURE),
    ]
}

fn verify(fields: &FormFields, secret: &str, now: OffsetDateTime) -> Result<PostPolicy, Refusal> {
    let claim = PostClaim::read(fields)?.unwrap();
    claim.verify(secret, now, &Policy::new("us-east-1"), &SigningKeys::new())
}

#[test]
fn the_documented_example_is_accepted() {
    let mut form = fields(&example());
    form.insert_file_name("me.jpg");
    let policy = verify(&form, SECRET, NOW).unwrap();
    let form = UploadedForm { bucket: "sigv4examplebucket", fields: &form };
    policy.check(form, NOW).unwrap();
    assert_eq!(form.fields.get("key"), Some("user/user1/me.jpg"));
    assert_eq!(policy.length_range(), None);
}

#[test]
fn what_differs_from_the_example_is_refused() {
    let replaced = |name: &str, value: &'static str| {
        let mut pairs = example();
        pairs.iter_mut().find(|pair| pair.0 == name).unwrap().1 = value;
        fields(&pairs)
    };
    let code = |fields: &FormFields, bucket: &str, now| {
        let policy = verify(fields, SECRET, NOW)?;
        policy.check(UploadedForm { bucket, fields }, now)
    };
    let bucket = "sigv4examplebucket";
    for (name, value) in [
        ("key", "other/x"),
        ("acl", "private"),
        ("Content-Type", "text/html"),
        ("Content-Type", "image/png,text/html"),
        ("x-amz-meta-uuid", "1"),
    ] {
        let refused = code(&replaced(name, value), bucket, NOW).unwrap_err();
        assert_eq!(refused.code(), "AccessDenied", "{name}: {value}");
        assert!(refused.to_string().contains("Policy Condition failed"), "{refused}");
    }
    assert!(code(&replaced("Content-Type", "image/png,image/gif"), bucket, NOW).is_ok());
    let form = fields(&example());
    assert!(code(&form, "other", NOW).unwrap_err().to_string().contains("bucket"));
    let late = datetime!(2015-12-30 12:00:01 UTC);
    assert!(code(&form, bucket, late).unwrap_err().to_string().contains("Policy expired"));
    let mut pairs = example();
    pairs.push(("x-amz-website-redirect-location", "/"));
    let refused = code(&fields(&pairs), bucket, NOW).unwrap_err();
    assert!(refused.to_string().contains("Extra input fields: x-amz-website"), "{refused}");
    pairs.pop();
    pairs.push(("x-ignore-this", "1"));
    assert!(code(&fields(&pairs), bucket, NOW).is_ok());
}

#[test]
fn signatures() {
    let form = fields(&example());
    assert_eq!(verify(&form, "other", NOW).unwrap_err().code(), "SignatureDoesNotMatch");
    let early = datetime!(2015-12-28 00:00:00 UTC);
    assert_eq!(verify(&form, SECRET, early).unwrap_err().code(), "AccessDenied");
    assert!(PostClaim::read(&fields(&[("key", "k")])).unwrap().is_none());
    for missing in ["Policy", "X-Amz-Signature", "X-Amz-Date", "X-Amz-Credential"] {
        let pairs: Vec<_> = example().into_iter().filter(|pair| pair.0 != missing).collect();
        let refused = PostClaim::read(&fields(&pairs)).unwrap_err();
        assert_eq!(refused.code(), "InvalidArgument", "{missing}");
    }
    let old = fields(&[("AWSAccessKeyId", "a"), ("policy", "p"), ("signature", "s")]);
    assert_eq!(PostClaim::read(&old).unwrap_err(), Refusal::SignatureV2);
    let mut twice = fields(&[("Key", "a")]);
    assert_eq!(twice.push("key", "b".to_owned()).unwrap_err().code(), "InvalidArgument");
    let foreign = Policy { enforce_region: true, ..Policy::new("eu-west-1") };
    let claim = PostClaim::read(&form).unwrap().unwrap();
    let refused = claim.verify(SECRET, NOW, &foreign, &SigningKeys::new()).unwrap_err();
    assert_eq!(refused.code(), "InvalidArgument");
}

fn policy(json: &str) -> Result<PostPolicy, Refusal> {
    PostPolicy::parse(&STANDARD.encode(json))
}

#[test]
fn policies() {
    let with = |conditions: &str| {
        policy(&format!(r#"{{"Expiration":"2030-01-01T00:00:00Z","conditions":[{conditions}]}}"#))
    };
    let ranges = with(r#"["content-length-range",1,100],["content-length-range","10",2000]"#);
    assert_eq!(ranges.unwrap().length_range(), Some((10, 100)));
    let status = with(r#"{"success_action_status":201}"#).unwrap();
    let form = fields(&[("success_action_status", "201")]);
    assert!(status.check(UploadedForm { bucket: "b", fields: &form }, NOW).is_ok());
    let absent = with(r#"["starts-with","$key",""]"#).unwrap();
    let form = FormFields::default();
    assert!(absent.check(UploadedForm { bucket: "b", fields: &form }, NOW).is_ok());
    for bad in [
        r#"["like","$key","x"]"#,
        r#"["eq","key","x"]"#,
        r#"["eq","$key"]"#,
        r#"{"a":"1","b":"2"}"#,
        r#"{"a":null}"#,
        r#"["content-length-range",-1,5]"#,
        r#""x""#,
    ] {
        assert_eq!(with(bad).unwrap_err().code(), "InvalidPolicyDocument", "{bad}");
    }
    for bad in ["", "[]", "{}", r#"{"expiration":"soon","conditions":[]}"#] {
        assert_eq!(policy(bad).unwrap_err().code(), "InvalidPolicyDocument", "{bad}");
    }
    assert!(PostPolicy::parse("%%%").is_err());
}

proptest! {
    #[test]
    fn no_policy_or_form_makes_it_panic(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = PostPolicy::parse(&text);
        let _ = PostPolicy::parse(&STANDARD.encode(&bytes));
        let _ = policy(&text);
        let mut form = FormFields::default();
        for name in ["policy", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-algorithm"] {
            form.push(name, text.clone()).unwrap();
        }
        let _ = PostClaim::read(&form);
    }
}

//! Policies of forms, and the fields beside them: one `name=value` a line, an empty line, the
//! policy's JSON.

use rowlock_sigv4::{FormFields, Policy, PostClaim, PostPolicy, SigningKeys, UploadedForm};
use serde_json::Value;
use time::OffsetDateTime;

const BUCKET: &str = "b";

/// No form is accepted that a condition of its policy forbids, or that has a field of which the
/// policy does not speak; and none that merely claims to be signed.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, json) = text.split_once("\n\n").unwrap_or(("", &text));
    let mut fields = FormFields::default();
    for line in head.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let known = fields.get(&name.trim().to_ascii_lowercase()).is_some();
        assert_eq!(fields.push(name, value.to_owned()).is_err(), known);
    }
    fields.insert_file_name("f");
    if let Ok(Some(claim)) = PostClaim::read(&fields) {
        let (now, policy) = (OffsetDateTime::UNIX_EPOCH, Policy::new("r"));
        let verified =
            claim.verify("a secret that no input can know", now, &policy, &SigningKeys::new());
        assert!(verified.is_err(), "a forgery is accepted");
    }
    let _ = PostPolicy::parse(&text);
    let Ok(policy) = PostPolicy::from_json(json.as_bytes()) else { return };
    let form = UploadedForm { bucket: BUCKET, fields: &fields };
    let document: Value = serde_json::from_str(json).unwrap_or_default();
    let end_of_time = time::PrimitiveDateTime::MAX.assume_utc();
    let ended = policy.check(form, end_of_time).is_err();
    assert!(ended || document.to_string().contains("9999-12-31"), "a policy never ends");
    if policy.check(form, OffsetDateTime::UNIX_EPOCH).is_err() {
        return;
    }
    let Some(list) = conditions(&document) else { return };
    let mut named = Vec::new();
    for condition in list {
        assert!(holds(condition, &fields, &policy, &mut named), "{condition} forbids it");
    }
    for (name, _) in fields.iter() {
        let free = ["policy", "x-amz-signature", "file", "submit"].contains(&name);
        assert!(free || name.starts_with("x-ignore-") || named.iter().any(|n| n == name), "{name}");
    }
}

/// The list, where the document has just one member of that name.
fn conditions(document: &Value) -> Option<&Vec<Value>> {
    let members = document.as_object()?;
    let mut lists = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("conditions"));
    let (_, list) = lists.next()?;
    lists.next().is_none().then_some(list)?.as_array()
}

/// A second reading of AWS's rules, as literal as can be.
fn holds(
    condition: &Value,
    fields: &FormFields,
    policy: &PostPolicy,
    named: &mut Vec<String>,
) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut field = |name: &str| {
        let name = name.to_ascii_lowercase();
        let value = if name == "bucket" { Some(BUCKET) } else { fields.get(&name) };
        named.push(name);
        value.map(str::to_owned)
    };
    if let Value::Object(members) = condition {
        return members.iter().all(|(name, value)| field(name) == Some(text(value)));
    }
    let (kind, first, second) = (text(&condition[0]), text(&condition[1]), text(&condition[2]));
    match kind.to_ascii_lowercase().as_str() {
        "content-length-range" => policy.length_range().is_some_and(|(least, most)| {
            first.parse().is_ok_and(|from: u64| least >= from)
                && second.parse().is_ok_and(|to: u64| most <= to)
        }),
        "eq" => field(first.strip_prefix('$').unwrap_or_default()) == Some(second),
        "starts-with" => {
            let value = field(first.strip_prefix('$').unwrap_or_default()).unwrap_or_default();
            let list = first.eq_ignore_ascii_case("$content-type");
            let mut values: Vec<&str> = value.split(',').map(str::trim_start).collect();
            if !list {
                values = vec![&value];
            }
            values.iter().all(|value| value.starts_with(&second))
        }
        _ => false,
    }
}

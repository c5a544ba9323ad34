use serde_json::Value;

use crate::Refusal;

/// One condition of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// The field has this value.
    Equals(String, String),
    /// The field's value begins so; for `Content-Type`, each of a comma-separated list does.
    StartsWith(String, String),
    /// The file has from so many to so many bytes.
    Length(u64, u64),
}

impl Condition {
    /// Reads one member of the list; a simple condition may name several fields.
    pub(super) fn parse(value: &Value, out: &mut Vec<Self>) -> Result<(), Refusal> {
        let malformed = || Refusal::InvalidPolicyDocument("a condition cannot be read");
        match value {
            Value::Object(pairs) if pairs.len() == 1 => {
                for (name, value) in pairs {
                    let value = text(value).ok_or_else(malformed)?;
                    out.push(Self::Equals(name.to_ascii_lowercase(), value));
                }
                Ok(())
            }
            Value::Array(parts) => {
                let [kind, first, second] = parts.as_slice() else { return Err(malformed()) };
                let kind = kind.as_str().ok_or_else(malformed)?.to_ascii_lowercase();
                if kind == "content-length-range" {
                    let from = number(first).ok_or_else(malformed)?;
                    out.push(Self::Length(from, number(second).ok_or_else(malformed)?));
                    return Ok(());
                }
                let name = first.as_str().and_then(|name| name.strip_prefix('$'));
                let name = name.ok_or_else(malformed)?.to_ascii_lowercase();
                let value = text(second).ok_or_else(malformed)?;
                out.push(match kind.as_str() {
                    "eq" => Self::Equals(name, value),
                    "starts-with" => Self::StartsWith(name, value),
                    _ => return Err(malformed()),
                });
                Ok(())
            }
            _ => Err(malformed()),
        }
    }

    /// The field that it speaks of.
    pub(super) fn field(&self) -> Option<&str> {
        match self {
            Self::Equals(name, _) | Self::StartsWith(name, _) => Some(name),
            Self::Length(..) => None,
        }
    }

    /// Whether a field's value fits; a missing field counts as empty.
    pub(super) fn fits(&self, value: Option<&str>) -> bool {
        match self {
            Self::Equals(_, wanted) => value == Some(wanted),
            Self::StartsWith(name, start) => {
                let value = value.unwrap_or_default();
                if name == "content-type" {
                    value.split(',').all(|one| one.trim_start().starts_with(start.as_str()))
                } else {
                    value.starts_with(start.as_str())
                }
            }
            Self::Length(..) => true,
        }
    }

    /// The condition as S3's errors show it.
    pub(super) fn shown(&self) -> String {
        let list = |kind: &str, name: &str, value: &str| {
            serde_json::json!([kind, format!("${name}"), value]).to_string()
        };
        match self {
            Self::Equals(name, value) => list("eq", name, value),
            Self::StartsWith(name, value) => list("starts-with", name, value),
            Self::Length(from, to) => {
                serde_json::json!(["content-length-range", from, to]).to_string()
            }
        }
    }
}

/// Numbers and booleans are taken for their text: generators of policies write
/// `{"success_action_status": 201}`.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

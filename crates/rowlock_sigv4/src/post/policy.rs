use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::FormFields;
use super::condition::Condition;
use crate::Refusal;

/// More than this no policy needs to say (S3 refuses forms of more than 20 KB before their file).
const MAX_POLICY: usize = 20 * 1024;

/// What a form may hold, and until when.
#[derive(Debug, Clone)]
pub struct PostPolicy {
    expiration: OffsetDateTime,
    conditions: Vec<Condition>,
}

/// A form as it came: the bucket of its URL, and its fields with the file's name inserted.
#[derive(Debug, Clone, Copy)]
pub struct UploadedForm<'a> {
    /// The bucket that it was sent to.
    pub bucket: &'a str,
    /// Its fields.
    pub fields: &'a FormFields,
}

/// Fields that need no condition: those of the signature, and the file.
const UNCONDITIONAL: [&str; 4] = ["x-amz-signature", "policy", "file", "submit"];

impl PostPolicy {
    /// Reads a policy from base64.
    ///
    /// # Errors
    /// [`Refusal::InvalidPolicyDocument`].
    pub fn parse(base64: &str) -> Result<Self, Refusal> {
        let invalid = Refusal::InvalidPolicyDocument;
        if base64.len() > MAX_POLICY {
            return Err(invalid("it is too long"));
        }
        // Line ends: some generators wrap their base64.
        let compact: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let bytes = STANDARD.decode(compact).map_err(|_| invalid("it is no base64"))?;
        Self::from_json(&bytes)
    }

    /// Reads a policy's JSON.
    ///
    /// # Errors
    /// [`Refusal::InvalidPolicyDocument`].
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        let invalid = Refusal::InvalidPolicyDocument;
        let document: Value = serde_json::from_slice(json).map_err(|_| invalid("Invalid JSON."))?;
        let Value::Object(document) = document else { return Err(invalid("Invalid JSON.")) };
        // The names of the two members are not told apart by case.
        let member = |name: &str| {
            document.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let expiration = member("expiration")
            .and_then(Value::as_str)
            .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
            .ok_or(invalid("Policy missing expiration."))?;
        let Some(Value::Array(list)) = member("conditions") else {
            return Err(invalid("Policy missing conditions."));
        };
        let mut conditions = Vec::with_capacity(list.len());
        for value in list {
            Condition::parse(value, &mut conditions)?;
        }
        Ok(Self { expiration, conditions })
    }

    /// Checks a form against the policy: its end, every condition, and that every field has one.
    ///
    /// # Errors
    /// [`Refusal::AgainstPolicy`].
    pub fn check(&self, form: UploadedForm<'_>, now: OffsetDateTime) -> Result<(), Refusal> {
        let against = |why: String| Err(Refusal::AgainstPolicy(why));
        if now > self.expiration {
            return against("Policy expired.".to_owned());
        }
        let value = |name: &str| match name {
            "bucket" => Some(form.bucket),
            name => form.fields.get(name),
        };
        let failed =
            self.conditions.iter().find(|c| c.field().is_some_and(|name| !c.fits(value(name))));
        if let Some(condition) = failed {
            return against(format!("Policy Condition failed: {}", condition.shown()));
        }
        let covered = |name: &str| self.conditions.iter().any(|c| c.field() == Some(name));
        let extra = form.fields.iter().map(|(name, _)| name).find(|name| {
            !covered(name) && !UNCONDITIONAL.contains(name) && !name.starts_with("x-ignore-")
        });
        match extra {
            Some(name) => against(format!("Extra input fields: {name}")),
            None => Ok(()),
        }
    }

    /// How many bytes the file may have: at least and at most, where the policy says it. Several
    /// ranges bind together.
    pub fn length_range(&self) -> Option<(u64, u64)> {
        self.conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Length(from, to) => Some((*from, *to)),
                _ => None,
            })
            .reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)))
    }
}

//! Uploads by an HTML form: a policy says what the form may hold, and the policy is signed
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>).

mod claim;
mod condition;
mod policy;

pub use claim::PostClaim;
pub use policy::{PostPolicy, UploadedForm};

use crate::Refusal;

/// The fields of a form in front of its file: names in lower case, values as text. None is there
/// twice, so that a policy and whoever obeys the form read the same value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// Adds a field as it came.
    ///
    /// # Errors
    /// [`Refusal::DuplicateFormField`].
    pub fn push(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let name = name.trim().to_ascii_lowercase();
        if self.get(&name).is_some() {
            return Err(Refusal::DuplicateFormField(name));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// The value of the field `name`, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All fields, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Puts the file's name where the key says `${filename}`. Policies judge the key after that.
    pub fn insert_file_name(&mut self, file_name: &str) {
        for (name, value) in &mut self.0 {
            if name == "key" {
                *value = value.replace("${filename}", file_name);
            }
        }
    }
}

impl std::fmt::Debug for FormFields {
    /// Leaves the values out: signatures and tokens are among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

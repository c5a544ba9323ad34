//! DeleteObjects (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>).

use axum::body::Body;
use http::Response;
use rowlock_storage::{DeleteCondition, DeleteOutcome, MissingRight};
use rowlock_types::{KeyRules, ObjectKey};

use super::S3Service;
use super::body::RequestBody;
use super::conditions;
use super::error::{S3Error, code};
use super::request::{S3Request, no_such_version};
use super::response::xml;
use super::xml::{Element, Xml, parse};

/// Room for a thousand keys of a thousand bytes each, every one of them escaped.
const MAX_BODY: usize = 8 * 1024 * 1024;
pub(crate) const MAX_KEYS: usize = 1000;

pub(crate) async fn handle(
    s3: &S3Service,
    request: &S3Request,
    body: &mut RequestBody,
) -> Result<Response<Body>, S3Error> {
    let bucket = request.bucket()?;
    let delete = Delete::parse(&body.collect(MAX_BODY).await?)?;
    let keys: Vec<ObjectKey> = delete.unconditional().cloned().collect();
    let (storage, context) = (s3.storage(), request.context());
    let mut done = storage.delete_objects(&context, &bucket, &keys).await?.into_iter();
    let mut outcomes = Vec::with_capacity(delete.entries.len());
    for entry in &delete.entries {
        outcomes.push(match (&entry.key, &entry.condition) {
            (Err(error), _) => Err((error.code(), error.message().to_owned())),
            (Ok(_), None) => done.next().map_or_else(|| Err(internal()), judge),
            (Ok(key), Some(condition)) => {
                match storage.delete_object_if(&context, &bucket, key, condition).await {
                    Ok(outcome) => judge(outcome),
                    Err(error) => {
                        let error = S3Error::from(error);
                        error.log(&request.ids);
                        Err((error.code(), error.message().to_owned()))
                    }
                }
            }
        });
    }
    Ok(xml(render(&delete, &outcomes)))
}

/// What became of one entry: its error has a code and a message.
type Outcome = Result<(), (&'static str, String)>;

fn judge(outcome: DeleteOutcome) -> Outcome {
    match outcome {
        DeleteOutcome::Deleted => Ok(()),
        DeleteOutcome::AccessDenied => {
            let right = MissingRight::DeleteObject;
            Err((code::ACCESS_DENIED.0, format!("Access Denied: {right}")))
        }
    }
}

fn internal() -> (&'static str, String) {
    (code::INTERNAL_ERROR.0, "We encountered an internal error.".to_owned())
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct Delete {
    quiet: bool,
    pub(crate) entries: Vec<Entry>,
}

/// One of its objects: the name as it was sent, and the key, or why there is none.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    version: Option<String>,
    pub(crate) key: Result<ObjectKey, S3Error>,
    condition: Option<DeleteCondition>,
}

impl Delete {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, S3Error> {
        let root = parse(body, "Delete")?;
        let entries: Vec<Entry> = root.all("Object").map(Entry::read).collect::<Result<_, _>>()?;
        if entries.is_empty() || entries.len() > MAX_KEYS {
            return Err(S3Error::malformed_xml());
        }
        let quiet = root.child("Quiet").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Ok(Self { quiet, entries })
    }

    /// The keys that are deleted whatever lies under them.
    fn unconditional(&self) -> impl Iterator<Item = &ObjectKey> {
        let free = self.entries.iter().filter(|entry| entry.condition.is_none());
        free.filter_map(|entry| entry.key.as_ref().ok())
    }
}

impl Entry {
    fn read(element: &Element) -> Result<Self, S3Error> {
        let name = element.verbatim("Key").ok_or_else(S3Error::malformed_xml)?;
        let version = element.child("VersionId").filter(|version| !version.is_empty());
        let condition = element.child("ETag").map(conditions::of_deleted_tag).transpose()?;
        // Conditions of directory buckets: to delete whatever is there would be worse.
        let unknown = ["LastModifiedTime", "Size"].iter().any(|tag| element.child(tag).is_some());
        let key = match version {
            Some(version) if version != "null" => Err(no_such_version(version)),
            _ if unknown => Err(S3Error::new(
                code::NOT_IMPLEMENTED,
                "Deletes on condition of a time or a size are not implemented; nothing was deleted",
            )),
            _ => ObjectKey::new(name, KeyRules::Utf8).map_err(S3Error::from),
        };
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned), key, condition })
    }
}

/// `outcomes`: of the entries, in order.
fn render(delete: &Delete, outcomes: &[Outcome]) -> Xml {
    let mut out = Xml::new("DeleteResult");
    for (Entry { name, version, .. }, outcome) in delete.entries.iter().zip(outcomes) {
        match outcome {
            Ok(()) if delete.quiet => {}
            Ok(()) => {
                out.open("Deleted").text("Key", name);
                out.optional("VersionId", version.as_deref()).close();
            }
            Err((code, message)) => {
                out.open("Error").text("Key", name);
                out.optional("VersionId", version.as_deref());
                out.text("Code", code).text("Message", message).close();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_each_key_in_order() {
        let body = br#"<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a</Key></Object><Object><Key> b </Key><VersionId>null</VersionId></Object><Object><Key>c</Key><VersionId>7</VersionId></Object><Object><Key>../x</Key></Object><Object><Key>d</Key><Size>5</Size></Object></Delete>"#;
        let delete = Delete::parse(body).unwrap();
        let denied = judge(DeleteOutcome::AccessDenied);
        let failed = |entry: &Entry| {
            let error = entry.key.as_ref().map(|_| ()).unwrap_err();
            Err((error.code(), error.message().to_owned()))
        };
        let others = delete.entries[2..].iter().map(failed);
        let outcomes: Vec<Outcome> = [Ok(()), denied].into_iter().chain(others).collect();
        let text = render(&delete, &outcomes).finish();
        for part in [
            "<Deleted><Key>a</Key></Deleted>",
            "<Error><Key> b </Key><VersionId>null</VersionId><Code>AccessDenied</Code><Message>Access Denied: no policy for DELETE on storage.objects lets you delete this object</Message></Error>",
            "<Error><Key>c</Key><VersionId>7</VersionId><Code>NoSuchVersion</Code>",
            "<Error><Key>../x</Key><Code>InvalidKey</Code>",
            "<Error><Key>d</Key><Code>NotImplemented</Code>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn quiet_tells_failures_only() {
        let body = b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>";
        let delete = Delete::parse(body).unwrap();
        let outcomes = [Ok(()), judge(DeleteOutcome::AccessDenied)];
        let text = render(&delete, &outcomes).finish();
        assert!(!text.contains("<Deleted>") && text.contains("<Error><Key>b</Key>"), "{text}");
    }

    #[test]
    fn entity_tags_are_conditions() {
        let body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key><ETag>\"e\"</ETag></Object></Delete>";
        let delete = Delete::parse(body).unwrap();
        let free: Vec<_> = delete.unconditional().map(ObjectKey::as_str).collect();
        assert_eq!(free, ["a"]);
        let condition = DeleteCondition::Matches(vec![rowlock_types::ETag::new("e")]);
        assert_eq!(delete.entries[1].condition, Some(condition));
    }

    #[test]
    fn bodies_have_limits() {
        let many = |n: usize| {
            let objects = "<Object><Key>k</Key></Object>".repeat(n);
            Delete::parse(format!("<Delete>{objects}</Delete>").as_bytes())
        };
        assert_eq!(many(1000).unwrap().entries.len(), 1000);
        for bad in [many(0), many(1001), Delete::parse(b"<Delete><Object/></Delete>")] {
            assert_eq!(bad.unwrap_err().code(), "MalformedXML");
        }
    }
}

//! Where a blob lies. Every path here is relative to the root folder, so that moving the root, or
//! giving it a longer name, changes no blob's place.

use super::{FileSettings, OpenError, Separator};
use crate::{BlobKey, MultipartBlob};
use rowlock_types::Version;

/// The longest name of a file or folder in bytes (`NAME_MAX` of every common file system).
const NAME_MAX: usize = 255;
/// The folder, beside the tenants, that is the store's own.
const OWN: &str = ".rowlock";
/// Where, in the root bucket, files are kept that a scrub has moved away: below the folder that the
/// reference keeps what it found without a row in.
const QUARANTINE: &str = "__internal/quarantine";
/// The folder of running multipart uploads, beside the root bucket.
pub(super) const MULTIPARTS: &str = "multiparts";

/// The names that all paths begin with.
#[derive(Debug)]
pub(super) struct Layout {
    /// `<root bucket>/<tenant>`
    tenant: String,
    /// `<root bucket>/.rowlock/tmp`
    pub(super) tmp: String,
    /// `<root bucket>/.rowlock/growing/<tenant>`
    growing: String,
    /// `<root bucket>/.rowlock/long`
    long: String,
    /// The tenant's name alone.
    tenant_name: String,
    separator: Separator,
}

/// A file's place: a folder that may have to be made, and a name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    path: String,
    folder: usize,
    floor: usize,
}

impl Place {
    /// `floor` is the length of the prefix of `path` that is never removed.
    fn new(path: String, floor: usize) -> Self {
        let folder = path.rfind('/').unwrap_or(0);
        Self { path, folder, floor }
    }

    /// The whole path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of the folder that holds the file.
    pub(super) fn folder(&self) -> &str {
        &self.path[..self.folder]
    }

    /// The folder above which (and itself included) nothing is removed when it gets empty.
    pub(super) fn floor(&self) -> &str {
        &self.path[..self.floor]
    }
}

impl Layout {
    pub(super) fn new(settings: &FileSettings) -> Result<Self, OpenError> {
        let segment = |name: &str| {
            !name.is_empty()
                && name.len() <= NAME_MAX
                && !name.contains(['/', '\0'])
                && name != "."
                && name != ".."
                && name != OWN
        };
        if !segment(&settings.tenant) {
            return Err(OpenError::Tenant);
        }
        if !segment(&settings.root_bucket) || settings.root_bucket == MULTIPARTS {
            return Err(OpenError::RootBucket);
        }
        let root_bucket = &settings.root_bucket;
        Ok(Self {
            tenant: format!("{root_bucket}/{}", settings.tenant),
            tmp: format!("{root_bucket}/{OWN}/tmp"),
            growing: format!("{root_bucket}/{OWN}/growing/{}", settings.tenant),
            long: format!("{root_bucket}/{OWN}/long"),
            tenant_name: settings.tenant.clone(),
            separator: settings.separator,
        })
    }

    /// The place that the reference uses, or the [`Layout::aside`] of keys that no file system
    /// can hold there.
    ///
    /// Empty segments vanish (`a//b` lies where `a/b` does) as in the reference; the version,
    /// unique to one write, keeps such keys apart.
    pub(super) fn blob(&self, blob: &BlobKey) -> Place {
        let mut path = String::with_capacity(
            self.tenant.len() + blob.bucket.as_str().len() + blob.key.as_str().len() + 48,
        );
        path.push_str(&self.tenant);
        path.push('/');
        path.push_str(blob.bucket.as_str());
        let bucket = path.len();
        let mut fits = true;
        for segment in blob.key.as_str().split('/').filter(|segment| !segment.is_empty()) {
            path.push('/');
            path.push_str(segment);
            fits &= segment.len() <= NAME_MAX;
        }
        match (self.separator, blob.version) {
            (Separator::Slash, Some(version)) => {
                path.push('/');
                path.push_str(&version.to_string());
            }
            (Separator::DashV, Some(version)) => {
                // A key that ends in `/` (or has nothing else) gets a file of its own in there.
                if blob.key.is_folder() {
                    path.push('/');
                }
                path.push_str("-$v-");
                path.push_str(&version.to_string());
                let name = path.len() - path.rfind('/').map_or(0, |slash| slash + 1);
                fits &= name <= NAME_MAX;
            }
            // The key `/` has no name of its own: the place would be the bucket's folder.
            (_, None) => fits &= path.len() > bucket,
        }
        if fits { Place::new(path, self.tenant.len()) } else { self.aside(blob) }
    }

    /// The place of blobs whose own place cannot be had: names over 255 bytes, a file where a
    /// folder would have to be, and version-less files that were moved out of the way.
    pub(super) fn aside(&self, blob: &BlobKey) -> Place {
        let name = blob.version.map_or_else(|| "null".to_owned(), |version| version.to_string());
        self.aside_name(blob.bucket.as_str(), blob.key.as_str(), &name)
    }

    /// The place to which the version-less file of `key` is moved; `key` may be any spelling of
    /// it, since version-less keys that differ in empty segments share one file.
    pub(super) fn aside_null(&self, bucket: &str, key: &str) -> Place {
        self.aside_name(bucket, key, "null")
    }

    fn aside_name(&self, bucket: &str, key: &str, name: &str) -> Place {
        let mut named = bucket.to_owned();
        for segment in key.split('/').filter(|segment| !segment.is_empty()) {
            named.push('/');
            named.push_str(segment);
        }
        let hash = hex::encode(rowlock_digest::sha256(named.as_bytes()));
        Place::new(format!("{}/{}/{hash}/{name}", self.long, self.tenant_name), self.long.len())
    }

    /// A fresh name for a temporary file.
    pub(super) fn tmp_name(&self) -> String {
        format!("{}/{}", self.tmp, uuid::Uuid::new_v4())
    }

    /// The place of a blob that grows; its folder stays.
    pub(super) fn growing(&self, version: Version) -> Place {
        Place::new(format!("{}/{version}", self.growing), self.growing.len())
    }

    /// The folder of the tenant's blobs that grow.
    pub(super) fn growing_of_tenant(&self) -> &str {
        &self.growing
    }

    /// The folder of the tenant's buckets.
    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The folder of the tenant's blobs that lie aside.
    pub(super) fn long_of_tenant(&self) -> String {
        format!("{}/{}", self.long, self.tenant_name)
    }

    /// Where a file lies that may go to quarantine, and where it goes; `None` for what is neither
    /// a blob's place nor one aside.
    pub(super) fn quarantine(&self, path: &str) -> Option<(Place, Place)> {
        let whole = path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        let long = self.long_of_tenant();
        let below = |folder: &str| {
            path.strip_prefix(folder)?.strip_prefix('/').filter(|rest| rest.contains('/'))
        };
        let floor = if below(&self.tenant).is_some() {
            self.tenant.len()
        } else {
            below(&long).map(|_| self.long.len())?
        };
        let (root_bucket, rest) = path.split_once('/')?;
        let kept = format!("{root_bucket}/{QUARANTINE}");
        let floor_kept = kept.len();
        whole.then(|| {
            (Place::new(path.to_owned(), floor), Place::new(format!("{kept}/{rest}"), floor_kept))
        })
    }

    /// Splits the path of something inside a bucket into the bucket and the rest.
    pub(super) fn bucket_and_key<'a>(&self, path: &'a str) -> Option<(&'a str, &'a str)> {
        path.strip_prefix(&self.tenant)?.strip_prefix('/')?.split_once('/')
    }

    /// One part of a multipart upload; `None` when the upload's id is none of this store's.
    pub(super) fn part(&self, upload: &MultipartBlob, number: u32) -> Option<Place> {
        self.upload_file(upload, &format!("part-{number}"))
    }

    /// The file of an upload from which the reference takes the attributes.
    pub(super) fn multipart_metadata(&self, upload: &MultipartBlob) -> Option<Place> {
        self.upload_file(upload, "metadata.json")
    }

    fn upload_file(&self, upload: &MultipartBlob, name: &str) -> Option<Place> {
        // Ids are UUIDs here, by the reference's hand or ours. Those of a service may hold anything,
        // and come from clients and rows: no other form becomes a path.
        let id = upload.upload_id.as_str();
        uuid::Uuid::try_parse(id).ok().filter(|uuid| uuid.to_string() == id)?;
        let blob = self.blob(&upload.blob);
        Some(Place::new(format!("{MULTIPARTS}/{id}/{}/{name}", blob.path()), MULTIPARTS.len()))
    }
}

/// Whether a file of this name may be some object's versioned blob, or a resumable upload's state
/// beside it: by either separator, since a deployment may have changed it.
pub(super) fn may_be_versioned(name: &str) -> bool {
    let name = name.strip_suffix(".json").or_else(|| name.strip_suffix(".info")).unwrap_or(name);
    let tail = name.len().checked_sub(36).and_then(|start| name.get(start..));
    tail.is_some_and(|tail| Version::parse(tail).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rowlock_types::{BucketName, KeyRules, ObjectKey, UploadId};
    use std::path::PathBuf;

    fn settings(separator: Separator) -> FileSettings {
        FileSettings {
            root: PathBuf::from("/nowhere"),
            root_bucket: "stub".into(),
            tenant: "ten".into(),
            separator,
        }
    }

    fn layout(separator: Separator) -> Layout {
        Layout::new(&settings(separator)).unwrap()
    }

    const V: &str = "8556a18b-0258-4c57-a46a-3ab841478cbf";

    fn blob(bucket: &str, key: &str, version: Option<&str>) -> BlobKey {
        BlobKey {
            bucket: BucketName::existing(bucket).unwrap(),
            key: ObjectKey::new(key, KeyRules::Utf8).unwrap(),
            version: version.map(|v| Version::parse(v).unwrap()),
        }
    }

    #[test]
    fn places_are_the_references() {
        let slash = layout(Separator::Slash);
        let dash = layout(Separator::DashV);
        for (key, at_slash, at_dash) in [
            ("p.txt", format!("p.txt/{V}"), format!("p.txt-$v-{V}")),
            ("a//zz", format!("a/zz/{V}"), format!("a/zz-$v-{V}")),
            ("/lead", format!("lead/{V}"), format!("lead-$v-{V}")),
            ("tail/", format!("tail/{V}"), format!("tail/-$v-{V}")),
            ("/", V.to_owned(), format!("-$v-{V}")),
            ("ünï 日本", format!("ünï 日本/{V}"), format!("ünï 日本-$v-{V}")),
        ] {
            let blob = blob("b3", key, Some(V));
            assert_eq!(slash.blob(&blob).path(), format!("stub/ten/b3/{at_slash}"));
            assert_eq!(dash.blob(&blob).path(), format!("stub/ten/b3/{at_dash}"));
            assert_eq!(slash.blob(&blob).floor(), "stub/ten");
        }
        assert_eq!(slash.blob(&blob("b3", "a//b", None)).path(), "stub/ten/b3/a/b");
        assert_eq!(slash.blob(&blob("b3", "a/", None)).folder(), "stub/ten/b3");
        assert!(slash.blob(&blob("b3", "/", None)).path().starts_with("stub/.rowlock/long/ten/"));
    }

    #[test]
    fn names_over_255_bytes_go_aside() {
        let bytes_255 = format!("{}a", "é".repeat(127));
        let slash = layout(Separator::Slash);
        let near = slash.blob(&blob("b", &format!("x/{bytes_255}"), Some(V)));
        assert_eq!(near.path(), format!("stub/ten/b/x/{bytes_255}/{V}"));
        let far = slash.blob(&blob("b", &format!("x/{bytes_255}b/y"), Some(V)));
        let hash = hex::encode(rowlock_digest::sha256(format!("b/x/{bytes_255}b/y").as_bytes()));
        assert_eq!(far.path(), format!("stub/.rowlock/long/ten/{hash}/{V}"));
        assert_eq!(far.floor(), "stub/.rowlock/long");

        let dash = layout(Separator::DashV);
        let aside = |len: usize| dash.blob(&blob("b", &"k".repeat(len), Some(V)));
        assert!(aside(215).path().starts_with("stub/ten/"));
        assert!(aside(216).path().starts_with("stub/.rowlock/long/ten/"));
    }

    #[test]
    fn what_grows_lies_where_no_key_and_no_sweep_comes() {
        let layout = layout(Separator::Slash);
        let place = layout.growing(Version::parse(V).unwrap());
        assert_eq!(place.path(), format!("stub/.rowlock/growing/ten/{V}"));
        assert_eq!(place.folder(), layout.growing_of_tenant());
        assert_eq!(place.floor(), place.folder(), "the folder stays");
        assert!(!place.path().starts_with(&layout.tmp));
    }

    #[test]
    fn uploads_lie_under_their_own_id() {
        const ID: &str = "0192f0c1-7a5e-7c3b-9a51-2b1f1d7e4a10";
        let upload = |id: &str| MultipartBlob {
            upload_id: UploadId::parse(id).unwrap(),
            blob: blob("b3", "d/p.txt", Some(V)),
        };
        let layout = layout(Separator::Slash);
        let part = layout.part(&upload(ID), 7).unwrap();
        assert_eq!(part.path(), format!("multiparts/{ID}/stub/ten/b3/d/p.txt/{V}/part-7"));
        assert_eq!(part.floor(), "multiparts");
        let above = format!("../{ID}");
        let below = format!("{ID}/..");
        let upper = ID.to_uppercase();
        for id in
            [".", "..", "/", "\\", "2f0c", "a/b+c==", &above, &below, &upper, &"u".repeat(256)]
        {
            assert_eq!(layout.part(&upload(id), 1), None, "{id}");
            assert_eq!(layout.multipart_metadata(&upload(id)), None, "{id}");
        }
    }

    #[test]
    fn names_that_would_mix_with_ours_are_refused() {
        for bad in ["", ".", "..", ".rowlock", "a/b", "a\0", &"t".repeat(256)] {
            let tenant = FileSettings { tenant: bad.into(), ..settings(Separator::Slash) };
            assert!(matches!(Layout::new(&tenant), Err(OpenError::Tenant)), "{bad:?}");
            let bucket = FileSettings { root_bucket: bad.into(), ..settings(Separator::Slash) };
            assert!(matches!(Layout::new(&bucket), Err(OpenError::RootBucket)), "{bad:?}");
        }
        let bucket =
            FileSettings { root_bucket: "multiparts".into(), ..settings(Separator::Slash) };
        assert!(matches!(Layout::new(&bucket), Err(OpenError::RootBucket)));
    }

    #[test]
    fn versioned_names_are_recognised() {
        for yes in [V.to_owned(), format!("{V}.json"), format!("{V}.info"), format!("a-$v-{V}")] {
            assert!(may_be_versioned(&yes), "{yes}");
        }
        for no in ["a", "", "8556a18b", "é8556a18b-0258-4c57-a46a-3ab841478cb", &format!("{V}x")] {
            assert!(!may_be_versioned(no), "{no}");
        }
    }

    fn keys() -> impl Strategy<Value = String> {
        let segment = prop_oneof![
            Just(String::new()),
            Just(".rowlock".to_owned()),
            Just("...".to_owned()),
            Just(V.to_owned()),
            "[a-c]{1,3}",
            "\\PC{1,12}",
            "[a-b]{214,216}",
            "[a-b]{250,300}",
        ];
        proptest::collection::vec(segment, 1..6).prop_map(|segments| segments.join("/"))
    }

    proptest! {
        #[test]
        fn no_key_leaves_its_bucket_or_meets_another(
            a in keys(), b in keys(), dash: bool, versioned: bool,
        ) {
            let make = |key: &str| ObjectKey::new(key, KeyRules::Utf8);
            let (Ok(key_a), Ok(key_b)) = (make(&a), make(&b)) else { return Ok(()) };
            let layout = layout(if dash { Separator::DashV } else { Separator::Slash });
            let at = |key: &ObjectKey| {
                layout.blob(&BlobKey { key: key.clone(), ..blob("buck", "k", versioned.then_some(V)) })
            };
            for place in [at(&key_a), at(&key_b)] {
                let path = place.path();
                prop_assert!(path.starts_with("stub/ten/buck/") || path.starts_with("stub/.rowlock/long/ten/"));
                prop_assert!(path.split('/').all(|s| !s.is_empty() && s != "." && s != ".." && s.len() <= 255));
                prop_assert!(path.len() < 4096);
                prop_assert!(place.folder().len() > place.floor().len());
            }
            let squeezed = |key: &str| {
                key.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            if squeezed(&a) == squeezed(&b) {
                // With the dash, a trailing slash makes a difference.
                prop_assert!(dash || at(&key_a) == at(&key_b));
            } else {
                prop_assert_ne!(at(&key_a), at(&key_b));
            }
        }
    }
}

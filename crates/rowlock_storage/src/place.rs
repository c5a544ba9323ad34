//! Which rows share a blob.
//!
//! Names that differ only in repeated slashes have one path on files. A row without a version has
//! its bare name as its path, which may be what another row's name and version come to: with a
//! slash between them, or with `-$v-` where the deployment separates them so. Whoever may INSERT
//! can write any such row, so all of them count as one place, whatever the store.

use rowlock_types::Version;

/// What stands between name and version where `TUS_USE_FILE_VERSION_SEPARATOR` is set.
const DASHED: &str = "-$v-";

/// Where a row's blob is: rows of equal paths share it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The name, without a version that hides in it.
    pub(crate) name: &'a str,
    /// The version, the row's own or the hidden one.
    pub(crate) version: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub(crate) fn of(name: &'a str, version: Option<&'a str>) -> Self {
        match version {
            Some(_) => Self { name, version },
            None => hidden(name).unwrap_or(Self { name, version: None }),
        }
    }

    /// The first segment that is not empty: all rows of one place have the same.
    pub(crate) fn first_segment(&self) -> &'a str {
        self.name.split('/').find(|segment| !segment.is_empty()).unwrap_or("")
    }

    pub(crate) fn path(&self) -> String {
        let segments = self.name.split('/').filter(|segment| !segment.is_empty());
        segments.chain(self.version).collect::<Vec<_>>().join("/")
    }
}

/// The name and version whose blob a row without a version would take for its own.
pub(crate) fn hidden(name: &str) -> Option<Place<'_>> {
    let name = name.trim_end_matches('/');
    let split = |(name, version)| {
        Version::parse(version).ok().map(|_| Place { name, version: Some(version) })
    };
    // A name of slashes alone has nothing before its version.
    let parts = name.rsplit_once('/').unwrap_or(("", name));
    name.rsplit_once(DASHED).and_then(split).or_else(|| split(parts))
}

#[cfg(test)]
mod tests {
    use super::Place;

    const V: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn rows_that_share_a_path_are_told() {
        let victim = Place::of("a/zz", Some(V)).path();
        for (name, version) in [
            ("a//zz", Some(V)),
            ("/a/zz/", Some(V)),
            (&*format!("a/zz/{V}"), None),
            (&*format!("a//zz//{V}/"), None),
            (&*format!("a/zz-$v-{V}"), None),
        ] {
            let place = Place::of(name, version);
            assert_eq!((place.path(), place.first_segment()), (victim.clone(), "a"), "{name}");
        }
        assert_eq!(Place::of(V, None).path(), Place::of("/", Some(V)).path());
        assert_eq!(Place::of(V, None).version, Some(V));
        assert_ne!(Place::of("a/zy", Some(V)).path(), victim);
        assert_ne!(Place::of("a/zz", None).path(), victim);
    }

    #[test]
    fn the_first_segment_is_without_the_hidden_version() {
        assert_eq!(Place::of(&format!("zz-$v-{V}"), None).first_segment(), "zz");
        assert_eq!(Place::of("//a/b//", None).first_segment(), "a");
        assert_eq!(Place::of("zz-$v-not-a-version", None).first_segment(), "zz-$v-not-a-version");
    }
}

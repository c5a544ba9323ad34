//! Multipart uploads: parts are files in a folder of the upload's own.

use super::Inner;
use super::copy::{self, Source};
use super::folders::Target;
use super::sys::failed;
use super::temp::Temp;
use crate::{BlobAttributes, BlobKey, Error, MultipartBlob, PartInfo};
use rowlock_digest::RunningMd5;
use rowlock_types::Version;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::sync::Arc;

/// How many bytes of a part are hashed at a time.
const HASHED: usize = 1 << 20;
const NO_FOLDER: Error = Error::UnsupportedKey("its upload id is not one of files");

/// What the reference reads when it completes an upload that we began; both are always there.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    content_type: &'a str,
    cache_control: &'a str,
}

/// Makes an upload's folder, durably.
pub(super) fn create(
    store: &Arc<Inner>,
    upload: &MultipartBlob,
    attributes: &BlobAttributes,
) -> Result<(), Error> {
    let place = store.layout.multipart_metadata(upload).ok_or(NO_FOLDER)?;
    let metadata = Metadata {
        content_type: attributes.content_type.as_deref().unwrap_or_default(),
        cache_control: attributes.cache_control.as_deref().unwrap_or_default(),
    };
    let text = serde_json::to_vec(&metadata).map_err(|error| Error::Io {
        doing: "writing an upload's attributes",
        source: error.into(),
    })?;
    let mut temp = Temp::create(store)?;
    temp.append(&text)?;
    temp.sync()?;
    store.place(temp, &Target { place, aside: None, fresh: true })
}

/// Joins parts into the upload's blob. The parts' bytes are copied (shared, where the file system
/// can) and never touched, so that a failure costs nothing.
pub(super) fn complete(
    store: &Arc<Inner>,
    upload: &MultipartBlob,
    parts: &[PartInfo],
    attributes: &BlobAttributes,
) -> Result<(Version, u64), Error> {
    // Before anything long begins, look at all of them.
    for part in parts {
        open_part(store, upload, part)?;
    }
    let mut temp = Temp::create(store)?;
    for part in parts {
        let source = open_part(store, upload, part)?;
        if !source.tagged && !has_md5(&source.opened, &part.etag)? {
            return Err(Error::PartNotFound(part.number));
        }
        copy::append(&source.opened, &mut temp)?;
    }
    temp.set_attributes(attributes)?;
    temp.sync()?;
    let length = temp.len();
    // Each join has a version of its own: another Complete of the upload may run beside this one.
    let version = Version::random();
    let blob = BlobKey { version: Some(version), ..upload.blob.clone() };
    store.place(temp, &store.blob_target(&blob))?;
    Ok((version, length))
}

/// A part that is there.
struct Opened {
    opened: Source,
    /// Whether the file system remembers its tag, and it is the one meant.
    tagged: bool,
}

/// Whether a tag is the MD5 of these bytes, or none at all.
fn has_md5(source: &Source, etag: &str) -> Result<bool, Error> {
    let mut wanted = [0; 16];
    if hex::decode_to_slice(etag.trim_matches('"'), &mut wanted).is_err() {
        return Ok(true);
    }
    let (mut digest, mut buffer, mut at) = (RunningMd5::new(), vec![0; HASHED], 0);
    while at < source.size {
        let read = retry_on_intr(|| rustix::io::pread(&source.file, buffer.as_mut_slice(), at))
            .map_err(failed("reading a part"))?;
        if read == 0 {
            return Err(Error::WrongLength { expected: source.size, found: at });
        }
        digest.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(digest.finish() == wanted)
}

/// Opens a part and checks that it is the one meant, as far as that is known without its bytes.
fn open_part(store: &Inner, upload: &MultipartBlob, part: &PartInfo) -> Result<Opened, Error> {
    let missing = || Error::PartNotFound(part.number);
    let place = store.layout.part(upload, part.number).ok_or_else(missing)?;
    let opened = store.open_regular(place.path())?.ok_or_else(missing)?;
    if opened.size != part.size {
        return Err(Error::WrongLength { expected: part.size, found: opened.size });
    }
    // A part that was replaced while its row was not is another part: a part takes its place
    // before the transaction that records it has ended, and that may fail.
    let mut kept = [0; 128];
    let kept = match rustix::fs::fgetxattr(&opened.file, "user.supabase.etag", &mut kept) {
        Ok(length) => std::str::from_utf8(&kept[..length]).unwrap_or_default(),
        Err(_) => "",
    };
    let bare = part.etag.trim_matches('"');
    if !kept.is_empty() && !bare.is_empty() && !kept.trim_matches('"').eq_ignore_ascii_case(bare) {
        return Err(missing());
    }
    Ok(Opened { opened, tagged: !kept.is_empty() })
}

/// Removes an upload's parts and metadata, and its folders as far as they get empty. What else
/// lies there stays.
pub(super) fn remove(store: &Inner, upload: &MultipartBlob) -> Result<(), Error> {
    let doing = "removing an upload";
    let Some(place) = store.layout.multipart_metadata(upload) else { return Ok(()) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&store.root, place.folder(), flags, Mode::empty()) {
        Ok(folder) => remove_files(&folder).map_err(failed(doing))?,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
        Err(errno) => return Err(failed(doing)(errno)),
    }
    store.prune(&place);
    Ok(())
}

fn remove_files(folder: &OwnedFd) -> Result<(), Errno> {
    // Names first: a listing during removals may skip some.
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_ok_and(|name| {
            name == "metadata.json"
                || name
                    .strip_prefix("part-")
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        if ours {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        let found = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file()) {
            match rustix::fs::unlinkat(folder, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

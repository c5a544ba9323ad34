//! `POST /upload/resumable`: begins an upload, with its first bytes where the request brings some.

use axum::body::Body;
use http::{Response, StatusCode, header};
use rowlock_storage::{
    Append, Context, NewObject, NewResumable, OwnMetadata, ResumableId, WriteCondition,
};
use rowlock_types::{Operation, RowlockMetadata, UserMetadata};

use super::caller::Door;
use super::error::{TEXT_TYPE, TusError};
use super::headers::{self, UPLOAD_CONCAT, UPLOAD_LENGTH};
use super::metadata::UploadMetadata;
use super::{TusRequest, TusService, response, router};
use crate::rest::body::RequestBody;
use crate::rest::path;

pub(super) async fn handle(
    tus: &TusService,
    request: &TusRequest,
    body: &mut RequestBody,
) -> Result<Response<Body>, TusError> {
    let new = read(request)?;
    let context = request.asking.context(Operation::TusCreate);
    let bytes = headers::brings_bytes(&request.headers) && body.length() != Some(0);
    // Before there is an upload of which the client would never learn.
    if let (true, Some(length), Some(announced)) = (bytes, new.length, body.length())
        && announced > length
    {
        return Err(TusError::too_large());
    }
    let room = bytes.then(|| tus.room(&request.asking)).transpose()?;
    let mut upload = tus.storage().create_resumable(&context, new).await?;
    if bytes {
        let append = Append {
            offset: 0,
            length: None,
            upsert: request.asking.upsert,
            announced: body.length(),
        };
        let id = upload.id.clone();
        match tus.storage().append_resumable(&context, &id, append, body.open()).await {
            Ok(further) => upload = further,
            Err(error) => {
                give_up(tus, context, id);
                return Err(error.into());
            }
        }
    }
    drop(room);

    let mut response = response::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    let door = if request.door == Door::Signed { "/sign" } else { "" };
    let location = format!("{}{door}/{}", request.url, router::encode(&upload.id));
    response::set(headers, header::LOCATION, &location);
    headers.insert(header::CONTENT_TYPE, TEXT_TYPE);
    response::put_expiry(&upload, headers);
    if bytes {
        response::put_offset(&upload, headers);
    }
    Ok(response)
}

/// Ends an upload whose URL nobody was told; where that fails, it expires.
fn give_up(tus: &TusService, context: Context, id: ResumableId) {
    let storage = tus.storage().clone();
    tokio::spawn(async move {
        if let Err(error) = storage.terminate_resumable(&context, &id).await {
            tracing::debug!(%error, "a refused upload stays until it expires");
        }
    });
}

/// What is to begin, as the headers say it.
fn read(request: &TusRequest) -> Result<NewResumable, TusError> {
    let headers = &request.headers;
    // Uploads in pieces that are joined later are an extension that is not offered.
    if headers.contains_key(UPLOAD_CONCAT) {
        return Err(TusError::new(501, "Parallel uploads (Upload-Concat) are not supported\n"));
    }
    let metadata = UploadMetadata::of(headers)?;
    request.asking.may_name(metadata.bucket(), metadata.key())?;
    let key = path::key(metadata.key())?;
    let bucket = path::bucket(metadata.bucket())?;
    let length = headers::length(headers, &UPLOAD_LENGTH)?;
    if length.is_some() == headers::deferred(headers)? {
        return Err(TusError::new(400, "Upload-Length or Upload-Defer-Length header required\n"));
    }
    Ok(NewResumable {
        object: NewObject {
            bucket,
            key,
            content_type: metadata.content_type()?,
            cache_control: metadata.cache_control()?,
            user_metadata: UserMetadata::new(),
            extra: RowlockMetadata::default(),
            content_length: length,
            condition: if request.asking.upsert {
                WriteCondition::None
            } else {
                WriteCondition::Create
            },
        },
        own: OwnMetadata { user_metadata: metadata.user_metadata()?, robots: None },
        length,
        upload_metadata: metadata.render(),
    })
}

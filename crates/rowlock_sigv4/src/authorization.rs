//! The parts of a signature as text: the `Authorization` header and the credential in it.

use crate::{Placement, Refusal, SCOPE_END, SERVICE};

/// What the `Authorization` header says, unchecked.
pub(crate) struct Authorization<'a> {
    pub(crate) credential: &'a str,
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
}

/// Reads what follows `AWS4-HMAC-SHA256`: the three parts in any order, separated by commas and
/// optional white space, since clients differ there.
pub(crate) fn parse(parts: &str) -> Result<Authorization<'_>, Refusal> {
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in parts.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part
            .split_once('=')
            .ok_or(Refusal::MalformedAuthorization("a part without '=' was found"))?;
        let slot = match name.trim_end() {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(Refusal::MalformedAuthorization("it has an unknown part")),
        };
        if slot.replace(value.trim()).is_some() {
            return Err(Refusal::MalformedAuthorization("a part is given twice"));
        }
    }
    let missing = Refusal::MalformedAuthorization;
    Ok(Authorization {
        credential: credential.ok_or(missing("Credential is missing"))?,
        signed_headers: signed_headers.ok_or(missing("SignedHeaders is missing"))?,
        signature: signature.ok_or(missing("Signature is missing"))?,
    })
}

/// `<access key>/<date>/<region>/s3/aws4_request`.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) access_key: String,
    pub(crate) date: String,
    pub(crate) region: String,
}

impl Credential {
    /// Reads from the right, since an access key may contain `/`.
    pub(crate) fn parse(text: &str, placement: Placement) -> Result<Self, Refusal> {
        let malformed = |why| match placement {
            Placement::Header => Refusal::MalformedAuthorization(why),
            Placement::Query => Refusal::InvalidQueryParameter("X-Amz-Credential", why),
            Placement::Form => Refusal::InvalidFormField("x-amz-credential", why),
        };
        let mut parts = text.rsplitn(5, '/');
        let mut next = || parts.next().unwrap_or_default();
        let (end, service, region, date, access_key) = (next(), next(), next(), next(), next());
        if access_key.is_empty() {
            return Err(malformed(
                "the Credential must be \"<access key>/YYYYMMDD/<region>/s3/aws4_request\"",
            ));
        }
        if end != SCOPE_END {
            return Err(malformed("the Credential must end in \"aws4_request\""));
        }
        if service != SERVICE {
            return Err(Refusal::Service { placement, service: service.to_owned() });
        }
        if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed("the date in the Credential must be \"YYYYMMDD\""));
        }
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
        })
    }
}

/// Reads `host;x-amz-date`: lower-case header names, none twice. The order is the client's: it
/// is signed with it.
pub(crate) fn signed_headers(text: &str, placement: Placement) -> Result<Vec<String>, Refusal> {
    let malformed = match placement {
        Placement::Header | Placement::Form => Refusal::MalformedAuthorization(
            "SignedHeaders must be lower-case header names, each once, separated by ';'",
        ),
        Placement::Query => Refusal::InvalidQueryParameter(
            "X-Amz-SignedHeaders",
            "it must be lower-case header names, each once, separated by ';'",
        ),
    };
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let well_formed = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b)
            })
    };
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    if names.iter().all(well_formed) && sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        Ok(names)
    } else {
        Err(malformed)
    }
}

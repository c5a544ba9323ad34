//! The tokens of signed URLs: each lets its bearer read one object, or write one, until it ends.
//!
//! Their claims are typed, so that nothing a client sends can add one. Tokens of the reference,
//! which may lack `scope`, keep working: one with an `upsert` claim is for an upload.

use serde_json::{Map, Value};

use crate::authenticator::{Authenticator, unix_now};
use crate::key::{Algorithm, Material};
use crate::mint::mint_keyed;
use crate::token::{Claims, Compact};
use crate::{AuthSettings, Error, HmacAlgorithm, SettingsError};

/// What a download token says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DownloadToken {
    /// `bucket/key`, decoded.
    pub url: String,
    /// What is to be done to an image, as a comma list.
    pub transformations: Option<String>,
    /// The image format to answer with.
    pub format: Option<String>,
}

/// What an upload token says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadToken {
    /// `bucket/key`, decoded.
    pub url: String,
    /// Whom the object will belong to.
    pub owner: Option<String>,
    /// Whether an object may be there already.
    pub upsert: bool,
}

/// The secret that signs URLs.
pub(crate) struct UrlKey {
    id: Option<String>,
    algorithm: HmacAlgorithm,
    secret: Vec<u8>,
}

impl std::fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UrlKey").finish_non_exhaustive()
    }
}

impl UrlKey {
    /// The key set's own key for URLs.
    ///
    /// # Errors
    /// A key that is no secret: a public key can't sign.
    pub(crate) fn new(
        id: Option<String>,
        algorithm: Option<&str>,
        material: Option<Material>,
    ) -> Result<Self, SettingsError> {
        let refuse = |reason| Err(SettingsError::InvalidUrlSigningKey(reason));
        let Some(Material::Secret(secret)) = material else {
            return refuse("only a secret (`kty` \"oct\") can sign");
        };
        match algorithm.map_or(Ok(HmacAlgorithm::default()), str::parse) {
            Ok(algorithm) => Ok(Self { id, algorithm, secret }),
            Err(_) => refuse("a secret's `alg` is HS256, HS384 or HS512"),
        }
    }

    /// The JWT secret, where there is no key of its own for URLs.
    pub(crate) fn of_secret(settings: &AuthSettings) -> Option<Self> {
        let secret = settings.jwt_secret.as_ref()?.clone().into_bytes();
        Some(Self { id: None, algorithm: settings.jwt_algorithm, secret })
    }

    fn verifies(&self, token: &Compact<'_>) -> bool {
        let named = token.key_id.is_none() || token.key_id == self.id;
        named
            && Material::Secret(self.secret.clone()).verifies(
                token.algorithm,
                token.signed,
                &token.signature,
            )
    }
}

/// Which direction a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Download,
    Upload,
}

impl Use {
    fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }

    /// What the claims say. Without a scope, an `upsert` claim makes an upload token.
    fn of(claims: &Map<String, Value>) -> Option<Self> {
        match claims.get("scope") {
            None if claims.contains_key("upsert") => Some(Self::Upload),
            None => Some(Self::Download),
            Some(Value::String(scope)) => {
                [Self::Download, Self::Upload].into_iter().find(|one| one.as_str() == scope)
            }
            Some(_) => None,
        }
    }
}

impl Authenticator {
    /// A token that lets its bearer read one object for so many seconds.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`].
    pub fn sign_download(&self, token: &DownloadToken, seconds: i64) -> Result<String, Error> {
        let mut claims = Map::new();
        claims.insert("url".to_owned(), token.url.as_str().into());
        let options = [("transformations", &token.transformations), ("format", &token.format)];
        for (name, value) in options {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.as_str().into());
            }
        }
        self.sign_url(claims, Use::Download, seconds)
    }

    /// A token that lets its bearer write one object for so many seconds.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`].
    pub fn sign_upload(&self, token: &UploadToken, seconds: i64) -> Result<String, Error> {
        let mut claims = Map::new();
        claims.insert("url".to_owned(), token.url.as_str().into());
        if let Some(owner) = &token.owner {
            claims.insert("owner".to_owned(), owner.as_str().into());
        }
        claims.insert("upsert".to_owned(), token.upsert.into());
        self.sign_url(claims, Use::Upload, seconds)
    }

    /// What a download token allows, and its end in Unix seconds where it has one.
    ///
    /// # Errors
    /// Everything that a session token may be refused for, [`Error::WrongUse`] for an upload
    /// token, and [`Error::InvalidClaim`] where `url` is missing.
    pub fn verify_download(&self, token: &str) -> Result<(DownloadToken, Option<i64>), Error> {
        let (claims, ends) = self.verify_url(token, Use::Download, unix_now())?;
        let text = |name| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let token = DownloadToken {
            url: url_of(&claims)?,
            transformations: text("transformations").filter(|list| !list.is_empty()),
            format: text("format"),
        };
        Ok((token, ends))
    }

    /// What an upload token allows.
    ///
    /// # Errors
    /// As [`verify_download`](Self::verify_download), [`Error::WrongUse`] for a download token.
    pub fn verify_upload(&self, token: &str) -> Result<UploadToken, Error> {
        let (claims, _) = self.verify_url(token, Use::Upload, unix_now())?;
        let owner = match claims.get("owner") {
            None | Some(Value::Null) => None,
            Some(Value::String(owner)) if !owner.contains('\0') => Some(owner.clone()),
            Some(_) => return Err(Error::InvalidClaim("owner")),
        };
        let upsert = claims.get("upsert") == Some(&Value::Bool(true));
        Ok(UploadToken { url: url_of(&claims)?, owner: owner.filter(|o| !o.is_empty()), upsert })
    }

    fn sign_url(
        &self,
        mut claims: Map<String, Value>,
        usage: Use,
        seconds: i64,
    ) -> Result<String, Error> {
        let key = self.url_key.as_ref().ok_or(Error::NoSigningKey)?;
        let now = unix_now();
        claims.insert("scope".to_owned(), usage.as_str().into());
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), now.saturating_add(seconds).into());
        Ok(mint_keyed(key.algorithm, key.id.as_deref(), &key.secret, &claims))
    }

    /// The claims of a good token for this use, and its end. Only secrets count: the keys that
    /// sign sessions elsewhere can't make URLs.
    fn verify_url(
        &self,
        token: &str,
        usage: Use,
        now: i64,
    ) -> Result<(Map<String, Value>, Option<i64>), Error> {
        let compact = Compact::parse(token)?;
        if !matches!(compact.algorithm, Algorithm::Hmac(_)) {
            return Err(Error::AlgorithmNotAllowed);
        }
        if !self.url_key.as_ref().is_some_and(|key| key.verifies(&compact)) {
            self.check_signature(&compact)?;
        }
        let claims: Claims = compact.claims()?;
        let ends = claims.check_times(now)?;
        match Use::of(&claims.0) {
            Some(said) if said == usage => Ok((claims.0, ends)),
            _ => Err(Error::WrongUse),
        }
    }
}

/// The `url` claim: a session token has none.
fn url_of(claims: &Map<String, Value>) -> Result<String, Error> {
    match claims.get("url") {
        Some(Value::String(url)) if !url.contains('\0') => Ok(url.clone()),
        _ => Err(Error::InvalidClaim("url")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    const SECRET: &str = "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu";

    fn with(jwks: Option<Value>) -> Authenticator {
        Authenticator::new(AuthSettings {
            jwt_secret: Some(SECRET.to_owned()),
            jwks: jwks.map(|keys| keys.to_string()),
            ..AuthSettings::default()
        })
        .unwrap()
    }

    fn made(claims: Value) -> String {
        mint(SECRET, claims.as_object().unwrap())
    }

    fn download(url: &str) -> DownloadToken {
        DownloadToken { url: url.to_owned(), ..DownloadToken::default() }
    }

    #[test]
    fn what_is_signed_is_read() {
        let auth = with(None);
        let token = DownloadToken {
            url: "b/ünï? #%.txt".to_owned(),
            transformations: Some("width:1".to_owned()),
            format: Some("origin".to_owned()),
        };
        let text = auth.sign_download(&token, 60).unwrap();
        let (read, ends) = auth.verify_download(&text).unwrap();
        assert_eq!(read, token);
        assert!((55..=60).contains(&(ends.unwrap() - unix_now())));
        let token =
            UploadToken { url: "b/k".to_owned(), owner: Some("me".to_owned()), upsert: true };
        assert_eq!(auth.verify_upload(&auth.sign_upload(&token, 60).unwrap()), Ok(token));
    }

    #[test]
    fn no_token_serves_the_other_direction() {
        let auth = with(None);
        let down = auth.sign_download(&download("b/k"), 60).unwrap();
        let up = UploadToken { url: "b/k".to_owned(), ..UploadToken::default() };
        let up = auth.sign_upload(&up, 60).unwrap();
        assert_eq!(auth.verify_upload(&down), Err(Error::WrongUse));
        assert_eq!(auth.verify_download(&up), Err(Error::WrongUse));
        // Whatever else it says, the scope counts; one that is unknown is for nothing.
        let both = made(json!({"url": "b/k", "upsert": true, "scope": "download"}));
        assert_eq!(auth.verify_upload(&both), Err(Error::WrongUse));
        for scope in [json!("x"), json!(null), json!(["upload"])] {
            let odd = made(json!({"url": "b/k", "upsert": true, "scope": scope}));
            assert_eq!(auth.verify_upload(&odd), Err(Error::WrongUse));
            assert_eq!(auth.verify_download(&odd), Err(Error::WrongUse));
        }
        // And neither opens a session.
        assert_eq!(auth.verify(&down), Err(Error::SignedUrlToken));
        assert_eq!(auth.verify(&up), Err(Error::SignedUrlToken));
    }

    #[test]
    fn tokens_of_the_reference_without_scope_keep_working() {
        let auth = with(None);
        let old = made(json!({"url": "b/k", "iat": 1, "exp": 4_102_444_800_i64}));
        assert_eq!(auth.verify_download(&old), Ok((download("b/k"), Some(4_102_444_800))));
        assert_eq!(auth.verify_upload(&old), Err(Error::WrongUse));
        let old = made(json!({"url": "b/k", "owner": "o", "upsert": false}));
        assert_eq!(auth.verify_upload(&old).unwrap().owner.as_deref(), Some("o"));
        assert_eq!(auth.verify_download(&old), Err(Error::WrongUse));
    }

    #[test]
    fn what_is_no_good_url_token_is_refused() {
        let auth = with(None);
        let session = made(json!({"role": "service_role"}));
        assert_eq!(auth.verify_download(&session), Err(Error::InvalidClaim("url")));
        let late = made(json!({"url": "b/k", "exp": 1}));
        assert_eq!(auth.verify_download(&late), Err(Error::Expired));
        let foreign = mint("another secret", json!({"url": "b/k"}).as_object().unwrap());
        assert_eq!(auth.verify_download(&foreign), Err(Error::SignatureMismatch));
        assert_eq!(auth.verify_download(""), Err(Error::Malformed));
    }

    #[test]
    fn a_key_for_urls_signs_them_and_older_ones_stay_good() {
        let secret = URL_SAFE_NO_PAD.encode([7; 32]);
        let own = json!({"kty": "oct", "k": secret, "kid": "urls", "alg": "HS512"});
        let auth = with(Some(json!({"keys": [], "urlSigningKey": own})));
        let text = auth.sign_download(&download("b/k"), 60).unwrap();
        assert!(auth.verify_download(&text).is_ok());
        // The JWT secret alone can't read it, and its key signs no session.
        assert_eq!(with(None).verify_download(&text), Err(Error::SignatureMismatch));
        let claims = json!({"role": "service_role"});
        let claims = claims.as_object().unwrap();
        let session = mint_keyed(HmacAlgorithm::Hs512, Some("urls"), &[7; 32], claims);
        assert_eq!(auth.verify(&session), Err(Error::SignatureMismatch));
        let old = with(None).sign_download(&download("b/k"), 60).unwrap();
        assert!(auth.verify_download(&old).is_ok());
    }

    #[test]
    fn a_key_that_cannot_sign_is_told_at_the_start() {
        let public = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32])});
        let wrong = json!({"kty": "oct", "k": "AAAA", "alg": "RS256"});
        for key in [public, wrong, json!({"kty": 1})] {
            let settings = AuthSettings {
                jwks: Some(json!({"keys": [], "urlSigningKey": key}).to_string()),
                ..AuthSettings::default()
            };
            let refused = Authenticator::new(settings).unwrap_err();
            assert!(matches!(refused, SettingsError::InvalidUrlSigningKey(_)), "{refused}");
        }
        let none = Authenticator::new(AuthSettings::default()).unwrap();
        assert_eq!(none.sign_download(&download("b/k"), 1), Err(Error::NoSigningKey));
    }
}

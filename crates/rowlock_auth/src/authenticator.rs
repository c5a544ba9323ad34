use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rowlock_types::{Caller, Role};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use crate::jwks::{self, Key, Parsed};
use crate::key::{Algorithm, Material};
use crate::mint::{claims_text, mint_with};
use crate::signed_url::UrlKey;
use crate::token::{Compact, unverified_claims};
use crate::{AuthSettings, Error, SettingsError};

/// PostgreSQL's longest identifier in bytes; no role has a longer name.
const MAX_ROLE_BYTES: usize = 63;
/// How long the anon and service keys last that are made here.
const KEY_SECONDS: i64 = 10 * 365 * 24 * 3600;

/// A caller, and how long it may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who is asking.
    pub caller: Caller,
    /// The token's `exp` in Unix seconds: the first second in which it is no longer valid.
    /// Nothing when it never ends.
    pub expires_at: Option<i64>,
}

/// What an API key (the `apikey` header or query parameter) stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKey<'a> {
    /// The service role: see [`Authenticator::service_caller`].
    Service,
    /// The anonymous role: see [`Authenticator::anon_caller`].
    Anon,
    /// A token in its own right, still to be verified.
    Token(&'a str),
}

/// Turns tokens and keys into callers. Nothing is cached: every use checks signature and times.
pub struct Authenticator {
    secret: Option<Material>,
    keys: Vec<Key>,
    pub(crate) url_key: Option<UrlKey>,
    forbidden: ArcSwap<HashSet<Box<str>>>,
    anon_role: String,
    service_role: String,
    tenant_id: String,
    anon_key: Option<String>,
    publishable_key: Option<String>,
    secret_key: Option<String>,
    anon: Caller,
    service: Caller,
    warnings: Vec<String>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Sets authentication up.
    ///
    /// # Errors
    /// A key set, anon key or service key that can't be read; an anon or service role that is
    /// forbidden.
    pub fn new(settings: AuthSettings) -> Result<Self, SettingsError> {
        let Parsed { keys, url_key, mut warnings } = match &settings.jwks {
            Some(text) => jwks::parse(text)?,
            None => Parsed::default(),
        };
        let url_key = url_key.or_else(|| UrlKey::of_secret(&settings));
        if settings.jwt_secret.as_deref() == Some("") {
            return Err(SettingsError::EmptySecret);
        }
        let (anon_key, anon) =
            configured_caller(&settings, &settings.anon_key, &settings.anon_role, "anon key")?;
        let (service_key, service) = configured_caller(
            &settings,
            &settings.service_key,
            &settings.service_role,
            "service key",
        )?;
        let this = Self {
            secret: settings.jwt_secret.map(|secret| Material::Secret(secret.into_bytes())),
            keys,
            url_key,
            forbidden: ArcSwap::default(),
            anon_role: settings.anon_role,
            // The service key's own role counts: it is what the reference switches to.
            service_role: service.role.as_str().to_owned(),
            tenant_id: settings.tenant_id,
            anon_key,
            publishable_key: settings.publishable_key,
            secret_key: settings.secret_key,
            anon,
            service: Caller { is_service: true, subject: None, ..service },
            warnings: Vec::new(),
        };
        this.set_forbidden_roles(settings.forbidden_roles)?;
        for (name, key) in [("anon key", &this.anon_key), ("service key", &service_key)] {
            if let Some(Err(error)) = key.as_deref().map(|key| this.verify(key)) {
                warnings.push(format!("clients that use the {name} will be refused: {error}"));
            }
        }
        Ok(Self { warnings, ..this })
    }

    /// Sentences for the operator about what was configured oddly; none quotes a secret.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Replaces the roles that no token may name: those that policies would not bind (the
    /// connection user, superusers, owners of the storage tables).
    ///
    /// # Errors
    /// The anon or service role is among them; nothing is changed then.
    pub fn set_forbidden_roles(
        &self,
        roles: impl IntoIterator<Item = String>,
    ) -> Result<(), SettingsError> {
        let roles: HashSet<Box<str>> = roles.into_iter().map(String::into_boxed_str).collect();
        for own in [&*self.anon_role, self.anon.role.as_str(), &*self.service_role] {
            if roles.contains(own) || check_role(own).is_err() {
                return Err(SettingsError::ForbiddenRole(own.to_owned()));
            }
        }
        self.forbidden.store(Arc::new(roles));
        Ok(())
    }

    /// The caller of a session token (`Authorization: Bearer …`, `X-Amz-Security-Token`).
    ///
    /// # Errors
    /// Every variant of [`Error`] but [`Error::UnknownApiKey`]; an absent token is verified as
    /// the empty text, [`Error::Malformed`].
    pub fn verify(&self, token: &str) -> Result<Caller, Error> {
        self.session(token).map(|session| session.caller)
    }

    /// As [`verify`](Self::verify), with the time the token ends.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn session(&self, token: &str) -> Result<Session, Error> {
        self.session_at(token, unix_now())
    }

    pub(crate) fn session_at(&self, token: &str, now: i64) -> Result<Session, Error> {
        let compact = Compact::parse(token)?;
        self.check_signature(&compact)?;
        let claims = compact.claims()?;
        let expires_at = claims.check_times(now)?;
        if claims.0.contains_key("url") {
            return Err(Error::SignedUrlToken);
        }
        let role = claims.role()?.unwrap_or(&self.anon_role);
        check_role(role)?;
        if self.forbidden.load().contains(role) {
            return Err(Error::ForbiddenRole(role.to_owned()));
        }
        let caller = Caller {
            role: Role::new(role),
            subject: claims.subject()?.map(Arc::from),
            claims: Arc::from(claims_text(&claims.0)),
            token: Arc::from(token),
            is_service: role == self.service_role,
        };
        Ok(Session { caller, expires_at })
    }

    /// Chooses the keys by algorithm and key id: the static secret for an HMAC without key id;
    /// for one with, the set's secrets of that id, then those without one, then the static
    /// secret; for a public key exactly that type and that id.
    pub(crate) fn check_signature(&self, token: &Compact<'_>) -> Result<(), Error> {
        let id = token.key_id.as_deref();
        let of_set = |id: Option<&str>| {
            self.keys
                .iter()
                .filter(|key| key.serves(token.algorithm) && key.id.as_deref() == id)
                .map(|key| &key.material)
                .collect::<Vec<_>>()
        };
        let candidates = match token.algorithm {
            Algorithm::Hmac(_) => {
                let mut candidates = Vec::new();
                if id.is_some() {
                    candidates.extend(of_set(id));
                    candidates.extend(of_set(None));
                }
                candidates.extend(&self.secret);
                candidates
            }
            _ => of_set(id),
        };
        if candidates.is_empty() {
            return Err(Error::NoMatchingKey);
        }
        let fits = |key: &&Material| key.verifies(token.algorithm, token.signed, &token.signature);
        candidates.iter().any(fits).then_some(()).ok_or(Error::SignatureMismatch)
    }

    /// What an API key stands for. Opaque keys (`sb_…`) are compared in constant time; everything
    /// else is taken for a token and left to [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Error::UnknownApiKey`] for an opaque key that is not one of ours.
    pub fn translate_api_key<'a>(&self, key: &'a str) -> Result<ApiKey<'a>, Error> {
        if !key.starts_with("sb_") {
            return Ok(ApiKey::Token(key));
        }
        let equals = |own: &Option<String>| {
            own.as_ref().is_some_and(|own| own.as_bytes().ct_eq(key.as_bytes()).into())
        };
        if equals(&self.secret_key) {
            Ok(ApiKey::Service)
        } else if equals(&self.publishable_key) {
            Ok(ApiKey::Anon)
        } else {
            Err(Error::UnknownApiKey)
        }
    }

    /// The service role: the service key's claims, or `{"role":…}` where there is neither key nor
    /// secret; no subject. S3's static credentials act as this caller.
    pub fn service_caller(&self) -> Caller {
        self.service.clone()
    }

    /// The anonymous role, with the anon key's claims; no subject.
    pub fn anon_caller(&self) -> Caller {
        self.anon.clone()
    }

    /// The anon key: the secret of S3 session credentials. Nothing when there is neither key nor
    /// JWT secret.
    pub fn anon_key(&self) -> Option<&str> {
        self.anon_key.as_deref()
    }

    /// The tenant: the access key of S3 session credentials.
    pub fn tenant_id(&self) -> &str {
        &self.tenant_id
    }
}

/// The key as configured, or made from the secret; and the caller it stands for. The operator's
/// own key is believed: its signature and times matter only to clients that send it.
fn configured_caller(
    settings: &AuthSettings,
    key: &Option<String>,
    default_role: &str,
    name: &'static str,
) -> Result<(Option<String>, Caller), SettingsError> {
    let claims = match key {
        Some(key) => unverified_claims(key).map_err(|_| SettingsError::NotAToken(name))?.0,
        None => minted_claims(default_role, settings.jwt_secret.is_some()),
    };
    let token = key.clone().or_else(|| {
        let secret = settings.jwt_secret.as_ref()?;
        Some(mint_with(settings.jwt_algorithm, secret, &claims))
    });
    let role = match claims.get("role") {
        None | Some(Value::Null) => default_role,
        Some(Value::String(role)) => role,
        Some(_) => return Err(SettingsError::NotAToken(name)),
    };
    let caller = Caller {
        role: Role::new(role),
        subject: None,
        claims: Arc::from(claims_text(&claims)),
        token: Arc::from(token.as_deref().unwrap_or_default()),
        is_service: false,
    };
    Ok((token, caller))
}

fn minted_claims(role: &str, with_times: bool) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("role".to_owned(), json!(role));
    if with_times {
        let now = unix_now();
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(now + KEY_SECONDS));
    }
    claims
}

/// Refuses what can be no role, or is PostgreSQL's word for "back to the connection user".
fn check_role(role: &str) -> Result<(), Error> {
    if role.is_empty()
        || role.len() > MAX_ROLE_BYTES
        || role.contains('\0')
        || role.eq_ignore_ascii_case("none")
    {
        return Err(Error::ForbiddenRole(role.chars().take(MAX_ROLE_BYTES).collect()));
    }
    Ok(())
}

pub(crate) fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

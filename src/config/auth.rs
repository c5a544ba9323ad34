use rowlock_auth::{AuthSettings, Authenticator, HmacAlgorithm};

use super::backend::ObjectSettings;
use super::database::DatabaseSettings;
use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

pub(crate) const AUTH_JWT_SECRET: Variable =
    Variable::new("AUTH_JWT_SECRET", "The secret of tokens that are signed with HMAC.")
        .also(&["PGRST_JWT_SECRET", "JWT_SECRET"])
        .secret();
const AUTH_JWT_ALGORITHM: Variable = Variable::new(
    "AUTH_JWT_ALGORITHM",
    "What tokens of our own are signed with: `HS256`, `HS384` or `HS512`. All three are accepted.",
)
.also(&["PGRST_JWT_ALGORITHM"])
.default("HS256")
.strict();
const JWT_JWKS: Variable = Variable::new(
    "JWT_JWKS",
    "Further keys that tokens may be signed with, as a JSON Web Key Set: `{\"keys\":[…]}`.",
)
.secret();
pub(crate) const ANON_KEY: Variable = Variable::new(
    "ANON_KEY",
    "The anonymous role's JWT; also the secret key of session credentials.",
)
.default("made from the JWT secret")
.secret();
pub(crate) const SERVICE_KEY: Variable = Variable::new("SERVICE_KEY", "The service role's JWT.")
    .also(&["SERVICE_ROLE_KEY"])
    .default("made from the JWT secret")
    .secret();
const SUPABASE_PUBLISHABLE_KEY: Variable = Variable::new(
    "SUPABASE_PUBLISHABLE_KEY",
    "An opaque API key (`sb_publishable_…`) that stands for the anonymous role.",
)
.secret();
const SUPABASE_SECRET_KEY: Variable = Variable::new(
    "SUPABASE_SECRET_KEY",
    "An opaque API key (`sb_secret_…`) that stands for the service role.",
)
.secret();

pub(crate) const VARIABLES: &[&Variable] = &[
    &AUTH_JWT_SECRET,
    &AUTH_JWT_ALGORITHM,
    &JWT_JWKS,
    &ANON_KEY,
    &SERVICE_KEY,
    &SUPABASE_PUBLISHABLE_KEY,
    &SUPABASE_SECRET_KEY,
];

/// What tokens of our own are signed with.
pub(crate) fn signing(source: &Source) -> Result<(Option<String>, HmacAlgorithm), ConfigError> {
    let allowed = "HS256, HS384, HS512 (public keys go into JWT_JWKS)";
    let algorithm = source.parsed(&AUTH_JWT_ALGORITHM, allowed, |text| text.parse().ok())?;
    Ok((source.text(&AUTH_JWT_SECRET), algorithm.unwrap_or_default()))
}

/// Reads what tokens and keys are checked with. The roles are the database's, the tenant is the
/// objects'.
pub(crate) fn from_source(
    source: &Source,
    database: &DatabaseSettings,
    objects: &ObjectSettings,
) -> Result<AuthSettings, ConfigError> {
    let (jwt_secret, jwt_algorithm) = signing(source)?;
    let opaque = |variable, prefix: &'static str| {
        source.parsed(variable, &format!("a key that begins with {prefix}"), |text| {
            (text.len() > prefix.len() && text.starts_with(prefix)).then(|| text.to_owned())
        })
    };
    let settings = AuthSettings {
        jwt_secret,
        jwt_algorithm,
        jwks: source.text(&JWT_JWKS),
        anon_key: token(source, &ANON_KEY)?,
        service_key: token(source, &SERVICE_KEY)?,
        publishable_key: opaque(&SUPABASE_PUBLISHABLE_KEY, "sb_publishable_")?,
        secret_key: opaque(&SUPABASE_SECRET_KEY, "sb_secret_")?,
        anon_role: database.anon_role.clone(),
        service_role: database.service_role.clone(),
        tenant_id: objects.tenant.clone(),
        forbidden_roles: Vec::new(),
    };
    if settings.jwt_secret.is_none() && settings.jwks.is_none() {
        return Err(ConfigError::Missing {
            name: AUTH_JWT_SECRET.name,
            why: "without it (or JWT_SECRET, or JWT_JWKS) no token can be verified",
        });
    }
    if settings.jwt_secret.as_ref().is_some_and(|secret| secret.len() < 32) {
        source
            .warn(format!("{} is shorter than 32 bytes: it can be guessed", AUTH_JWT_SECRET.name));
    }
    // Whatever is wrong with keys is said before anything is opened.
    let trial = Authenticator::new(settings.clone())
        .map_err(|error| ConfigError::Refused(format!("{}: {error}", blamed(&error))))?;
    for sentence in trial.warnings() {
        source.warn(sentence.clone());
    }
    Ok(settings)
}

fn token(source: &Source, variable: &Variable) -> Result<Option<String>, ConfigError> {
    source.parsed(variable, "a JSON Web Token", |text| {
        (text.split('.').count() == 3).then(|| text.to_owned())
    })
}

/// The variable that an error is about.
fn blamed(error: &rowlock_auth::SettingsError) -> &'static str {
    use rowlock_auth::SettingsError as E;
    match error {
        E::InvalidKeySet | E::InvalidKey { .. } | E::InvalidUrlSigningKey(_) => JWT_JWKS.name,
        E::NotAToken(_) => "ANON_KEY, SERVICE_KEY",
        E::ForbiddenRole(_) => "DB_ANON_ROLE, DB_SERVICE_ROLE",
        _ => AUTH_JWT_SECRET.name,
    }
}

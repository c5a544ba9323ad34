use url::Url;

use super::bind::BindSettings;
use super::database::list;
use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const STORAGE_PUBLIC_URL: Variable = Variable::new(
    "STORAGE_PUBLIC_URL",
    "The URL under which clients reach the server (or its gateway).",
)
.also(&["SUPABASE_PUBLIC_URL"])
.strict();
const REQUEST_ALLOW_X_FORWARDED_PATH: Variable = Variable::new(
    "REQUEST_ALLOW_X_FORWARDED_PATH",
    "Whether `X-Forwarded-Prefix` may name the path that a gateway cut off.",
)
.default("false")
.strict();
const REQUEST_TRACE_HEADER: Variable = Variable::new(
    "REQUEST_TRACE_HEADER",
    "A header whose value becomes the request's id in logs and answers.",
)
.also(&["REQUEST_ID_HEADER"]);
const CORS_ORIGINS: Variable = Variable::new(
    "CORS_ORIGINS",
    "The origins whose pages may call the server, by commas; `*` for all.",
)
.default("*")
.strict();

const REQUEST_ETAG_HEADERS: Variable = Variable::new(
    "REQUEST_ETAG_HEADERS",
    "The headers, by commas, that carry the entity tag of a revalidation.",
)
.default("if-none-match");
const RESPONSE_S_MAXAGE: Variable = Variable::new(
    "RESPONSE_S_MAXAGE",
    "Seconds that shared caches may keep an answer to a revalidation; `0` for no such hint.",
)
.default("0");

pub(crate) const VARIABLES: &[&Variable] = &[
    &STORAGE_PUBLIC_URL,
    &REQUEST_ALLOW_X_FORWARDED_PATH,
    &REQUEST_TRACE_HEADER,
    &CORS_ORIGINS,
    &REQUEST_ETAG_HEADERS,
    &RESPONSE_S_MAXAGE,
];

/// Which pages may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CorsOrigins {
    /// All.
    Any,
    /// Those of these origins (`https://example.com`).
    Only(Vec<String>),
}

/// The front: what a gateway would do, and what one in front of us has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewaySettings {
    /// `STORAGE_PUBLIC_URL`.
    pub(crate) public_url: Option<Url>,
    /// `REQUEST_ALLOW_X_FORWARDED_PATH`.
    pub(crate) allow_forwarded_path: bool,
    /// `REQUEST_TRACE_HEADER`, in lower case.
    pub(crate) trace_header: Option<String>,
    /// `CORS_ORIGINS`.
    pub(crate) cors_origins: CorsOrigins,
    /// `REQUEST_ETAG_HEADERS`.
    pub(crate) etag_headers: Vec<String>,
    /// `RESPONSE_S_MAXAGE`: seconds.
    pub(crate) s_maxage: u64,
}

impl GatewaySettings {
    pub(crate) fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let public_url = source.parsed(
            &STORAGE_PUBLIC_URL,
            "a URL that begins with http:// or https://",
            |text| {
                let url = Url::parse(text).ok()?;
                (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
            },
        )?;
        let cors_origins =
            source.parsed(&CORS_ORIGINS, "*, or origins such as https://example.com", origins)?;
        Ok(Self {
            public_url,
            allow_forwarded_path: source.flag(&REQUEST_ALLOW_X_FORWARDED_PATH, false)?,
            trace_header: source
                .text(&REQUEST_TRACE_HEADER)
                .map(|header| header.trim().to_ascii_lowercase()),
            cors_origins: cors_origins.unwrap_or(CorsOrigins::Any),
            etag_headers: list(&source.text_or(&REQUEST_ETAG_HEADERS, "if-none-match")),
            s_maxage: source.number(&RESPONSE_S_MAXAGE).unwrap_or(0),
        })
    }
}

/// Says so where the public URL names another port of this machine than the server's.
pub(super) fn warn_of_another_port(
    source: &Source,
    gateway: &GatewaySettings,
    bind: &BindSettings,
) {
    let Some(url) = &gateway.public_url else { return };
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if let Some(port) = url.port().filter(|port| here && ![0, *port].contains(&bind.port)) {
        let (name, now) = (source.name_of(&STORAGE_PUBLIC_URL), bind.port);
        let mend = if source.only_in_file(&[name]).is_empty() {
            "change one of them".to_owned()
        } else {
            format!("sed -i -E '/^({name}|API_EXTERNAL_URL)=/s/:{port}/:{now}/' .env")
        };
        source.warn(format!(
            "{name} names port {port} of this machine, and the server listens on port {now}. \
             Unless a proxy listens on {port}: {mend}"
        ));
    }
}

fn origins(text: &str) -> Option<CorsOrigins> {
    let origins = list(text);
    if origins.iter().any(|origin| origin == "*") {
        return (origins.len() == 1).then_some(CorsOrigins::Any);
    }
    let good = |origin: &String| {
        // An origin is compared with what browsers send, so it has to be written as they do.
        Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin)
    };
    (!origins.is_empty() && origins.iter().all(good)).then_some(CorsOrigins::Only(origins))
}

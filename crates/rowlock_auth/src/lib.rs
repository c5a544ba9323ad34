//! Who is asking: JSON Web Tokens, key sets and API keys become a
//! [`Caller`](rowlock_types::Caller).
//!
//! No I/O, no environment: [`Authenticator::new`] takes an [`AuthSettings`]. Sources: RFC 7515
//! (JWS), RFC 7517 (JWK), RFC 7518 (algorithms), RFC 7519 (JWT), RFC 8037 (Ed25519).

mod authenticator;
mod error;
mod jwks;
mod key;
mod mint;
mod settings;
mod signed_url;
#[cfg(test)]
mod tests;
mod token;
#[cfg(test)]
mod vectors;

pub use authenticator::{ApiKey, Authenticator, Session};
pub use error::{Error, SettingsError};
pub use mint::{mint, mint_with};
pub use settings::{AuthSettings, HmacAlgorithm};
pub use signed_url::{DownloadToken, UploadToken};

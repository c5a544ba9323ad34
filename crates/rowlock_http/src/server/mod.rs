//! The socket side: listeners, connection limits, strict message framing, timeouts and a
//! graceful end, over hyper's HTTP/1.1.
//!
//! What handlers can rely on:
//! - A request that arrives is framed without doubt (see [`WireGuard`]); its body fails with an
//!   error when the client breaks the framing, leaves, or sends nothing for
//!   [`ServerSettings::body_idle_timeout`] (see [`is_stalled`]). A handler answers such an error
//!   with 400; the connection closes by itself.
//! - `Expect: 100-continue` is answered when the handler first polls the body, so a refusal
//!   before that saves the client the upload. Use [`refuse_early`] for such answers.
//! - When the client goes away, the handler's future is dropped where it stands. Work that must
//!   not stop half way (a commit) belongs into a task of its own.

mod body;
mod connection;
mod crowd;
mod field;
mod guarded;
mod listen;
mod run;
mod settings;
mod wire_guard;

pub use body::{BodyStalled, is_stalled, refuse_early};
pub use connection::ConnectionInfo;
pub use listen::{BindError, Listeners, bind, raise_file_limit};
pub use run::{Drained, run};
pub use settings::ServerSettings;
pub use wire_guard::{Phase, Violation, WireFault, WireGuard};

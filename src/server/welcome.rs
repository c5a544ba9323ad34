//! What a newcomer sees first.

use std::io::Write;
use std::net::SocketAddr;

use crate::config::Config;

/// Says where the server is, where its keys are, and what to try.
pub(crate) fn print(config: &Config, addresses: &[SocketAddr]) {
    let port = addresses.first().map_or(config.bind.port, SocketAddr::port);
    let text = text(&config.bind.local_url(port));
    // Nobody reads a closed terminal; the server runs on.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn text(url: &str) -> String {
    // Nothing may stay in the shell: a server that is started there later would take the key for
    // the one of the store behind it.
    let keys = "AWS_ACCESS_KEY_ID=$S3_PROTOCOL_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY=$S3_PROTOCOL_ACCESS_KEY_SECRET";
    format!(
        "
  Rowlock {version} is ready.

    URL          {url}   (for createClient; REST is below /storage/v1)
    S3 endpoint  {url}/storage/v1/s3
    Keys         .env    (ANON_KEY, SERVICE_ROLE_KEY; S3_PROTOCOL_ACCESS_KEY_ID, S3_PROTOCOL_ACCESS_KEY_SECRET)
    Stop         Ctrl-C

  Try, in a second shell in this folder:

    ( . ./.env && {keys} aws s3 mb s3://your-storage-bucket --region $REGION --endpoint-url {url}/storage/v1/s3 )
    ( . ./.env && echo hello | {keys} aws s3 cp - s3://your-storage-bucket/hello.txt --region $REGION --endpoint-url {url}/storage/v1/s3 )

",
        version = env!("CARGO_PKG_VERSION"),
    )
}

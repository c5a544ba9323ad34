//! Events on their way out of the process.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rowlock_storage::{EventSettings, EventSink};
use rowlock_webhooks::{Endpoint, EndpointSettings};

use super::ServeError;
use crate::config::Config;

/// How long a receiver may take in all, as with the reference.
const LIMIT: Duration = Duration::from_secs(6);

#[derive(Debug)]
struct Webhook(Endpoint);

impl EventSink for Webhook {
    fn deliver<'a>(&'a self, id: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), String>> {
        async move { self.0.post(Some(id), body).await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// Where the configuration sends events; nowhere without `WEBHOOK_URL`.
pub(super) fn settings(config: &Config) -> Result<Option<EventSettings>, ServeError> {
    let Some(webhooks) = &config.webhooks else { return Ok(None) };
    let endpoint = Endpoint::new(&EndpointSettings {
        url: webhooks.url.clone(),
        key: webhooks.key.clone(),
        limit: LIMIT,
        connections: webhooks.concurrency,
    });
    Ok(Some(EventSettings {
        sink: Arc::new(Webhook(endpoint.map_err(ServeError::Webhook)?)),
        region: webhooks.region.clone(),
        tenant: config.objects.tenant.clone(),
        concurrency: webhooks.concurrency,
        interval: webhooks.interval,
    }))
}

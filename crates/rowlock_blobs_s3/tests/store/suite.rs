//! The suite that every store must pass.

use crate::servers::{garage, moto, open, settings};
use rowlock_blobs::suite;
use rowlock_blobs_s3::{S3Settings, Separator};
use std::sync::Arc;

const PART: usize = 5 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn moto_passes() {
    let server = moto().await;
    let store = open(settings(server.port)).await;
    assert_eq!(store.problem().await, None);
    suite::all(Arc::new(store), "suite-bucket", PART).await;
}

/// Says what was not tested, in words that `./test` counts; `.config/nextest.toml` lets them through.
#[expect(clippy::print_stdout, reason = "the test's output is where it is read")]
pub(crate) fn needs_garage(case: &str) {
    println!("needs Garage: {case}");
}

/// Garage; or moto's server, which checks no signature.
#[tokio::test(flavor = "multi_thread")]
async fn the_best_server_passes() {
    let server = match garage() {
        Some(server) => server,
        None => {
            needs_garage("the stores' suite with signatures checked");
            moto().await
        }
    };
    let plain = settings(server.port);
    assert_eq!(open(plain.clone()).await.problem().await, None);
    suite::all(Arc::new(open(plain.clone()).await), "suite-bucket", PART).await;
    // Nothing to hold bytes in: all of them pass through.
    let narrow = S3Settings { buffer_budget: 0, tenant: "narrow".into(), ..plain.clone() };
    suite::round_trips_of_known_length(&open(narrow).await, "narrow-bucket").await;
    // Copies go by parts, and names have the other form.
    let dash = S3Settings {
        copy_limit: 8 << 20,
        separator: Separator::DashV,
        tenant: "d".into(),
        ..plain
    };
    suite::copies(&open(dash).await, "dash-bucket").await;
}

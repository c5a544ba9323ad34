//! Many small requests on a fixed number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Repeat, Target, noise};
use crate::report::Figure;

/// How many objects the GETs go round: more than one, so that no single row or file is always hot.
const OBJECTS: u64 = 500;

/// Writes the objects that [`get`] reads.
pub(crate) async fn prepare(target: &Target, size: usize) -> Result<()> {
    let data = noise(size);
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (target, data, next) = (target.clone(), data.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            let mut connection = target.connect().await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= OBJECTS {
                    return Result::Ok(());
                }
                let body = Repeat::whole(data.clone());
                let request = target.request(&Method::PUT, &object(number), "", body)?;
                connection.expect(request).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn object(number: u64) -> String {
    format!("get/{}/{number}", number % 10)
}

/// GETs for the given time; their rate and latencies.
pub(crate) async fn get(
    target: &Target,
    size: usize,
    connections: usize,
    time: Duration,
) -> Result<Vec<Figure>> {
    // Signed beforehand and sent again and again: a signature holds for minutes, and making it
    // would cost the client as much as the request.
    let requests: Arc<Vec<_>> = Arc::new(
        (0..OBJECTS)
            .map(|n| target.request(&Method::GET, &object(n), "", Repeat::nothing()))
            .collect::<Result<_>>()?,
    );
    let next = Arc::new(AtomicU64::new(0));
    run("GET", target, connections, time, move |_| {
        let number = next.fetch_add(1, Ordering::Relaxed) % OBJECTS;
        Ok((requests[number as usize].clone(), Some(size as u64)))
    })
    .await
}

/// PUTs for the given time, each of a new object; their rate and latencies.
pub(crate) async fn put(
    target: &Target,
    size: usize,
    connections: usize,
    time: Duration,
) -> Result<Vec<Figure>> {
    let data = noise(size);
    let run_id = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    let next = Arc::new(AtomicU64::new(0));
    run("PUT", target, connections, time, move |target| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let key = format!("put/{run_id}/{}/{number}", number % 100);
        let body = Repeat::whole(data.clone());
        Ok((target.request(&Method::PUT, &key, "", body)?, None))
    })
    .await
}

/// Runs `make`'s requests on every connection until the time is over. Where it says how many bytes
/// an answer must have, that is checked: a fast wrong answer is no answer.
async fn run<F>(
    name: &str,
    target: &Target,
    connections: usize,
    time: Duration,
    make: F,
) -> Result<Vec<Figure>>
where
    F: Fn(&Target) -> Result<(http::Request<Repeat>, Option<u64>)> + Send + Sync + 'static,
{
    let make = Arc::new(make);
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..connections {
        let (target, make) = (target.clone(), Arc::clone(&make));
        tasks.spawn(async move {
            let mut connection = target.connect().await?;
            let mut micros = Vec::new();
            // The first requests of a connection open others behind it; they are not counted.
            for _ in 0..3 {
                let (request, _) = make(&target)?;
                connection.expect(request).await?;
            }
            let started = Instant::now();
            while started.elapsed() < time {
                let (request, wanted) = make(&target)?;
                let sent = Instant::now();
                let got = connection.expect(request).await?;
                micros.push(sent.elapsed().as_micros() as u32);
                if wanted.is_some_and(|wanted| wanted != got) {
                    return Err(format!("answered {got} bytes").into());
                }
            }
            Result::Ok((micros, started, Instant::now()))
        });
    }
    let (mut all, mut first, mut last) = (Vec::new(), None::<Instant>, begin);
    while let Some(done) = tasks.join_next().await {
        let (micros, started, ended) = done??;
        all.extend(micros);
        first = Some(first.map_or(started, |f| f.min(started)));
        last = last.max(ended);
    }
    all.sort_unstable();
    let elapsed = (last - first.unwrap_or(begin)).as_secs_f64();
    let label =
        format!("{name}, {connections} connection{}", if connections == 1 { "" } else { "s" });
    let at = |part: f64| {
        let index = ((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1));
        f64::from(all.get(index).copied().unwrap_or(0)) / 1000.0
    };
    Ok(vec![
        Figure::new(&label, all.len() as f64 / elapsed, "requests/s"),
        Figure::new(&format!("{label}, p50"), at(0.50), "ms"),
        Figure::new(&format!("{label}, p99"), at(0.99), "ms"),
    ])
}

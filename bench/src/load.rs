//! Many small requests on a fixed number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, Request};
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Connection, Repeat, Target, noise};
use crate::cpu::Cpu;
use crate::report::Figure;

/// How many objects the GETs go round: more than one, so that no single row or file is always hot.
const OBJECTS: u64 = 500;
/// Requests of each connection before the time runs.
const WARM_UP: usize = 3;

/// What runs a load: connections, time, and whose CPU time is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    pub(crate) cpu: Cpu,
}

/// A request, and how many bytes its answer must have, where that is known: a fast wrong answer is
/// no answer.
pub(crate) type Made = Result<(Request<Repeat>, Option<u64>)>;

/// The next number: of an object, of a new key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The name of one of the objects that are read.
pub(crate) fn object(number: u64) -> String {
    format!("get/{}/{number}", number % 10)
}

/// A folder that no earlier run has written to.
pub(crate) fn fresh_folder() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("put/{}", since.map_or(0, |since| since.as_millis()))
}

/// Writes the objects that are read, `make` making the request for one.
pub(crate) async fn prepare<F>(authority: &str, make: F) -> Result<()>
where
    F: Fn(&str) -> Result<Request<Repeat>> + Send + Sync + 'static,
{
    let (make, next) = (Arc::new(make), Counter::default());
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (make, next, authority) = (Arc::clone(&make), next.clone(), authority.to_owned());
        tasks.spawn(async move {
            let mut connection = Connection::open(&authority).await?;
            loop {
                let number = next.next();
                if number >= OBJECTS {
                    return Result::Ok(());
                }
                connection.expect(make(&object(number))?).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Sends the same requests, one for each object, again and again.
pub(crate) async fn repeat<F>(
    name: &str,
    authority: &str,
    load: Load,
    size: Option<u64>,
    make: F,
) -> Result<Vec<Figure>>
where
    F: Fn(&str) -> Result<Request<Repeat>>,
{
    // Made beforehand: a signature holds for minutes, and making it would cost the client as much
    // as the request.
    let requests: Vec<_> = (0..OBJECTS).map(|n| make(&object(n))).collect::<Result<_>>()?;
    let next = Counter::default();
    run(name, authority, load, move || {
        let number = next.next() % OBJECTS;
        Ok((requests[number as usize].clone(), size))
    })
    .await
}

/// S3 GETs; their rate and latencies.
pub(crate) async fn get(target: &Target, size: usize, load: Load) -> Result<Vec<Figure>> {
    let make = |key: &str| target.request(&Method::GET, key, "", Repeat::nothing());
    repeat("GET", target.authority(), load, Some(size as u64), make).await
}

/// S3 PUTs, each of a new object; their rate and latencies.
pub(crate) async fn put(target: &Target, size: usize, load: Load) -> Result<Vec<Figure>> {
    let (data, folder, next) = (noise(size), fresh_folder(), Counter::default());
    let for_requests = target.clone();
    run("PUT", target.authority(), load, move || {
        let number = next.next();
        let key = format!("{folder}/{}/{number}", number % 100);
        let body = Repeat::whole(data.clone());
        Ok((for_requests.request(&Method::PUT, &key, "", body)?, None))
    })
    .await
}

/// S3 pages of 100 keys.
pub(crate) async fn list(target: &Target, load: Load) -> Result<Vec<Figure>> {
    let query = "list-type=2&max-keys=100&prefix=get%2F";
    let request = target.request(&Method::GET, "", query, Repeat::nothing())?;
    run("list 100 keys", target.authority(), load, move || Ok((request.clone(), None))).await
}

/// Writes the objects that [`get`] and [`list`] read.
pub(crate) async fn prepare_s3(target: &Target, size: usize) -> Result<()> {
    let (data, for_requests) = (noise(size), target.clone());
    prepare(target.authority(), move |key| {
        for_requests.request(&Method::PUT, key, "", Repeat::whole(data.clone()))
    })
    .await
}

/// Runs `make`'s requests on every connection until the time is over.
pub(crate) async fn run<F>(name: &str, authority: &str, load: Load, make: F) -> Result<Vec<Figure>>
where
    F: Fn() -> Made + Send + Sync + 'static,
{
    let Load { connections, time, cpu } = load;
    let make = Arc::new(make);
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    let spent = cpu.now();
    for _ in 0..connections {
        let (authority, make) = (authority.to_owned(), Arc::clone(&make));
        tasks.spawn(async move {
            let mut connection = Connection::open(&authority).await?;
            let mut micros = Vec::new();
            // The first requests of a connection open others behind it; they are not counted.
            for _ in 0..WARM_UP {
                connection.expect(make()?.0).await?;
            }
            let started = Instant::now();
            while started.elapsed() < time {
                let (request, wanted) = make()?;
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
    let spent = spent.until(cpu.now(), all.len() + WARM_UP * connections);
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
        Figure::new(&format!("{label}, CPU of the server"), spent.server, "µs each"),
        Figure::new(&format!("{label}, CPU of the database"), spent.database, "µs each"),
    ])
}

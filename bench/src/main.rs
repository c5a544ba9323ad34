//! Measures an S3 endpoint: requests per second, latencies, MB/s and the server's memory, with the
//! machine's own floor beside them. Several endpoints can be measured in one run.

mod client;
mod floor;
mod load;
mod memory;
mod report;
mod stream;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::client::Target;
use crate::memory::Memory;
use crate::report::{Figure, Report};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The machine itself: fsync, disk and loopback.
    Floor,
    /// S3 GET of small objects.
    Get,
    /// S3 PUT of small objects, each under a new key.
    Put,
    /// One large object in one request, up and down.
    Stream,
    /// Eight multipart uploads at once.
    Multipart,
}

/// Measures an S3 endpoint and prints the machine's own floor beside it.
#[derive(Debug, Parser)]
struct Args {
    /// The endpoint, such as http://127.0.0.1:8000/storage/v1/s3 (plain HTTP only)
    url: String,
    /// A second endpoint to measure in the same run; its credentials default to the first's
    #[arg(long, value_name = "URL")]
    compare: Option<String>,
    #[arg(long, env = "AWS_ACCESS_KEY_ID")]
    access_key: String,
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    secret_key: String,
    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    session_token: Option<String>,
    #[arg(long)]
    compare_access_key: Option<String>,
    #[arg(long)]
    compare_secret_key: Option<String>,
    #[arg(long, default_value = "stub")]
    region: String,
    /// Created if it does not exist and the credentials may do so
    #[arg(long, default_value = "bench-bucket")]
    bucket: String,
    /// The server's process on this machine, for its memory
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long)]
    compare_pid: Option<u32>,
    /// Only these parts
    #[arg(long, value_delimiter = ',', default_values_t = [Part::Floor, Part::Get, Part::Put, Part::Stream, Part::Multipart], value_enum)]
    parts: Vec<Part>,
    /// Numbers of connections for GET and PUT
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32])]
    connections: Vec<usize>,
    /// Bytes of a small object
    #[arg(long, default_value_t = 10_240)]
    size: usize,
    /// Seconds that each GET and PUT figure is measured for
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of the large object, in MiB
    #[arg(long, default_value_t = 1024)]
    stream_mib: u64,
    /// Bytes of each multipart upload, in MiB
    #[arg(long, default_value_t = 100)]
    multipart_mib: u64,
    /// Where the floor is measured: a folder on the disk that the server writes to
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    // Two threads: the client shares the machine with the server it measures.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut report = Report::default();
    if args.parts.contains(&Part::Floor) {
        for figure in floor::measure(&args.folder)? {
            report.floor(figure);
        }
    }
    let targets = targets(&args)?;
    let memory = [Memory::of(args.pid), Memory::of(args.compare_pid)];
    // Each part is measured on every endpoint before the next part: the machine changes over time.
    for (column, (target, memory)) in targets.iter().zip(&memory).enumerate() {
        runtime.block_on(target.create_bucket())?;
        report.figure(column, Figure::megabytes("memory idle", memory.now()));
    }
    for part in &args.parts {
        for (column, (target, memory)) in targets.iter().zip(&memory).enumerate() {
            memory.forget_peak();
            let figures = runtime.block_on(measure(*part, &args, target))?;
            if figures.is_empty() {
                continue;
            }
            for figure in figures {
                report.figure(column, figure);
            }
            let name = format!("memory peak, {part:?}").to_lowercase();
            report.figure(column, Figure::megabytes(&name, memory.peak()));
        }
    }
    report.print(&targets.iter().map(|t| t.url.clone()).collect::<Vec<_>>(), args.json)
}

fn targets(args: &Args) -> Result<Vec<Target>> {
    let first = Target::new(
        &args.url,
        &args.access_key,
        &args.secret_key,
        args.session_token.as_deref(),
        &args.region,
        &args.bucket,
    )?;
    let mut targets = vec![first];
    if let Some(url) = &args.compare {
        targets.push(Target::new(
            url,
            args.compare_access_key.as_ref().unwrap_or(&args.access_key),
            args.compare_secret_key.as_ref().unwrap_or(&args.secret_key),
            args.session_token.as_deref(),
            &args.region,
            &args.bucket,
        )?);
    }
    Ok(targets)
}

async fn measure(part: Part, args: &Args, target: &Target) -> Result<Vec<Figure>> {
    let time = Duration::from_secs_f64(args.seconds);
    let mut figures = Vec::new();
    match part {
        Part::Floor => {}
        Part::Get => {
            load::prepare(target, args.size).await?;
            for &connections in &args.connections {
                figures.extend(load::get(target, args.size, connections, time).await?);
            }
        }
        Part::Put => {
            for &connections in &args.connections {
                figures.extend(load::put(target, args.size, connections, time).await?);
            }
        }
        Part::Stream => figures.extend(stream::one(target, args.stream_mib).await?),
        Part::Multipart => figures.extend(stream::multipart(target, args.multipart_mib).await?),
    }
    Ok(figures)
}

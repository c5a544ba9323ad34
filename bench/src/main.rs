//! Measures an S3 endpoint and the REST API beside it: requests per second, latencies, MB/s, the
//! server's memory and CPU time, with the machine's own floor beside them. Two endpoints can be
//! measured in one run.

mod args;
mod checksums;
mod client;
mod cpu;
mod floor;
mod load;
mod memory;
mod report;
mod rest;
mod stream;

use std::error::Error;

use clap::Parser;

use crate::args::{Args, Part};
use crate::client::Target;
use crate::load::Load;
use crate::memory::Memory;
use crate::report::{Figure, Report};
use crate::rest::Rest;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// One server.
struct Endpoint {
    s3: Target,
    rest: Option<Rest>,
    memory: Memory,
    cpu: cpu::Cpu,
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
    let endpoints = args.endpoints()?;
    for (column, endpoint) in endpoints.iter().enumerate() {
        runtime.block_on(prepare(endpoint, &args))?;
        report.figure(column, Figure::megabytes("memory idle", endpoint.memory.now()));
    }
    // Each part is measured on every endpoint before the next part: the machine changes over time.
    for part in &args.parts {
        for (column, endpoint) in endpoints.iter().enumerate() {
            endpoint.memory.forget_peak();
            let figures = runtime.block_on(measure(*part, &args, endpoint))?;
            if figures.is_empty() {
                continue;
            }
            for figure in figures {
                report.figure(column, figure);
            }
            if *part != Part::Memory {
                let name = format!("memory peak, {}", part.name());
                report.figure(column, Figure::megabytes(&name, endpoint.memory.peak()));
            }
        }
    }
    report.print(&endpoints.iter().map(|e| e.s3.url.clone()).collect::<Vec<_>>(), args.json)
}

async fn prepare(endpoint: &Endpoint, args: &Args) -> Result<()> {
    if args.parts.iter().any(|part| part.is_s3()) {
        endpoint.s3.create_bucket().await?;
    }
    match &endpoint.rest {
        Some(rest) => rest.create_buckets().await,
        None => Ok(()),
    }
}

async fn measure(part: Part, args: &Args, endpoint: &Endpoint) -> Result<Vec<Figure>> {
    let time = args.time();
    let loads: Vec<Load> = args
        .connections
        .iter()
        .map(|&connections| Load { connections, time, cpu: endpoint.cpu })
        .collect();
    let (s3, size) = (&endpoint.s3, args.size);
    let rest = || endpoint.rest.as_ref().ok_or("this part needs --rest and --service-key");
    let mut figures = Vec::new();
    match part {
        Part::Floor => {}
        Part::Get => {
            load::prepare_s3(s3, size).await?;
            for load in loads {
                figures.extend(load::get(s3, size, load).await?);
            }
        }
        Part::Put => {
            for load in loads {
                figures.extend(load::put(s3, size, load).await?);
            }
        }
        Part::List => {
            load::prepare_s3(s3, size).await?;
            for load in loads {
                figures.extend(load::list(s3, load).await?);
            }
        }
        Part::Stream => figures.extend(stream::one(s3, args.stream_mib).await?),
        Part::Checksums => {
            figures.extend(checksums::measure(s3, args.stream_mib, args.rounds).await?);
        }
        Part::Multipart => figures.extend(stream::multipart(s3, args.multipart_mib).await?),
        Part::RestPublic => figures.extend(rest()?.public(size, &loads).await?),
        Part::RestToken => figures.extend(rest()?.token(size, &loads).await?),
        Part::RestPost => {
            let rest = rest()?;
            figures.extend(rest.post(false, size, &loads).await?);
            if rest.has_token() {
                figures.extend(rest.post(true, size, &loads).await?);
            }
        }
        Part::RestList => figures.extend(rest()?.list(size, &loads).await?),
        Part::Memory => {
            for &connections in &args.memory_connections {
                endpoint.memory.forget_peak();
                let load = Load { connections, time, cpu: endpoint.cpu };
                rest()?.fill(size, load).await?;
                let name = format!("memory peak, {connections} posting connections");
                figures.push(Figure::megabytes(&name, endpoint.memory.peak()));
            }
        }
    }
    Ok(figures)
}

//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::client::Target;
use crate::cpu::Cpu;
use crate::memory::Memory;
use crate::rest::Rest;
use crate::{Endpoint, Result};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The machine itself: fsync, disk and loopback.
    Floor,
    /// S3 GET of small objects.
    Get,
    /// S3 PUT of small objects, each under a new key.
    Put,
    /// S3 lists of 100 keys.
    List,
    /// One large object in one request, up and down.
    Stream,
    /// Eight multipart uploads at once.
    Multipart,
    /// One large object without a checksum and with each kind of trailer, several times.
    Checksums,
    /// REST GET of small objects in a public bucket, by nobody.
    RestPublic,
    /// REST GET of small objects with --token.
    RestToken,
    /// REST POST of small objects, each under a new key: with the service key, then with --token.
    RestPost,
    /// REST lists with --token: v1, then v2.
    RestList,
    /// The server's memory at its peak while --memory-connections post small objects.
    Memory,
}

impl Part {
    const S3: [Self; 7] = [
        Self::Floor,
        Self::Get,
        Self::Put,
        Self::List,
        Self::Stream,
        Self::Multipart,
        Self::Checksums,
    ];

    /// As the command line calls it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it speaks S3.
    pub(crate) fn is_s3(self) -> bool {
        self != Self::Floor && Self::S3.contains(&self)
    }
}

/// Measures an S3 endpoint and the REST API beside it, and prints the machine's own floor with the
/// figures.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The S3 endpoint, such as http://127.0.0.1:8000/storage/v1/s3 (plain HTTP only)
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
    /// The REST API of the first endpoint, such as http://127.0.0.1:8000/storage/v1, for the parts
    /// rest-* and memory
    #[arg(long, value_name = "URL", requires = "service_key")]
    rest: Option<String>,
    /// The REST API of the second
    #[arg(long, value_name = "URL", requires = "rest")]
    compare_rest: Option<String>,
    /// A service key: it makes the buckets bench-public and bench-private, and uploads
    #[arg(long, env = "SERVICE_KEY", hide_env_values = true)]
    service_key: Option<String>,
    /// A user's token, whom policies let read and write its own objects in bench-private
    #[arg(long, env = "USER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The server's process on this machine, for its memory and CPU time
    #[arg(long)]
    pid: Option<u32>,
    #[arg(long)]
    compare_pid: Option<u32>,
    /// The database's first process, for its CPU time, if the server has not started it
    #[arg(long)]
    database_pid: Option<u32>,
    /// Only these parts [default: those of S3]
    #[arg(long, value_delimiter = ',', default_values_t = Part::S3, hide_default_value = true, value_enum, overrides_with = "parts")]
    pub(crate) parts: Vec<Part>,
    /// Numbers of connections for all parts with small objects and lists
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32], overrides_with = "connections")]
    pub(crate) connections: Vec<usize>,
    /// Numbers of connections for the part memory
    #[arg(long, value_delimiter = ',', default_values_t = [32, 256])]
    pub(crate) memory_connections: Vec<usize>,
    /// Bytes of a small object
    #[arg(long, default_value_t = 10_240)]
    pub(crate) size: usize,
    /// Seconds that each figure about small objects and lists is measured for
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Bytes of the large object, in MiB
    #[arg(long, default_value_t = 1024)]
    pub(crate) stream_mib: u64,
    /// How often each upload of the part checksums is measured
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Bytes of each multipart upload, in MiB
    #[arg(long, default_value_t = 100)]
    pub(crate) multipart_mib: u64,
    /// Where the floor is measured: a folder on the disk that the server writes to
    #[arg(long, default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// How long each figure is measured for.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The servers to measure.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let mut endpoints = vec![Endpoint {
            s3: self.s3(&self.url, &self.access_key, &self.secret_key)?,
            rest: self.rest(self.rest.as_deref())?,
            memory: Memory::of(self.pid),
            cpu: Cpu::of(self.pid, self.database_pid),
        }];
        if let Some(url) = &self.compare {
            let access_key = self.compare_access_key.as_ref().unwrap_or(&self.access_key);
            let secret_key = self.compare_secret_key.as_ref().unwrap_or(&self.secret_key);
            endpoints.push(Endpoint {
                s3: self.s3(url, access_key, secret_key)?,
                rest: self.rest(self.compare_rest.as_deref())?,
                memory: Memory::of(self.compare_pid),
                cpu: Cpu::of(self.compare_pid, self.database_pid),
            });
        }
        Ok(endpoints)
    }

    fn s3(&self, url: &str, access_key: &str, secret_key: &str) -> Result<Target> {
        let token = self.session_token.as_deref();
        Target::new(url, access_key, secret_key, token, &self.region, &self.bucket)
    }

    fn rest(&self, url: Option<&str>) -> Result<Option<Rest>> {
        let (Some(url), Some(key)) = (url, &self.service_key) else { return Ok(None) };
        Rest::new(url, key, self.token.as_deref()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_whole() {
        Args::command().debug_assert();
    }

    /// bench/run chooses parts, and whoever runs it may choose others.
    #[test]
    fn the_last_choice_counts() {
        let line = "bench http://h --access-key a --secret-key b --parts get,put --parts list \
                    --connections 32 --connections 1,2";
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        assert_eq!(args.parts, [Part::List]);
        assert_eq!(args.connections, [1, 2]);
    }
}

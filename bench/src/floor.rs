//! What the machine can do at all: no server on it is faster than this.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::report::Figure;

const SMALL: usize = 10_240;
const TIME: Duration = Duration::from_secs(2);
const SEQUENTIAL: usize = 512;
const LOOPBACK: usize = 2048;

/// Measures in `folder`, which must lie on the disk that matters.
pub(crate) fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let scratch = tempfile::Builder::new().prefix("bench-floor-").tempdir_in(folder)?;
    let mut figures = Vec::new();
    for writers in [1, 32] {
        figures.push(Figure::new(
            &format!("10 KB file, fsync, rename, folder fsync; {writers} at once"),
            durable_files(scratch.path(), writers)?,
            "files/s",
        ));
    }
    figures.push(Figure::new("sequential write and fsync", sequential(scratch.path())?, "MB/s"));
    figures.push(Figure::new("loopback, one stream", loopback()?, "MB/s"));
    Ok(figures)
}

/// The least that a durable PUT does on files, without a database.
fn durable_files(scratch: &Path, writers: usize) -> Result<f64> {
    let data = vec![7_u8; SMALL];
    let begin = Instant::now();
    let mut total = 0_usize;
    std::thread::scope(|scope| -> Result<()> {
        let mut threads = Vec::new();
        for writer in 0..writers {
            let data = &data;
            threads.push(scope.spawn(move || -> Result<usize> {
                let folder = scratch.join(format!("{writers}-{writer}"));
                fs::create_dir(&folder)?;
                let (temporary, handle) = (folder.join("tmp"), File::open(&folder)?);
                let mut count = 0;
                while begin.elapsed() < TIME {
                    let mut file = File::create(&temporary)?;
                    file.write_all(data)?;
                    file.sync_all()?;
                    fs::rename(&temporary, folder.join(count.to_string()))?;
                    handle.sync_all()?;
                    count += 1;
                }
                Ok(count)
            }));
        }
        for thread in threads {
            total += thread.join().map_err(|_| "a writer of the floor ended early")??;
        }
        Ok(())
    })?;
    Ok(total as f64 / begin.elapsed().as_secs_f64())
}

fn sequential(scratch: &Path) -> Result<f64> {
    let block = vec![7_u8; 1 << 20];
    let begin = Instant::now();
    let mut file = File::create(scratch.join("sequential"))?;
    for _ in 0..SEQUENTIAL {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(((SEQUENTIAL << 20) as f64) / 1e6 / begin.elapsed().as_secs_f64())
}

fn loopback() -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let block = vec![7_u8; 256 << 10];
        for _ in 0..LOOPBACK * 4 {
            stream.write_all(&block)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    let mut block = vec![0_u8; 256 << 10];
    let begin = Instant::now();
    let mut total = 0_u64;
    loop {
        match stream.read(&mut block)? {
            0 => break,
            length => total += length as u64,
        }
    }
    let elapsed = begin.elapsed().as_secs_f64();
    sender.join().map_err(|_| "the sender of the floor ended early")??;
    Ok(total as f64 / 1e6 / elapsed)
}

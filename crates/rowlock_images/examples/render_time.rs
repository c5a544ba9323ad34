//! How much of the processor a rendering takes, and how much memory: `render_time FILE WIDTH [FORMAT] [TIMES] [RESULT]`, or with `-` as the
//! file a drawn photograph of 12 megapixels as a JPEG.

use std::io::Write as _;

use rowlock_images::{Format, Limits, Options, Wanted, inspect, render};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |at: usize| arguments.get(at).map_or("", String::as_str);
    let width: u32 = argument(2).parse().unwrap_or(400);
    let format = match argument(3) {
        "webp" => Wanted::As(Format::WebP),
        "avif" => Wanted::As(Format::Avif),
        "png" => Wanted::As(Format::Png),
        "gif" => Wanted::As(Format::Gif),
        "jpeg" => Wanted::As(Format::Jpeg),
        _ => Wanted::Origin,
    };
    let times: u32 = argument(4).parse().unwrap_or(10);
    let source = match argument(1) {
        "" | "-" => photograph(4000, 3000)?,
        path => std::fs::read(path)?,
    };
    let limits = Limits::default();
    let options = Options {
        width: (width > 0).then_some(width),
        height: (width > 0).then_some(width),
        format,
        ..Options::default()
    };
    let found = inspect(&source, &limits)?;
    let before = peak();
    let mut best = f64::INFINITY;
    let mut result = Vec::new();
    // The fastest of them: the others shared their caches with something else.
    for _ in 0..times {
        let begun = on_cpu();
        result = render(&source, &options, &limits)?.bytes;
        best = best.min(on_cpu() - begun);
    }
    if !argument(5).is_empty() {
        std::fs::write(argument(5), &result)?;
    }
    writeln!(
        std::io::stdout(),
        "{} of {}x{}, {} bytes: {} bytes after {:.1} ms of the processor; memory {} KiB above {} KiB, {} KiB estimated",
        found.format,
        found.width,
        found.height,
        source.len(),
        result.len(),
        best / 1e6,
        peak() - before,
        before,
        found.cost(&options) / 1024,
    )?;
    Ok(())
}

/// The most memory that this process has had so far, in KiB; 0 where the kernel does not tell.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// How long this thread has run so far, in nanoseconds; 0 where the kernel does not tell.
fn on_cpu() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    spent.split_whitespace().next().and_then(|spent| spent.parse().ok()).unwrap_or(0.0)
}

/// A JPEG with about as much detail as a camera's.
fn photograph(width: u32, height: u32) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    let mut noise: u32 = 1;
    for y in 0..height {
        for x in 0..width {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let grain = (noise % 16) as f32;
            let (u, v) = (x as f32 / 90.0, y as f32 / 70.0);
            let wave = (u.sin() * v.cos() + (u * 7.3).sin() * 0.2 + (v * 11.1).cos() * 0.1) * 70.0;
            pixels.extend(
                [128.0 + wave + grain, 110.0 - wave * 0.5 + grain, 90.0 + u.cos() * 40.0 + grain]
                    .map(|it| it as u8),
            );
        }
    }
    let mut settings = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    settings.set_size(width as usize, height as usize);
    settings.set_fastest_defaults();
    settings.set_quality(90.0);
    let mut file = settings.start_compress(Vec::new())?;
    file.write_scanlines(&pixels)?;
    Ok(file.finish()?)
}

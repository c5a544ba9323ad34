//! Parse, wire, run: puts the parts of the server together.

mod blobs;
pub(crate) mod database;
mod error;
mod events;
mod files;
mod fit;
mod health;
mod http;
mod memory;
pub(crate) mod upkeep;
pub(crate) mod welcome;

pub(crate) use error::ServeError;

use std::sync::Arc;
use std::time::Duration;

use rowlock_auth::Authenticator;
use rowlock_blobs::file::FileStore;
use rowlock_storage::{RenderSettings, Settings, Storage};
use rowlock_types::KeyRules;
use tokio::sync::watch;

use crate::config::database::DatabaseTarget;
use crate::config::{Config, Mode, remembered};
use blobs::Blobs;
use database::Database;
use fit::FitCheck;
use health::Health;

/// Temporary files older than this belong to no upload that still runs.
const TEMPORARY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// Runs the server until it is told to stop, and stops everything that it started.
///
/// # Errors
/// Whatever stops the start, in a sentence.
pub(crate) async fn serve(mut config: Config) -> Result<(), ServeError> {
    let signals = Signals::listen()?;
    let open_blobs = files::fit(&mut config, rowlock_http::server::raise_file_limit());
    let authenticator = Arc::new(Authenticator::new(config.auth.clone())?);
    for sentence in authenticator.warnings() {
        tracing::warn!("{sentence}");
    }
    // Before anything is started: a taken port is the likeliest reason to stop at once.
    let listeners = http::bind(&config).await?;
    let database = Database::open(&config, &authenticator).await?;
    let result = run(&config, &authenticator, &database, listeners, open_blobs, signals).await;
    database.close().await;
    tracing::info!("[Server] Exited");
    result
}

async fn run(
    config: &Config,
    authenticator: &Arc<Authenticator>,
    database: &Database,
    listeners: rowlock_http::server::Listeners,
    open_blobs: Option<usize>,
    signals: Signals,
) -> Result<(), ServeError> {
    let blobs = Blobs::open(config).await?;
    if let (Blobs::File(files), Some(most)) = (&blobs, open_blobs) {
        files.limit_open_files(most);
    }
    let storage = Storage::new(database.catalog.clone(), blobs.store(), domain(config))
        .in_process(database.presence.process())
        .with_images(&images(config));
    let storage = match events::settings(config)? {
        Some(settings) => storage.with_events(settings),
        None => storage,
    };
    storage.hear(database.presence.asked());
    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(storage.clone().run_worker(until(stopped.clone())));
    let sweeper = match &blobs {
        Blobs::File(files) => Some(tokio::spawn(sweep(files.clone(), until(stopped)))),
        Blobs::S3(..) => None,
    };

    let fit = FitCheck::new(storage.clone(), config);
    let look = look(blobs.clone(), fit.clone(), config.clone());
    let beside = matches!(blobs, Blobs::S3(..));
    let health = Health::new(storage.clone(), blobs, fit);
    let app = http::app(config, &storage, authenticator, health)?;
    let addresses = listeners.addresses().to_vec();
    if config.mode == Mode::Alone {
        welcome::print(config, &addresses);
    }
    tracing::info!(?addresses, "[Server] Started Successfully");
    // Last, where they are seen.
    for sentence in &config.alarms {
        tracing::error!("{sentence}");
    }
    let mut looking = tokio::spawn(look);
    // A service that says nothing takes its time over that, and so may one that is far away.
    if !beside {
        let _ = (&mut looking).await;
    }
    let giving_back = tokio::spawn(memory::give_back());
    let told = told(signals, storage.clone());
    rowlock_http::server::run(listeners, http::settings(config), app, told).await;
    // Connections that were cut off have left something to record.
    storage.release_resumables().await;

    looking.abort();
    giving_back.abort();
    stop.send_replace(true);
    let _ = worker.await;
    if let Some(sweeper) = sweeper {
        let _ = sweeper.await;
    }
    Ok(())
}

/// Resolves once the server is told to stop. Resumable uploads end at once, with all that has come,
/// so that clients go on elsewhere, or here after a restart.
async fn told(signals: Signals, storage: Storage) {
    signals.told().await;
    tokio::spawn(async move { storage.release_resumables().await });
}

/// Looks at the store, and says what is wrong.
async fn look(blobs: Blobs, fit: FitCheck, config: Config) {
    if let Some(problem) = blobs.problem().await {
        tracing::error!("{problem}");
    }
    if let Some(misfit) = fit.problem().await {
        tracing::error!("{misfit}");
    }
    if fit.fits().await {
        remember(&config);
    }
}

/// The domain's settings.
fn domain(config: &Config) -> Settings {
    Settings {
        max_object_bytes: config.uploads.size_limit,
        max_single_upload_bytes: config.uploads.standard_size_limit,
        key_rules: if config.uploads.strict_keys { KeyRules::Strict } else { KeyRules::Utf8 },
        blob_grace: config.objects.blob_grace,
        multipart_expiry: config.objects.multipart_expiry,
        resumable_expiry: config.resumable.expiry,
        encryption_key: config.uploads.encryption_key.clone(),
    }
}

/// How images are rendered.
fn images(config: &Config) -> RenderSettings {
    let mut settings = config.images.render.clone();
    if !config.images.memory_is_set
        && let Some(memory) = memory::of_the_machine()
    {
        settings.memory = settings.memory.min(memory / 2);
    }
    if config.images.names_a_proxy && config.images.sides.is_some() {
        tracing::info!("IMGPROXY_URL is set and not needed: images are rendered by this server");
    }
    settings
}

/// Has the data folder remember under which names its objects lie.
fn remember(config: &Config) {
    let DatabaseTarget::Embedded(embedded) = &config.database.target else { return };
    if let Err(error) = remembered::write(&embedded.data, &config.objects) {
        tracing::warn!(%error, "the data folder does not remember where its objects lie");
    }
}

/// Resolves once the server stops.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Removes forgotten temporary files at the start and now and then.
async fn sweep(files: FileStore, stopped: impl Future<Output = ()>) {
    tokio::pin!(stopped);
    loop {
        match files.sweep_tmp(TEMPORARY_LIFE).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "old temporary files removed"),
            Err(error) => tracing::warn!(%error, "old temporary files could not be removed"),
        }
        tokio::select! {
            () = &mut stopped => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// What tells the server to stop.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(ServeError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(ServeError::Signals)?,
        })
    }

    /// Resolves at the first signal; a second one ends the process at once.
    async fn told(mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!("[Server] Received {name}, shutting down");
        tokio::spawn(async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            std::process::exit(1);
        });
    }
}

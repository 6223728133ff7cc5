//! Accepting connections, and letting go of them when the server stops.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time for the head of a request: longer is a fault or an attack.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// Connections at the same time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// After an error of the listener (no free file descriptors, usually) it is tried again after this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Serves until `stop`, then takes no more and waits until every connection has finished its call. Whoever does not
/// want to wait that long drops the future.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let places = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Some((stream, place)) => {
                tasks.spawn(connection(stream, routes.clone(), stop.clone(), place));
            }
            None => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &std::sync::Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = std::sync::Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

async fn connection(stream: TcpStream, routes: Router, stop: CancellationToken, _place: OwnedSemaphorePermit) {
    // Small answers must not wait for more to send; where it cannot be set they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

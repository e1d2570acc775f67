//! One listener's connections: accepted within bounds, drained at shutdown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::config::Limits;

/// Serves a router on a listener until `stop` completes, then lets running requests finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let http = Arc::new(http(&limits));
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let (http, router) = (Arc::clone(&http), router.clone());
        let watcher = graceful.watcher();
        let header_timeout = limits.header_timeout;
        tokio::spawn(async move {
            let _place = place;
            if !has_spoken(&stream, header_timeout).await {
                return;
            }
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let mut router = router.clone();
                async move { Service::call(&mut router, request.map(Body::new)).await }
            });
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let outcome: Result<(), _> = watcher.watch(connection).await;
            if let Err(error) = outcome {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed, so a place is certain to come.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and complete; waiting to fill a packet only delays them.
            drop(stream.set_nodelay(true));
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            // Most likely out of file descriptors: give connections time to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// What a client of HTTP/2 says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether enough came in time to tell the HTTP version. Hyper reads it before its own timeout
/// begins, so without this a silent client would keep its place for ever.
async fn has_spoken(stream: &TcpStream, timeout: Duration) -> bool {
    let speaking = async {
        let mut start = [0; PREFACE.len()];
        loop {
            let n_bytes = stream.peek(&mut start).await.ok().filter(|n_bytes| *n_bytes > 0)?;
            if n_bytes == PREFACE.len() || !PREFACE.starts_with(&start[..n_bytes]) {
                return Some(());
            }
            // The beginning of a preface; peeking again at once would give the same.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    matches!(tokio::time::timeout(timeout, speaking).await, Ok(Some(())))
}

fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(256 << 10);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(128)
        .max_header_list_size(32 << 10)
        // The default windows of 64 kB make a batch wait for several round trips.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    http
}

// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The accept loop: one task for each connection, HTTP/1 and HTTP/2, and an end that loses no request which reached
//! this machine. `axum::serve` drops the connections that the kernel has accepted and the program has not yet.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Without file descriptors there is nothing to do but to wait for one.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// A connection that has not said anything yet is given this long once the server closes.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// Serves on `listener`, each peer with the service that `service` makes for it, until `close` completes. Then it serves what had connected until that moment, lets
/// every request under way finish, and returns.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: impl Fn(SocketAddr) -> S,
    close: impl Future<Output = ()>,
) -> std::io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (closing, connections) = (CancellationToken::new(), TaskTracker::new());
    let admit = |stream, peer| {
        connections.spawn(connection(stream, service(peer), closing.clone()));
    };
    let mut close = pin!(close);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer),
                Err(error) if gone(error.kind()) => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            },
            () = &mut close => break,
        }
    }
    // The kernel completes connections ahead of the program, and resets those that are left when the listener goes.
    let listener = listener.into_std()?;
    while let Ok((stream, peer)) = listener.accept() {
        stream.set_nonblocking(true)?;
        admit(TcpStream::from_std(stream)?, peer);
    }
    drop(listener);
    closing.cancel();
    connections.close();
    connections.wait().await;
    Ok(())
}

/// Whether the client left before it was accepted.
fn gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

/// One connection, until its client leaves or the server closes.
async fn connection<S, B>(stream: TcpStream, service: S, closing: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Answers are single small writes: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    // A connection that closes before its first request was read takes the request with it. So wait for that first.
    tokio::select! {
        readable = stream.readable() => if readable.is_err() { return },
        () = async { closing.cancelled().await; tokio::time::sleep(FIRST_BYTE).await } => return,
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder.http2().timer(TokioTimer::new());
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // How a connection ended is its client's affair.
    tokio::select! {
        biased;
        _ = served.as_mut() => return,
        () = closing.cancelled() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

//! Connections that can be broken on purpose.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Writes are not limited.
const UNLIMITED: i64 = i64::MAX;

/// Lets a handler break its own connection.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    allowed: Arc<AtomicI64>,
}

impl Breaker {
    /// Closes the connection after this many more bytes have been written.
    pub(crate) fn close_after(&self, bytes: usize) {
        self.allowed.store(bytes as i64, Ordering::SeqCst);
    }

    /// Resets the connection at the next write.
    pub(crate) fn reset(&self) {
        self.allowed.store(-1, Ordering::SeqCst);
    }
}

/// A TCP stream with a breaker.
#[derive(Debug)]
pub(crate) struct Breakable {
    stream: TcpStream,
    breaker: Breaker,
}

impl Breakable {
    /// How many bytes may be written now.
    fn room(&self) -> io::Result<usize> {
        match self.breaker.allowed.load(Ordering::SeqCst) {
            ..0 => {
                self.stream.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            more => Ok(usize::try_from(more).unwrap_or(usize::MAX)),
        }
    }

    fn written(&self, bytes: usize) {
        let allowed = self.breaker.allowed.load(Ordering::SeqCst);
        if allowed != UNLIMITED {
            self.breaker.allowed.store(allowed - bytes as i64, Ordering::SeqCst);
        }
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.room()?;
        let part = bytes.get(..room).unwrap_or(bytes);
        let polled = Pin::new(&mut self.stream).poll_write(context, part);
        if let Poll::Ready(Ok(count)) = &polled {
            self.written(*count);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Accepts breakable connections.
#[derive(Debug)]
pub(crate) struct BreakableListener(pub(crate) TcpListener);

impl Listener for BreakableListener {
    type Io = Breakable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Breakable, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let breaker = Breaker { allowed: Arc::new(AtomicI64::new(UNLIMITED)) };
        (Breakable { stream, breaker }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, BreakableListener>> for Breaker {
    fn connect_info(stream: IncomingStream<'_, BreakableListener>) -> Self {
        stream.io().breaker.clone()
    }
}

//! Connections to upstreams: names looked up, sockets opened, encryption agreed on. What fails is
//! kept apart, because it means different things to whoever has to mend it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::address::is_forbidden;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name leads nowhere.
    #[error("the name could not be looked up: {0}")]
    Dns(io::Error),
    /// Nobody listens there, or no way leads there.
    #[error("{0}")]
    Socket(io::Error),
    /// The certificate is not trusted, or both sides share no version.
    #[error("encryption failed: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("connecting took longer than {0:?}")]
    Timeout(Duration),
    /// The name leads where nobody may go.
    #[error("the name leads to {0}, a link-local or metadata address")]
    Forbidden(IpAddr),
    /// The address has no host, or one that no certificate can name.
    #[error("`{0}` is no host")]
    Host(String),
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections.
#[derive(Clone)]
pub struct Connector {
    sockets: HttpConnector<Resolver>,
    tls: TlsConnector,
    timeout: Duration,
}

impl Connector {
    /// A connector that gives up after `timeout`. A confined one follows no name to an address
    /// that no agent may have.
    pub fn new(tls: Arc<ClientConfig>, timeout: Duration, is_confined: bool) -> Self {
        let resolver = Resolver { names: GaiResolver::new(), is_confined };
        let mut sockets = HttpConnector::new_with_resolver(resolver);
        // One small write per event must not wait for the acknowledgement of the one before.
        sockets.set_nodelay(true);
        sockets.enforce_http(false);
        Connector { sockets, tls: TlsConnector::from(tls), timeout }
    }
}

/// The system's certificates. Reading them takes milliseconds, in which a thread serves nobody.
static SYSTEM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Some systems have certificates that nothing can read; the others are still good.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Whom to trust: the system's certificates and those in `extra`, PEM texts.
pub fn roots<'p>(extra: impl IntoIterator<Item = &'p str>) -> Result<RootCertStore, Boxed> {
    let mut roots = SYSTEM_ROOTS.clone();
    for pem in extra {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate?)?;
        }
    }
    Ok(roots)
}

/// How connections are encrypted.
pub fn client_tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Boxed;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Boxed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Boxed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Connector { mut sockets, tls, timeout } = self.clone();
        let connected = async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let is_encrypted = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
            let socket = sockets.call(uri).await.map_err(of_socket)?.into_inner();
            if !is_encrypted {
                return Ok(Stream::Plain { inner: TokioIo::new(socket) });
            }
            let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Host(host))?;
            let stream = tls.connect(name, socket).await.map_err(ConnectError::Tls)?;
            Ok(Stream::Encrypted { inner: TokioIo::new(Box::new(stream)) })
        };
        Box::pin(async move {
            let in_time = tokio::time::timeout(timeout, connected).await;
            in_time.unwrap_or(Err(ConnectError::Timeout(timeout))).map_err(Boxed::from)
        })
    }
}

/// What kind of failure is behind the connector's own error.
fn of_socket(error: impl std::error::Error + Send + Sync + 'static) -> ConnectError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(Unresolved::Failed(io)) => {
                return ConnectError::Dns(io::Error::new(io.kind(), io.to_string()));
            }
            Some(Unresolved::Forbidden(ip)) => return ConnectError::Forbidden(*ip),
            None => {}
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return ConnectError::Socket(io::Error::new(io.kind(), io.to_string()));
        }
        cause = error.source();
    }
    ConnectError::Socket(io::Error::other(error.to_string()))
}

/// Looks names up with the system's resolver, and marks what fails in it.
#[derive(Clone)]
struct Resolver {
    names: GaiResolver,
    is_confined: bool,
}

#[derive(Debug, thiserror::Error)]
enum Unresolved {
    #[error("{0}")]
    Failed(io::Error),
    #[error("{0} is forbidden")]
    Forbidden(IpAddr),
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future =
        Pin<Box<dyn Future<Output = Result<std::vec::IntoIter<SocketAddr>, Unresolved>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.names.poll_ready(context).map_err(Unresolved::Failed)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, is_confined) = (self.names.call(name), self.is_confined);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = found.await.map_err(Unresolved::Failed)?.collect();
            let forbidden = addresses.iter().find(|a| is_confined && is_forbidden(a.ip()));
            match forbidden {
                Some(address) => Err(Unresolved::Forbidden(address.ip())),
                None => Ok(addresses.into_iter()),
            }
        })
    }
}

pin_project_lite::pin_project! {
    /// A connection, encrypted or not.
    #[project = Either]
    pub enum Stream {
        /// Bytes as they are.
        Plain { #[pin] inner: TokioIo<TcpStream> },
        /// Encrypted ones. Boxed, as it is fifty times as large.
        Encrypted { #[pin] inner: TokioIo<Box<TlsStream<TcpStream>>> },
    }
}

/// Whether a connection has brought an answer before. Every answer that it brings carries this,
/// and so does what goes wrong on it.
#[derive(Clone, Debug, Default)]
pub struct Served(Arc<AtomicBool>);

impl Served {
    /// It has brought one.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub fn has_before(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Served::default());
        match self {
            Stream::Plain { .. } => connected,
            Stream::Encrypted { inner } => {
                let (_, session) = inner.inner().get_ref();
                if session.alpn_protocol() == Some(b"h2") {
                    connected.negotiated_h2()
                } else {
                    connected
                }
            }
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.project() {
            Either::Plain { inner } => inner.poll_read(context, buffer),
            Either::Encrypted { inner } => inner.poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            Either::Plain { inner } => inner.poll_write(context, bytes),
            Either::Encrypted { inner } => inner.poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            Either::Plain { inner } => inner.poll_flush(context),
            Either::Encrypted { inner } => inner.poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            Either::Plain { inner } => inner.poll_shutdown(context),
            Either::Encrypted { inner } => inner.poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain { inner } => inner.is_write_vectored(),
            Stream::Encrypted { inner } => inner.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            Either::Plain { inner } => inner.poll_write_vectored(context, parts),
            Either::Encrypted { inner } => inner.poll_write_vectored(context, parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_address_is_followed_only_by_who_is_free() {
        for (is_confined, is_found) in [(true, false), (false, true)] {
            let mut resolver = Resolver { names: GaiResolver::new(), is_confined };
            // The system takes an address for a name, too.
            let found = resolver.call("169.254.169.254".parse().unwrap()).await;
            assert_eq!(found.is_ok(), is_found);
        }
    }
}

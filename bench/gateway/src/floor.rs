//! What a proxy cannot avoid: one thread, a server and a client that pass everything through.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use clap::Args;
use http_body_util::Either;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::uri::{Authority, Scheme, Uri};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::Outcome;

/// Where the floor stands.
#[derive(Args)]
pub struct Options {
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// Where everything goes
    #[arg(long)]
    upstream: Authority,
}

type Upstream = Client<HttpConnector, Incoming>;

/// Serves until it is killed.
pub fn run(options: &Options) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(serve(options))?)
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    writeln!(io::stdout(), "listening floor http://{}", listener.local_addr()?)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Upstream = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), options.upstream.clone());
        let forward = service_fn(move |request| forward(request, client.clone(), upstream.clone()));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), forward);
        tokio::spawn(async move {
            // The load generator sees and counts what goes wrong.
            connection.await.ok();
        });
    }
}

async fn forward(
    mut request: Request<Incoming>,
    client: Upstream,
    upstream: Authority,
) -> Result<Response<Either<Incoming, Empty<Bytes>>>, hyper::http::Error> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    *request.uri_mut() = Uri::from_parts(parts)?;
    request.headers_mut().remove(HOST);
    match client.request(request).await {
        Ok(response) => Ok(response.map(Either::Left)),
        Err(_) => {
            Response::builder().status(StatusCode::BAD_GATEWAY).body(Either::Right(Empty::new()))
        }
    }
}

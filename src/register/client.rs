//! One request over http or https, small and in time: what the publisher says to witnesses.

use axum::http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its content type, empty if it has none.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an address that can be called.
    #[error("the address is not http:// or https:// with a host")]
    Address,
    /// Not in time.
    #[error("no answer in time")]
    Late,
    /// The connection, or what came over it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Not HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// Too long, or cut off.
    #[error("the answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

static TLS: LazyLock<Option<TlsConnector>> = LazyLock::new(|| {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
});

/// Sends one request over a connection of its own; redirections are not followed.
///
/// # Errors
/// If there is no answer, not in time, or not one of bounded size.
pub async fn send(method: Method, url: &Uri, body: String, within: Duration) -> Result<Answer, ClientError> {
    tokio::time::timeout(within, exchange(method, url, body)).await.map_err(|_| ClientError::Late)?
}

async fn exchange(method: Method, url: &Uri, body: String) -> Result<Answer, ClientError> {
    let authority = url.authority().ok_or(ClientError::Address)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let secure = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(ClientError::Address),
    };
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, concat!("ormantrace/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| ClientError::Address)?;
    if secure {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ClientError::Address)?;
        let tls = TLS.as_ref().ok_or(ClientError::Address)?;
        talk(tls.connect(name, stream).await?, request).await
    } else {
        talk(stream, request).await
    }
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let read = async {
        let answer = sender.send_request(request).await?;
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let (status, content_type) = (answer.status(), content_type.unwrap_or_default().to_owned());
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(ClientError::Body)?;
        Ok(Answer { status, content_type, body: body.to_bytes() })
    };
    let mut read = std::pin::pin!(read);
    // The connection works only while it is polled; it ends by itself after the answer.
    tokio::select! {
        answer = &mut read => answer,
        ended = connection => { ended?; read.await }
    }
}

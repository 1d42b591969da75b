//! A small HTTP and HTTPS client with a timeout; the publisher uses it to call witnesses.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::http::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto};

/// Maximum length of a response body, in bytes.
const MAX_RESPONSE: usize = 256 * 1024;

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// The content type of the response; empty if it has none.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be used.
    #[error("the address is not http:// or https:// with a host")]
    Address,
    /// No response before the timeout.
    #[error("no response in time")]
    Timeout,
    /// An I/O error of the connection, or a TLS error.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// An HTTP error.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The body is too long or incomplete.
    #[error("the response cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// Certificate authorities that are trusted over HTTPS: those that browsers trust, and those in a
/// configured file.
#[derive(Clone)]
pub struct Authorities(TlsConnector);

/// Why the certificates of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// The file is not PEM.
    #[error("it is not PEM: {0}")]
    Pem(#[from] pem::Error),
    /// It holds no certificate.
    #[error("there is no certificate in it")]
    Nothing,
    /// A certificate cannot be used as a trust anchor, or TLS cannot be set up.
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

impl Authorities {
    /// The public certificate authorities (webpki-roots), and those in the PEM file `file`, if given.
    ///
    /// # Errors
    /// If the file has no certificate, or one that cannot be used as a trust anchor.
    pub fn with(file: Option<&Path>) -> Result<Self, AuthorityError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = file {
            let bytes = std::fs::read(file)?;
            let known = roots.len();
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                roots.add(certificate?)?;
            }
            if roots.len() == known {
                return Err(AuthorityError::Nothing);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities")
    }
}

/// Sends one request over a connection of its own; redirects are not followed.
///
/// # Errors
/// If there is no response before the timeout, or its body is too long.
pub async fn send(
    authorities: &Authorities,
    method: Method,
    url: &Uri,
    body: String,
    within: Duration,
) -> Result<Response, ClientError> {
    let exchange = exchange(authorities, method, url, body);
    tokio::time::timeout(within, exchange).await.map_err(|_| ClientError::Timeout)?
}

async fn exchange(
    authorities: &Authorities,
    method: Method,
    url: &Uri,
    body: String,
) -> Result<Response, ClientError> {
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
        talk(authorities.0.connect(name, stream).await?, request).await
    } else {
        talk(stream, request).await
    }
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let read = async {
        let response = sender.send_request(request).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let (status, content_type) = (response.status(), content_type.unwrap_or_default().to_owned());
        let body =
            Limited::new(response.into_body(), MAX_RESPONSE).collect().await.map_err(ClientError::Body)?;
        Ok(Response { status, content_type, body: body.to_bytes() })
    };
    let mut read = std::pin::pin!(read);
    // The connection makes progress only while it is polled; it ends after the response.
    tokio::select! {
        response = &mut read => response,
        ended = connection => { ended?; read.await }
    }
}

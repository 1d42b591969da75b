//! Limits on a request body: bytes (after decompression), time, encoding.
//!
//! The limits apply while a handler reads, not before: a client without a token is rejected before any byte
//! of the body is read. The reason of a rejection is also stored outside the body. So the layers can send
//! 408, 413 or 415, whatever error the handler returned when its stream of the body broke off.

use crate::net::pace::{Pace, PaceMeter};
use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, EXPECT};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tower::util::MapRequestLayer;

/// Why a body was not read to its end. A client error; each variant has its own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body has more bytes than the route accepts, before or after decompression: 413.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The call's limit in bytes.
        limit: u64,
    },
    /// The body arrives more slowly than the pace, or is not complete in time: 408.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body has a `Content-Encoding` that the route does not accept: 415.
    #[error("the body's encoding is not accepted")]
    Encoding {
        /// Whether gzip would have been accepted.
        gzip: bool,
    },
    /// The body is declared as gzip, but is not gzip or is truncated: 400.
    #[error("the body is not gzip")]
    BadGzip,
}

/// Limits on the size and time of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodySettings {
    /// Bytes of an ordinary body. Default 256 kB.
    pub limit: u64,
    /// Bytes of a batch after decompression; the compressed form has the same limit. Default 5 MB.
    pub batch_limit: u64,
    /// The slowest pace of a body, and the longest time for the complete body, from the handler's first read.
    pub pace: Pace,
}

impl Default for BodySettings {
    fn default() -> Self {
        Self { limit: 256 * 1024, batch_limit: 5 * 1024 * 1024, pace: Pace::default() }
    }
}

/// The limits on one request's body, shared by the layers, the route and the body itself.
#[derive(Debug)]
pub struct BodyRules {
    settings: BodySettings,
    limit: AtomicU64,
    gzip: AtomicBool,
    error: OnceLock<BodyError>,
}

impl BodyRules {
    fn new(settings: BodySettings) -> Self {
        Self {
            settings,
            limit: AtomicU64::new(settings.limit),
            gzip: AtomicBool::new(false),
            error: OnceLock::new(),
        }
    }

    /// Why the body was rejected, if it was.
    #[must_use]
    pub fn error(&self) -> Option<BodyError> {
        self.error.get().copied()
    }

    /// The maximum number of bytes that the body can take in memory: the limit, or the declared length of a
    /// body without compression if that is less.
    #[must_use]
    pub fn expected(&self, body: &Body) -> u64 {
        let limit = self.limit.load(Ordering::Relaxed);
        body.size_hint().upper().map_or(limit, |upper| upper.min(limit))
    }

    fn take_batch(&self) {
        self.limit.store(self.settings.batch_limit, Ordering::Relaxed);
        self.gzip.store(true, Ordering::Relaxed);
    }
}

/// Lets one route accept a batch: 5 MB, with or without gzip.
///
/// `post(create_harvest).layer(batch_body())`. The layers apply the limits; without the
/// layers this does nothing.
#[must_use]
pub fn batch_body() -> MapRequestLayer<fn(Request) -> Request> {
    fn take_batch(request: Request) -> Request {
        if let Some(rules) = request.extensions().get::<Arc<BodyRules>>() {
            rules.take_batch();
        }
        request
    }
    MapRequestLayer::new(take_batch)
}

/// Applies the limits to a request's body and returns them.
#[must_use]
pub fn guard(request: Request, settings: BodySettings) -> (Request, Arc<BodyRules>) {
    let rules = Arc::new(BodyRules::new(settings));
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Arc::clone(&rules));
    if body.is_end_stream() {
        return (Request::from_parts(parts, body), rules);
    }
    // A body with two encodings is not supported. `remove` returns only the first of several values, so a
    // repeated header must be detected before.
    let repeated = parts.headers.get_all(CONTENT_ENCODING).iter().nth(1).is_some();
    let encoding = match parts.headers.remove(CONTENT_ENCODING) {
        _ if repeated => Encoding::Other,
        None => Encoding::Plain,
        Some(name) if name.as_bytes().eq_ignore_ascii_case(b"identity") => Encoding::Plain,
        Some(name) if name.as_bytes().eq_ignore_ascii_case(b"gzip") => Encoding::Gzip,
        Some(_) => Encoding::Other,
    };
    let guarded = Guarded {
        inner: body,
        rules: Arc::clone(&rules),
        encoding,
        waits_for_continue: parts.headers.contains_key(EXPECT),
        received: 0,
        reading: None,
        ended: false,
    };
    (Request::from_parts(parts, Body::new(guarded)), rules)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Other,
}

struct Guarded {
    inner: Body,
    rules: Arc<BodyRules>,
    encoding: Encoding,
    /// The client sends its body only after 100 Continue (RFC 9110, 10.1.1).
    waits_for_continue: bool,
    received: u64,
    reading: Option<Reading>,
    ended: bool,
}

/// The state of a body that the handler has begun to read.
struct Reading {
    limit: u64,
    started: Instant,
    meter: PaceMeter,
    alarm: Pin<Box<Sleep>>,
    unpacker: Option<MultiGzDecoder<Bounded>>,
}

impl Guarded {
    fn begin(&mut self) -> Result<(), BodyError> {
        let settings = self.rules.settings;
        let limit = self.rules.limit.load(Ordering::Relaxed);
        let gzip = self.rules.gzip.load(Ordering::Relaxed);
        let unpacker = match self.encoding {
            Encoding::Plain => None,
            Encoding::Gzip if gzip => Some(MultiGzDecoder::new(Bounded { bytes: Vec::new(), left: limit })),
            Encoding::Gzip | Encoding::Other => return Err(BodyError::Encoding { gzip }),
        };
        if self.inner.size_hint().lower() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        let started = Instant::now();
        let (meter, pace) = (PaceMeter::new(settings.pace), settings.pace);
        let alarm = Box::pin(tokio::time::sleep_until(started + pace.window.min(pace.total)));
        self.reading = Some(Reading { limit, started, meter, alarm, unpacker });
        Ok(())
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>> {
        if self.reading.is_none() {
            self.begin()?;
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(None)) };
        loop {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                    reading.meter.moved(bytes, Instant::now());
                    // Trailers are ignored.
                    let Ok(piece) = frame.into_data() else { continue };
                    self.received = self.received.saturating_add(piece.len() as u64);
                    if self.received > reading.limit {
                        return Poll::Ready(Err(BodyError::TooLarge { limit: reading.limit }.into()));
                    }
                    let Some(unpacker) = &mut reading.unpacker else {
                        return Poll::Ready(Ok(Some(piece)));
                    };
                    unpacker.write_all(&piece).map_err(|error| unpack_error(&error, reading.limit))?;
                    let unpacked = std::mem::take(&mut unpacker.get_mut().bytes);
                    if !unpacked.is_empty() {
                        return Poll::Ready(Ok(Some(unpacked.into())));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => {
                    self.ended = true;
                    let Some(mut unpacker) = reading.unpacker.take() else { return Poll::Ready(Ok(None)) };
                    unpacker.try_finish().map_err(|error| unpack_error(&error, reading.limit))?;
                    let unpacked = std::mem::take(&mut unpacker.get_mut().bytes);
                    return Poll::Ready(Ok((!unpacked.is_empty()).then(|| unpacked.into())));
                }
                Poll::Pending => {
                    let Some(next) = reading.meter.waits(Some(reading.started), Instant::now()) else {
                        return Poll::Ready(Err(BodyError::TooSlow.into()));
                    };
                    reading.alarm.as_mut().reset(next);
                    std::task::ready!(reading.alarm.as_mut().poll(cx));
                }
            }
        }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match std::task::ready!(this.poll_piece(cx)) {
            Ok(piece) => Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes)))),
            Err(error) => {
                if let Some(error) = error.downcast_ref::<BodyError>() {
                    let _ = this.rules.error.set(*error);
                }
                this.end();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.encoding {
            Encoding::Plain => self.inner.size_hint(),
            Encoding::Gzip | Encoding::Other => SizeHint::default(),
        }
    }
}

/// A rejected body is drained up to these limits, so that the response is not lost: closing a socket
/// with unread bytes resets the connection, and the client's kernel then discards unread data.
const DRAIN_BYTES: u64 = 8 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);

impl Guarded {
    /// Ends the reading and drains the rest of the body, within limits.
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) || self.inner.is_end_stream() {
            return;
        }
        let too_slow = self.rules.error() == Some(BodyError::TooSlow);
        // If the client waits for 100 Continue, it has not sent the body yet. Polling the body would send 100
        // Continue, and the client would then send a body that nothing needs.
        let not_sent = self.waits_for_continue && self.reading.is_none();
        if too_slow || not_sent {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut rest = std::mem::take(&mut self.inner);
        runtime.spawn(async move {
            let drain = async {
                let mut left = DRAIN_BYTES;
                while let Some(Ok(frame)) = rest.frame().await {
                    let taken = frame.data_ref().map_or(0, Bytes::len) as u64;
                    match left.checked_sub(taken) {
                        Some(fewer) => left = fewer,
                        None => break,
                    }
                }
            };
            let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
        });
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// Accepts a limited number of bytes, so that a decompression bomb is stopped while it is unpacked.
struct Bounded {
    bytes: Vec<u8>,
    left: u64,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unpack_error(error: &io::Error, limit: u64) -> BodyError {
    match error.kind() {
        io::ErrorKind::FileTooLarge => BodyError::TooLarge { limit },
        _ => BodyError::BadGzip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;
    use proptest::prelude::*;

    fn small() -> BodySettings {
        BodySettings { limit: 64, batch_limit: 4096, ..BodySettings::default() }
    }

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Sends `bytes` in pieces of `piece` bytes, as a batch or not, and reads everything.
    fn read(
        bytes: &[u8],
        piece: usize,
        encoding: Option<&str>,
        batch: bool,
    ) -> (Option<Vec<u8>>, Option<BodyError>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let pieces: Vec<_> =
                bytes.chunks(piece.max(1)).map(|p| Ok::<_, io::Error>(Bytes::copy_from_slice(p))).collect();
            let mut request = Request::builder();
            if let Some(encoding) = encoding {
                request = request.header(CONTENT_ENCODING, encoding);
            }
            let request = request.body(Body::from_stream(stream::iter(pieces))).unwrap();
            let (request, rules) = guard(request, small());
            if batch {
                rules.take_batch();
            }
            let read = request.into_body().collect().await.ok();
            (read.map(|all| all.to_bytes().to_vec()), rules.error())
        })
    }

    #[test]
    fn the_limit_itself_is_taken_and_one_more_is_not() {
        assert_eq!(read(&[b'p'; 64], 7, None, false), (Some(vec![b'p'; 64]), None));
        assert_eq!(read(&[b'p'; 65], 7, None, false), (None, Some(BodyError::TooLarge { limit: 64 })));
        assert_eq!(read(&[b'p'; 4096], 700, None, true).1, None);
        assert_eq!(read(&[b'p'; 4097], 700, None, true).1, Some(BodyError::TooLarge { limit: 4096 }));
    }

    #[test]
    fn a_bomb_is_counted_unpacked() {
        let bomb = pack(&vec![0; 50_000_000]);
        assert!(bomb.len() > 4096, "the compressed form alone exceeds the limit");
        let bomb = pack(&vec![0; 1_000_000]);
        assert!(bomb.len() < 4096);
        assert_eq!(
            read(&bomb, 100_000, Some("gzip"), true),
            (None, Some(BodyError::TooLarge { limit: 4096 }))
        );
        assert_eq!(read(&pack(&[0; 4096]), 9, Some("gzip"), true), (Some(vec![0; 4096]), None));
    }

    #[test]
    fn gzip_is_for_batches_and_nothing_else_is_for_anyone() {
        let packed = pack(b"{}");
        assert_eq!(read(&packed, 5, Some("gzip"), false).1, Some(BodyError::Encoding { gzip: false }));
        assert_eq!(read(&packed, 5, Some("br"), true).1, Some(BodyError::Encoding { gzip: true }));
        assert_eq!(read(&packed, 5, Some("gzip, gzip"), true).1, Some(BodyError::Encoding { gzip: true }));
        assert_eq!(read(b"{}", 5, Some("identity"), false), (Some(b"{}".to_vec()), None));
        assert_eq!(read(&packed, 5, Some("GZIP"), true), (Some(b"{}".to_vec()), None));
    }

    #[test]
    fn what_is_not_gzip_or_breaks_off_is_said_to_be() {
        assert_eq!(read(b"pinus_sylvestris", 5, Some("gzip"), true), (None, Some(BodyError::BadGzip)));
        let packed = pack(b"seal_number,species\n1,pinus_sylvestris\n");
        for cut in 1..packed.len() {
            assert_eq!(
                read(&packed[..cut], 5, Some("gzip"), true),
                (None, Some(BodyError::BadGzip)),
                "at {cut}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_whole(bytes in proptest::collection::vec(any::<u8>(), 1..4096), piece in 1usize..600) {
            prop_assert_eq!(read(&pack(&bytes), piece, Some("gzip"), true).0, Some(bytes.clone()).filter(|_| pack(&bytes).len() <= 4096));
        }

        #[test]
        fn hostile_gzip_never_panics(bytes in proptest::collection::vec(any::<u8>(), 1..300), piece in 1usize..60) {
            let mut hostile = vec![0x1f, 0x8b, 8, 0];
            hostile.extend(bytes);
            let _ = read(&hostile, piece, Some("gzip"), true);
        }
    }
}

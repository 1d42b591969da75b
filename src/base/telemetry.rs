//! The trace for the administrator: log lines on standard error, as text or as JSON, each with the request id
//! of its span.
//!
//! Each line of the output stays one line: control characters, line and paragraph separators and direction
//! marks in values are escaped, so a value that a client sends can neither imitate a log line nor control a
//! terminal. Personal data and tokens are not filtered here: code must never put them into a field.

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Format of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// The filter that applies if the settings contain none.
pub const DEFAULT_FILTER: &str = "info,sqlx=warn,hyper=info";

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed.
    #[error("the filter {filter:?} cannot be read: {source}")]
    Filter {
        /// The filter as given.
        filter: String,
        /// The parse error.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber is already set.
    #[error("telemetry is already set up")]
    Twice,
}

/// Sets up the process's log lines on standard error, panics included. Called once per process.
///
/// `filter` is in the syntax of `tracing_subscriber::EnvFilter`, such as
/// `info,ormantrace=debug`; empty means [`DEFAULT_FILTER`].
///
/// # Errors
/// If the filter cannot be parsed, or telemetry was set up before.
pub fn init(format: Format, filter: &str) -> Result<(), TelemetryError> {
    let lines = lines(format, filter, io::stderr)?;
    tracing_subscriber::registry().with(lines).try_init().map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(trace_panic));
    Ok(())
}

fn lines<W>(
    format: Format,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let directives = if filter.trim().is_empty() { DEFAULT_FILTER } else { filter };
    let filter = EnvFilter::try_new(directives)
        .map_err(|source| TelemetryError::Filter { filter: directives.to_owned(), source })?;
    let layer = fmt::layer().with_ansi(false).with_writer(Escaping(writer));
    Ok(match format {
        Format::Text => filter.and_then(layer).boxed(),
        Format::Json => filter.and_then(layer.json().flatten_event(true).with_current_span(false)).boxed(),
    })
}

/// Writes a panic as one line of the trace, with the request id of the span in which it occurred.
fn trace_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic = message, place, "panicked");
}

/// Escapes characters that could break out of a line. The subscriber writes one complete line at a time.
struct Escaping<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Escaping<W> {
    type Writer = EscapingWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        EscapingWriter(self.0.make_writer())
    }
}

struct EscapingWriter<W>(W);

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let (body, end) = text.strip_suffix('\n').map_or((&*text, ""), |body| (body, "\n"));
        if body.contains(breaks_out) {
            self.0.write_all((escape(body) + end).as_bytes())?;
        } else {
            self.0.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn breaks_out(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces each character that could break out of a line by `\u` and four hexadecimal digits, which is also
/// valid in JSON. Four digits are enough, because all these characters are in the Basic Multilingual Plane.
fn escape(text: &str) -> String {
    use std::fmt::Write;

    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if breaks_out(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn traced(format: Format, trace: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = lines(format, "", move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), trace);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn trace_value(value: &str) {
        let span = tracing::info_span!("request", request_id = "0190-pine", odd = value);
        let _in = span.enter();
        tracing::info!(plain = value, quoted = ?value, "seal {value} refused");
    }

    #[test]
    fn a_caller_cannot_write_a_line_of_his_own() {
        let hostile = "x\n2026-01-01 INFO all is well\r\x1b[2J\u{85}\u{9b}31m\u{2028}\u{202e}";
        for format in [Format::Text, Format::Json] {
            let line = traced(format, || trace_value(hostile));
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(!line.trim_end_matches('\n').contains(breaks_out), "{line:?}");
            assert!(line.contains("0190-pine"), "{line}");
        }
    }

    #[test]
    fn json_lines_carry_the_request_id_where_it_can_be_found() {
        let line: serde_json::Value =
            serde_json::from_str(&traced(Format::Json, || trace_value("Сосна"))).unwrap();
        assert_eq!(line["spans"][0]["request_id"], "0190-pine");
        assert_eq!(line["plain"], "Сосна");
        assert_eq!(line["level"], "INFO");
    }

    /// When a library only checks whether a tracing event is enabled, the next event must not be affected.
    /// sqlx checks in this way (through the crate `log`) before it traces a PostgreSQL notice. A per-layer
    /// filter used the result for the thread's next event, so the "serving" line of a restarted server was
    /// lost.
    #[test]
    fn what_is_not_to_be_told_takes_no_other_line_with_it() {
        let registry = tracing_subscriber::registry();
        let notice = tracing::subscriber::with_default(registry, || {
            tracing::info_span!(target: "sqlx::postgres::notice", "notice").metadata()
        });
        let notice = notice.expect("enabled");
        let lines = traced(Format::Text, || {
            assert!(!tracing::dispatcher::get_default(|dispatch| dispatch.enabled(notice)));
            tracing::info!("serving");
        });
        assert!(lines.contains("serving"), "{lines:?}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(matches!(
            lines(Format::Text, "ormantrace=loud,=", io::sink),
            Err(TelemetryError::Filter { .. })
        ));
    }

    proptest! {
        #[test]
        fn json_stays_json_whatever_is_told(value in any::<String>()) {
            let text = traced(Format::Json, || trace_value(&value));
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(line["plain"].as_str(), Some(value.as_str()));
        }
    }
}

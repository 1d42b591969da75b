//! The label of a seal: one SVG, to be printed at its nominal size.
//!
//! On the left a GS1 DataMatrix with the complete marking code, for industrial
//! readers; on the right a QR code with the Digital Link, for any phone; below,
//! the number and the identification as text. The label measures 60 × 30 mm. It is
//! larger only if the symbols need it to keep modules of at least 0.3 mm; below
//! that, hand-held readers and thermal printers begin to fail.

use super::marking_code::MarkingCode;
use super::number::SealNumber;
use crate::base::error::Invalid;
use datamatrix::{DataMatrix, SymbolList};
use fast_qr::{ECL, QRBuilder};
use std::fmt::Write as _;

/// Smallest module of either symbol, in mm.
const MIN_MODULE: f64 = 0.3;
/// Side of the square that a symbol and its quiet zone fill, in mm.
const BOX: f64 = 23.0;
/// Free edge of the label and gap under the symbols, in mm.
const MARGIN: f64 = 0.8;
/// Height of the two lines of text with their spacing, in mm.
const TEXT: f64 = 5.4;
/// Width of the label, in mm.
const WIDTH: f64 = 60.0;

/// Why a label cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The public address makes the link too long for a QR code.
    #[error("the public address is too long for a QR code")]
    Link,
    /// The code does not fit a DataMatrix. Every code that the parser accepts fits.
    #[error("the marking code is too long for a DataMatrix")]
    Code,
}

impl From<LabelError> for Invalid {
    fn from(error: LabelError) -> Self {
        let code = match error {
            LabelError::Link => "label-link-too-long",
            LabelError::Code => "label-code-too-long",
        };
        Self::new(code, error.to_string())
    }
}

/// A square of modules, and the width of its quiet zone in modules.
struct Symbol {
    side: usize,
    quiet: usize,
    dark: Vec<bool>,
}

impl Symbol {
    fn across(&self) -> f64 {
        f64::from(u32::try_from(self.side + 2 * self.quiet).unwrap_or(u32::MAX))
    }

    /// All dark modules as one SVG path, with a rectangle for each run of dark modules in a row.
    fn path(&self) -> String {
        let mut path = String::new();
        for (y, row) in self.dark.chunks(self.side).enumerate() {
            let mut x = 0;
            while x < row.len() {
                let run = row[x..].iter().take_while(|dark| **dark).count();
                if run > 0 {
                    let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + self.quiet, y + self.quiet);
                }
                x += run.max(1);
            }
        }
        path
    }
}

/// The label as a complete SVG document: sizes in mm, no script, no external resources.
///
/// `public_url` is the server's address as a buyer's phone reaches it, with or
/// without a trailing slash.
pub fn label_svg(number: &SealNumber, code: &MarkingCode, public_url: &str) -> Result<String, LabelError> {
    let matrix = data_matrix(code)?;
    let qr = qr_code(&code.identification().link(public_url))?;
    let size = [&matrix, &qr].map(|s| s.across() * MIN_MODULE).into_iter().fold(BOX, f64::max);
    let width = (2.0 * size + 3.0 * MARGIN).max(WIDTH);
    let height = plain(MARGIN + size + TEXT + MARGIN);
    let (middle, qr_at) = (plain(width / 2.0), plain(width - MARGIN - size));
    let (number_at, code_at) = (plain(MARGIN + size + 2.8), plain(MARGIN + size + 5.0));
    let width = plain(width);
    let identification = escaped(&code.human_readable());
    let number = escaped(number.as_str());
    Ok(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" role="img" aria-labelledby="label-title">
<title id="label-title">Seal {number}</title>
<rect width="{width}" height="{height}" fill="#fff"/>
<g fill="#000" shape-rendering="crispEdges">
<path id="datamatrix" transform="translate({MARGIN} {MARGIN}) scale({})" d="{}"/>
<path id="qr" transform="translate({} {MARGIN}) scale({})" d="{}"/>
</g>
<g fill="#000" font-family="monospace" text-anchor="middle">
<text x="{middle}" y="{number_at}" font-size="3.4" font-weight="bold">{number}</text>
<text x="{middle}" y="{code_at}" font-size="1.9">{identification}</text>
</g>
</svg>
"##,
        size / matrix.across(),
        matrix.path(),
        qr_at,
        size / qr.across(),
        qr.path(),
    ))
}

fn data_matrix(code: &MarkingCode) -> Result<Symbol, LabelError> {
    // `encode_gs1` puts an FNC1 first, which marks the symbol as GS1; inside the symbol, GS separates
    // elements, as the General Specifications allow. Only square symbols are used, because old readers do not
    // support the long rectangles.
    let symbols = SymbolList::default().enforce_square();
    let made = DataMatrix::encode_gs1(code.as_str().as_bytes(), symbols).map_err(|_| LabelError::Code)?;
    let bitmap = made.bitmap();
    Ok(Symbol { side: bitmap.width(), quiet: 2, dark: bitmap.bits().to_vec() })
}

fn qr_code(link: &str) -> Result<Symbol, LabelError> {
    // Error correction level M tolerates 15 % damage; higher levels need smaller modules, which frost and
    // resin damage more.
    let made = QRBuilder::new(link).ecl(ECL::M).build().map_err(|_| LabelError::Link)?;
    let dark = made.data[..made.size * made.size].iter().map(|module| module.value()).collect();
    Ok(Symbol { side: made.size, quiet: 4, dark })
}

/// A length rounded to 0.1 µm, so that binary fractions print without trailing digits.
fn plain(millimetres: f64) -> f64 {
    (millimetres * 10_000.0).round() / 10_000.0
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::gs1::Gtin;
    use super::super::marking_code::Identification;
    use super::super::signing::SigningKey;
    use super::*;

    fn label(serial: &str, base: &str) -> Result<String, LabelError> {
        let identification = Identification::new(Gtin::DEMONSTRATION, serial).unwrap();
        let code = SigningKey::from_seed(&[7; 32]).sign(&identification);
        label_svg(&SealNumber::parse("AB-0004711").unwrap(), &code, base)
    }

    #[test]
    fn a_label_of_ours_keeps_its_size_and_says_what_it_is() {
        let svg = label("K7M2Q9XJ4TZ0B", "https://ormantrace.example/").unwrap();
        assert!(
            svg.starts_with(r#"<svg xmlns="http://www.w3.org/2000/svg" width="60mm" height="30mm""#),
            "{svg:.120}"
        );
        assert!(
            svg.contains(r#"role="img""#)
                && svg.contains("<title id=\"label-title\">Seal AB-0004711</title>")
        );
        assert!(svg.contains("(01)09520000000011(21)K7M2Q9XJ4TZ0B</text>"));
        assert_eq!(svg.matches("<path").count(), 2);
    }

    #[test]
    fn a_serial_of_markup_stays_text() {
        let svg = label("<script>\"&'", "https://ormantrace.example").unwrap();
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;&quot;&amp;&#39;"));
    }

    #[test]
    fn modules_stay_printable_and_a_boundless_address_is_refused() {
        let module = |svg: &str, id: &str| {
            let after = svg.split_once(&format!("id=\"{id}\"")).unwrap().1;
            let number = after.split_once("scale(").unwrap().1.split_once(')').unwrap().0;
            number.parse::<f64>().unwrap()
        };
        for base in ["https://o.kz".to_owned(), format!("https://{}", "orman".repeat(100))] {
            let svg = label("ABCDEFGHIJKLMNOPQRST", &base).unwrap();
            assert!(module(&svg, "datamatrix") >= MIN_MODULE - 1e-9);
            assert!(module(&svg, "qr") >= MIN_MODULE - 1e-9);
        }
        assert_eq!(label("A", &format!("https://{}", "o".repeat(5_000))), Err(LabelError::Link));
    }
}

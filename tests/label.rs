//! A seal's label is read back by decoders that are independent of the crates that drew it. A Rust port of
//! `ZXing` always reads it, from pixels that this test draws. If `ORMANTRACE_PYTOOLS` names a Python
//! environment with `zxing-cpp`, `resvg_py` and `pillow`, these libraries read the label too, after rendering
//! the SVG as a browser does.

use ormantrace::timber::seal::gs1::Gtin;
use ormantrace::timber::seal::label::label_svg;
use ormantrace::timber::seal::signing::{KeyRing, Mint, Signature, SigningKey};
use ormantrace::timber::seal::{Identification, MarkingCode, SealNumber};
use rxing::{BarcodeFormat, RXingResultMetadataType, RXingResultMetadataValue};
use std::path::PathBuf;
use std::process::Command;

const BASE: &str = "https://ormantrace.example";
/// Pixels per millimetre: a printer of 300 dpi.
const RESOLUTION: f64 = 12.0;

struct Label {
    code: MarkingCode,
    link: String,
    svg: String,
}

/// Labels as the program prints them, and labels of the most difficult codes that may be registered.
fn labels() -> Vec<Label> {
    let key = SigningKey::from_seed(&[7; 32]);
    let mint = Mint::with_secret(Gtin::DEMONSTRATION, [1; 32]);
    let ours = (0..3).map(|n| key.sign(&mint.identification(n).unwrap()));
    let awkward = key.sign(&Identification::new(Gtin::DEMONSTRATION, "2191%/<&>\"92?+=()_-*").unwrap());
    let foreign = MarkingCode::parse(&format!(
        "0109520000000011215'4k\u{1d}91EE08\u{1d}92{}\u{1d}10LOT7",
        "Zm9yZXN0".repeat(6).split_at(44).0
    ))
    .unwrap();
    let bare = MarkingCode::parse("010952000000001121A").unwrap();
    let number = SealNumber::parse("AB-0004711").unwrap();
    ours.chain([awkward, foreign, bare])
        .map(|code| Label {
            link: code.identification().link(BASE),
            svg: label_svg(&number, &code, BASE).unwrap(),
            code,
        })
        .collect()
}

/// The value of an attribute of the element that has this id or this tag name.
fn attribute<'a>(svg: &'a str, id: &str, name: &str) -> &'a str {
    let element = svg.split('<').find(|e| e.contains(&format!("id=\"{id}\"")) || e.starts_with(id)).unwrap();
    element.split_once(&format!(" {name}=\"")).unwrap().1.split_once('"').unwrap().0
}

/// Draws the two barcodes of the label as pixels. Each barcode is a path `M x y h w v 1 h -w z` under
/// `translate(..) scale(..)`.
fn pixels(svg: &str) -> (Vec<u8>, u32, u32) {
    let millimetres = |name| attribute(svg, "svg", name).trim_end_matches("mm").parse::<f64>().unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place on a label of some 60 mm"
    )]
    let whole = |length: f64| (length * RESOLUTION).round() as usize;
    let (width, height) = (whole(millimetres("width")), whole(millimetres("height")));
    let mut luma = vec![255_u8; width * height];
    for id in ["datamatrix", "qr"] {
        let numbers: Vec<f64> = attribute(svg, id, "transform")
            .split(|c: char| !(c.is_ascii_digit() || c == '.'))
            .filter_map(|n| n.parse().ok())
            .collect();
        let [x, y, scale] = numbers[..] else { panic!("{numbers:?}") };
        for run in attribute(svg, id, "d").split('M').skip(1) {
            let parts: Vec<f64> =
                run.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            let [left, top, across, 1.0, back] = parts[..] else { panic!("{run}") };
            assert!((across - back).abs() < f64::EPSILON, "{run}");
            for row in whole(y + top * scale)..whole(y + (top + 1.0) * scale) {
                luma[row * width + whole(x + left * scale)..row * width + whole(x + (left + across) * scale)]
                    .fill(0);
            }
        }
    }
    (luma, u32::try_from(width).unwrap(), u32::try_from(height).unwrap())
}

#[test]
fn an_independent_decoder_reads_both_symbols() {
    for label in labels() {
        let (luma, width, height) = pixels(&label.svg);
        let read = |format| {
            rxing::helpers::detect_in_luma(luma.clone(), width, height, Some(format))
                .unwrap_or_else(|error| panic!("{format}: {error} in {}", label.code))
        };
        let matrix = read(BarcodeFormat::DATA_MATRIX);
        let metadata = matrix.getRXingResultMetadata();
        // The identifier shows that the code begins with FNC1, as a GS1 DataMatrix must; for a DataMatrix
        // without FNC1 it would be `]d1`.
        let Some(RXingResultMetadataValue::SymbologyIdentifier(symbology)) =
            metadata.get(&RXingResultMetadataType::SYMBOLOGY_IDENTIFIER)
        else {
            panic!("no symbology among {metadata:?}")
        };
        assert_eq!(symbology, "]d2");
        assert_eq!(matrix.getText(), label.code.as_str());
        assert_eq!(MarkingCode::parse(matrix.getText()), Ok(label.code.clone()));
        assert_eq!(read(BarcodeFormat::QR_CODE).getText(), label.link);
        assert_eq!(Identification::parse(&label.link), Ok(label.code.identification()));
    }
}

#[test]
fn what_was_read_from_a_label_is_verified_without_a_database() {
    let label = labels().remove(0);
    let (luma, width, height) = pixels(&label.svg);
    let read = rxing::helpers::detect_in_luma(luma, width, height, Some(BarcodeFormat::DATA_MATRIX)).unwrap();
    let code = MarkingCode::parse(read.getText()).unwrap();
    assert_eq!(KeyRing::from(&SigningKey::from_seed(&[7; 32])).verify(&code), Signature::Valid);
}

#[test]
fn zxing_cpp_reads_both_symbols_from_the_rendered_svg() {
    let Some(tools) = std::env::var_os("ORMANTRACE_PYTOOLS").map(PathBuf::from) else {
        eprintln!("ORMANTRACE_PYTOOLS is not set: read by the Rust decoder only");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/read_codes.py");
    for label in labels() {
        let file = folder.path().join("label.svg");
        std::fs::write(&file, &label.svg).unwrap();
        let out = Command::new(tools.join("bin/python3")).arg(script).arg(&file).arg("12").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let found: Vec<serde_json::Value> = serde_json::from_slice(&out.stdout).unwrap();
        let text = |symbology: &str| {
            let symbol = found.iter().find(|s| s["symbology"] == symbology);
            let symbol =
                symbol.unwrap_or_else(|| panic!("no {symbology} among {found:?} for {}", label.code));
            String::from_utf8(hex::decode(symbol["bytes"].as_str().unwrap()).unwrap()).unwrap()
        };
        assert_eq!(text("]d2"), label.code.as_str());
        assert_eq!(text("]Q1"), label.link);
        assert_eq!(found.len(), 2);
    }
}

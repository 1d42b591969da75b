//! CSV bodies read into the same request types as JSON.

use super::{Load, listed};
use crate::base::error::Location;
use crate::base::input::{Layout, Malformed, Table};
use proptest::prelude::*;

fn layout() -> Layout {
    Layout::rows("logs")
        .columns(&["seal_number", "volume_m3", "pieces", "type"])
        .column("lat", &["position", "lat"])
        .column("lon", &["position", "lon"])
        .column("accuracy_m", &["position", "accuracy_m"])
        .shared("responsible_name", &["responsible_person", "name"])
        .shared("responsible_iin", &["responsible_person", "iin"])
}

fn read(csv: impl AsRef<[u8]>) -> Result<Load, String> {
    let table = Table::parse(csv.as_ref(), None, 3).expect("CSV");
    table.document(&layout(), &[]).read().map_err(|errors| listed(&errors))
}

fn malformed(csv: impl AsRef<[u8]>, charset: Option<&str>) -> (&'static str, Location) {
    let Malformed { code, at, .. } = Table::parse(csv.as_ref(), charset, 3).expect_err("malformed");
    (code, at)
}

#[test]
fn a_spreadsheets_export_is_read() {
    let load = read(
        "\u{FEFF}Seal_Number ;volume_m3;LAT;lon;accuracy_m;responsible_name;responsible_iin;pieces;type\r\n\
         KZ-000001; 0,330 ;50,41;80,2;;Айгүл Сәрсен;;;log\r\n\
         \r\n\
         \"KZ-000002\";0.25;;;;;000101000011;03;stack\r\n\
         ;;;;;;;;\r\n",
    )
    .expect("good");
    let person = load.responsible_person.expect("given");
    assert_eq!((person.name.as_str(), person.iin.as_deref()), ("Айгүл Сәрсен", Some("000101000011")));
    let spot = load.logs[0].position.as_ref().expect("given");
    assert_eq!((spot.lat.0.as_str(), spot.lon.0.as_str(), spot.accuracy_m), ("50.41", "80.2", None));
    assert_eq!((load.logs[0].volume_m3.0.as_str(), load.logs[0].pieces), ("0.330", None));
    assert_eq!((load.logs[1].volume_m3.0.as_str(), load.logs[1].pieces), ("0.25", Some(3)));
    assert!(load.logs[1].position.is_none());
    assert_eq!(load.logs.len(), 2);
}

#[test]
fn every_separator_is_found_in_the_header() {
    for (sign, volume) in [(",", "\"0,33\""), (",", "0.33"), (";", "0,33"), ("\t", "0,33")] {
        let csv = format!("volume_m3{sign}seal_number\n{volume}{sign}KZ-000001");
        let load = read(&csv).expect("good");
        assert_eq!(
            (load.logs[0].volume_m3.0.as_str(), load.logs[0].seal_number.0.as_str()),
            ("0.33", "KZ-000001")
        );
    }
    // A separator in quotes does not count.
    assert_eq!(
        read("\"a;b;c\",seal_number\n,KZ-000001").expect_err("faulty"),
        "1:a;b;c unknown-field\n1:volume_m3 required"
    );
}

#[test]
fn windows_1251_is_told_from_utf8_and_can_be_named() {
    let text = "seal_number;volume_m3;responsible_name\nKZ-000001;1;Иванов";
    let bytes = encoding_rs::WINDOWS_1251.encode(text).0;
    let name = |charset: Option<&str>, bytes: &[u8]| {
        let table = Table::parse(bytes, charset, 3).expect("CSV");
        let load: Load = table.document(&layout(), &[]).read().expect("good");
        load.responsible_person.expect("given").name
    };
    assert_eq!(name(None, &bytes), "Иванов");
    assert_eq!(name(Some("Windows-1251"), &bytes), "Иванов");
    assert_eq!(name(None, text.as_bytes()), "Иванов");
    assert_eq!(name(Some("utf-8"), text.as_bytes()), "Иванов");
    // A byte order mark takes precedence over a wrong content type.
    assert_eq!(name(Some("cp1251"), format!("\u{FEFF}{text}").as_bytes()), "Иванов");
    assert_eq!(malformed(&bytes, Some("utf-8")).0, "not-utf8");
    assert_eq!(malformed(text, Some("koi8-r")).0, "unknown-charset");
}

#[test]
fn faults_are_told_by_line_and_column_all_at_once() {
    assert_eq!(
        read(
            "seal_number,volume_m3,lat,diameter,seal_number,pieces,type,responsible_name,responsible_iin\n\
             KZ-1,0.33,50.4,,,,,,000101000011\n\
             \n\
             KZ-000002,1 000,,,,x,,,\n\
             ,0.12345,,,,2,log,,000101000012\n"
        )
        .expect_err("faulty"),
        "1:diameter unknown-field
1:lon required
1:seal_number duplicate-column
2:responsible_name required
2:seal_number seal-number
4:pieces not-a-number
4:volume_m3 not-a-number
5:responsible_iin differs
5:seal_number required
5:volume_m3 volume"
    );
}

#[test]
fn each_line_that_differs_from_the_first_is_told() {
    assert_eq!(
        read(
            "seal_number,volume_m3,responsible_name,responsible_iin\n\
             KZ-000001,1,Ospanov,000101000011\n\
             KZ-000002,1,Akhmetov,000101000012\n\
             KZ-000003,1,Serikov,\n"
        )
        .expect_err("faulty"),
        "3:responsible_iin differs
3:responsible_name differs
4:responsible_name differs"
    );
}

#[test]
fn rows_have_no_values_beyond_the_header() {
    assert_eq!(
        read("seal_number,volume_m3\nKZ-000001,1,\nKZ-000002\n").expect_err("faulty"),
        "3:volume_m3 required"
    );
    // A value in a column beyond the header is an error.
    assert_eq!(read("seal_number,volume_m3\nKZ-000001,1,,2\n").expect_err("faulty"), "2: wrong-cell-count");
    assert_eq!(
        read("seal_number,volume_m3,lat,lon\nKZ-000001,1\nKZ-000002,1,\n").expect("good").logs.len(),
        2
    );
    // The nameless empty columns that spreadsheets export are no error; a nameless column with values is.
    assert!(read("seal_number,volume_m3,,\nKZ-000001,1,,\n").is_ok());
    assert_eq!(read("seal_number,volume_m3,\nKZ-000001,1,2\n").expect_err("faulty"), "1: unknown-field");
}

#[test]
fn a_first_line_may_name_the_separator() {
    for (line, sign) in
        [("sep=;", ';'), ("SEP=,", ','), ("sep=\t", '\t'), ("\"sep=;\"", ';'), ("sep=;;;", ';')]
    {
        // The error is on line 4, because the `sep=` line counts as a line.
        let csv = format!("{line}\r\nvolume_m3{sign}seal_number\r\n1{sign}KZ-000001\r\n2{sign}KZ-x\r\n");
        assert_eq!(read(&csv).expect_err("faulty"), "4:seal_number seal-number", "{line}");
    }
    assert!(read("sep=x\nseal_number,volume_m3\nKZ-000001,1").is_err());
}

#[test]
fn a_missing_column_is_one_error() {
    assert_eq!(
        read("seal_number,lat\nKZ-000001,1\nKZ-000002,1\nKZ-000003,\n").expect_err("faulty"),
        "1:lon required\n1:volume_m3 required"
    );
}

#[test]
fn rows_are_limited() {
    let csv = |rows: usize| format!("seal_number,volume_m3\n{}", "KZ-000001,1\n".repeat(rows));
    assert_eq!(read(csv(0)).expect_err("none"), "1: too-few");
    assert_eq!(read(csv(3)).expect("three").logs.len(), 3);
    assert_eq!(read(csv(4)).expect_err("four"), "5: too-many");
    assert_eq!(read(csv(100_000)).expect_err("many"), "5: too-many");
}

#[test]
fn what_came_in_the_url_is_told_as_the_querys() {
    let table = Table::parse(b"seal_number,volume_m3\nKZ-000001,1", None, 3).expect("CSV");
    let errors = table.document(&layout(), &[("ticket", Some("7"))]).read::<Load>().expect_err("faulty");
    assert_eq!(listed(&errors), "?ticket not-a-uuid");
    let ticket = "018f3c9e-7a1b-7c44-9d21-5f0e6a7b8c9d";
    let load: Load = table.document(&layout(), &[("ticket", Some(ticket))]).read().expect("good");
    assert!(load.ticket.is_some());
}

#[test]
fn what_is_no_table_is_malformed() {
    let cell = |line, column: &str| Location::Cell { line, column: column.to_owned() };
    assert_eq!(malformed("", None), ("not-csv", cell(1, "1")));
    assert_eq!(malformed("\n;;;\n", None), ("not-csv", cell(1, "1")));
    assert_eq!(malformed("seal_number\nKZ-\0", None), ("nul-character", cell(2, "4")));
    assert_eq!(malformed(",".repeat(1_000) + "x", None).0, "not-csv");
    assert_eq!(malformed("s\0e\0a\0l\0", None).0, "nul-character");
    assert_eq!(
        malformed("seal_number,volume_m3\nKZ-000001,1\n\"KZ-000002,1\nKZ-000003,1\n", None),
        ("not-csv", cell(3, "1"))
    );
}

#[test]
fn numbers_in_cells_are_digits_and_one_decimal_sign() {
    let volume = |cell: &str| {
        read(format!("seal_number;volume_m3\nKZ-000001;{cell}")).map(|load| load.logs[0].volume_m3.0.clone())
    };
    for (cell, number) in
        [("0,33", "0.33"), ("-1,5", "-1.5"), ("007", "7"), ("00,10", "0.10"), ("0", "0"), ("000", "0")]
    {
        assert_eq!(volume(cell), Ok(number.to_owned()), "{cell}");
    }
    let long = "1".repeat(65);
    for cell in [
        "1 000",
        "1\u{A0}000",
        "1\u{2009}000",
        "1,000.5",
        "1.000,5",
        "1,000,000",
        "1e3",
        "1,2E+05",
        "+1",
        "--1",
        "-",
        ",5",
        "5,",
        "½",
        "٣",
        "0x10",
        "NaN",
        "=1",
        "'1",
        "−1",
    ] {
        assert_eq!(volume(cell), Err("2:volume_m3 not-a-number".to_owned()), "{cell}");
    }
    assert_eq!(volume(&long), Err("2:volume_m3 number-too-long".to_owned()));
}

#[test]
fn cells_that_look_like_formulas_stay_text() {
    let load = read("seal_number;volume_m3;type;responsible_name\nKZ-000001;1;=1+1;'@x").expect("good");
    assert_eq!(load.logs[0].r#type.as_deref(), Some("=1+1"));
    assert_eq!(load.responsible_person.expect("given").name, "'@x");
}

#[test]
fn lines_are_counted_as_an_editor_counts() {
    for end in ["\n", "\r\n"] {
        let csv = ["", "seal_number;volume_m3", "", "KZ-000001;1", "", "", "KZ-x;1"].join(end);
        assert_eq!(read(&csv).expect_err("faulty"), "7:seal_number seal-number");
    }
}

#[test]
fn a_layout_gives_the_header_of_its_template() {
    assert_eq!(
        layout().header().take(5).collect::<Vec<_>>(),
        ["seal_number", "volume_m3", "pieces", "type", "lat"]
    );
}

proptest! {
    #[test]
    fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(table) = Table::parse(&bytes, None, 3) {
            let _ = table.document(&layout(), &[]).read::<Load>();
        }
    }

    #[test]
    fn survives_noise_below_a_header(noise in "[\"',;\t\r\n=A-Z0-9\u{49a}-]{0,60}") {
        let csv = format!("seal_number,volume_m3,lat\n{noise}");
        if let Ok(table) = Table::parse(csv.as_bytes(), None, 50) {
            let _ = table.document(&layout(), &[]).read::<Load>();
        }
    }
}

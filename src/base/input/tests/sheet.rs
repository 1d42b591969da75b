//! CSV output.

use crate::base::input::{Sheet, csv_safe};

#[test]
fn formulas_are_disarmed_and_numbers_left_alone() {
    for text in
        ["=1+1", "+7 701", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u{A0}=1", "＝1", "-", "-.5", "-1e5"]
    {
        assert_eq!(csv_safe(text), format!("'{text}"));
    }
    for text in ["", "сосна", "-0.33", "-7", "12.5", "KZ-000001", "a=b", "'=1"] {
        assert_eq!(csv_safe(text), text);
    }
}

#[test]
fn cells_that_need_quotes_get_them() {
    let mut sheet = Sheet::with_bom();
    sheet.row(["plain", "a,b", "say \"бук\"", "two\nlines", " edge", "=HYPERLINK(\"x\")"]);
    sheet.exact_row(["010487\u{1D}91", "+x"]);
    assert_eq!(
        String::from_utf8(sheet.take()).expect("UTF-8"),
        "\u{FEFF}plain,\"a,b\",\"say \"\"бук\"\"\",\"two\nlines\",\" edge\",\"'=HYPERLINK(\"\"x\"\")\"\r\n010487\u{1D}91,+x\r\n"
    );
    assert!(sheet.take().is_empty());
}

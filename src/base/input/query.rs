//! Query strings, as documents of one object.

use super::tree::{Builder, Kind, Origin, u32_of};
use super::{Document, Malformed};
use crate::base::error::{FieldError, Location};
use crate::base::percent;
use std::borrow::Cow;

/// Maximum number of parameters. No route has more than ten. The limit is needed because each parameter is
/// compared with all before it.
const MAX_PARAMETERS: usize = 100;

impl Document<'_> {
    /// Reads the query of a URL (`application/x-www-form-urlencoded`, without the `?`). A parameter
    /// that appears twice is reported when the document is read (422, `duplicate-parameter`).
    ///
    /// # Errors
    /// [`Malformed`]: a broken percent escape or bytes that are not UTF-8 (`not-a-query`), a NUL
    /// (`nul-character`), over 100 parameters (`too-many-values`).
    pub fn query(query: Option<&str>) -> Result<Document<'static>, Malformed> {
        let mut built = Builder::default();
        let mut errors = Vec::new();
        let mut names: Vec<String> = Vec::new();
        let root = built.open(Kind::Object, 0, 0);
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if names.len() == MAX_PARAMETERS {
                let (at, detail) =
                    (Location::Query(Cow::Borrowed("")), format!("At most {MAX_PARAMETERS} parameters."));
                return Err(Malformed { at, code: "too-many-values", detail: detail.into() });
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, "")?;
            let value = decode(value, &name)?;
            if names.contains(&name) {
                let detail = "This parameter appears twice.";
                errors.push(FieldError::new(
                    Location::Query(Cow::Owned(name)),
                    "duplicate-parameter",
                    detail,
                ));
                continue;
            }
            built.decoded(Kind::Decoded, root, &name, 0);
            built.decoded(Kind::Cell, root, &value, 0);
            names.push(name);
        }
        built.close(root, u32_of(names.len()));
        Ok(built.finish("", Origin::Query, errors))
    }
}

fn decode(text: &str, parameter: &str) -> Result<String, Malformed> {
    let malformed = |code, detail: &'static str| Malformed {
        at: Location::Query(Cow::Owned(parameter.to_owned())),
        code,
        detail: Cow::Borrowed(detail),
    };
    // In a query, as in a submitted form, a plus sign means a blank.
    let bytes = percent::decode(&text.replace('+', " "))
        .ok_or_else(|| malformed("not-a-query", "`%` must be followed by two hexadecimal digits."))?;
    if bytes.contains(&0) {
        return Err(malformed("nul-character", "NUL characters are not accepted."));
    }
    String::from_utf8(bytes).map_err(|_| malformed("not-a-query", "The query is not valid UTF-8."))
}

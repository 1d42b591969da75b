//! Reads a small request type from every kind of input, and compares the JSON parser with `serde_json`.

mod body;
mod json;
mod query;
mod sheet;
mod table;

use super::{Errors, Node, input, parse_number, parse_text};
use crate::base::error::{FieldError, Invalid, Location};

/// `KZ-` and six digits.
#[derive(Clone, Debug, PartialEq, Eq, utoipa::ToSchema)]
pub(super) struct Seal(String);

impl Seal {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text.strip_prefix("KZ-") {
            Some(digits) if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Invalid::new("seal-number", "A seal number is KZ- and six digits.")),
        }
    }
}

/// A number type for these tests: it stores the digits as sent, at most four of them after the point.
#[derive(Clone, Debug, PartialEq, Eq, utoipa::ToSchema)]
pub(super) struct Cubic(String);

impl Cubic {
    fn parse(digits: &str) -> Result<Self, Invalid> {
        match digits.split_once('.') {
            Some((_, decimals)) if decimals.len() > 4 => {
                Err(Invalid::new("volume", "At most four decimals."))
            }
            _ => Ok(Self(digits.to_owned())),
        }
    }
}

parse_text!(Seal);
parse_number!(Cubic);

input! {
    /// Position where the piece was.
    pub(super) struct Spot {
        /// Degrees north.
        pub lat: Cubic,
        /// Degrees east.
        pub lon: Cubic,
        /// Metres.
        pub accuracy_m: Option<u32>,
    }

    /// One piece.
    pub(super) struct Piece {
        /// Its seal.
        #[schema(example = "KZ-000001")]
        pub seal_number: Seal,
        /// Dense cubic metres.
        pub volume_m3: Cubic,
        /// How many in a stack.
        pub pieces: Option<u32>,
        /// Log or stack.
        pub r#type: Option<String>,
        /// Position where the piece was.
        pub position: Option<Spot>,
    }
    => Piece::check;

    /// The responsible person.
    pub(super) struct Person {
        /// Name.
        pub name: String,
        /// Number.
        pub iin: Option<String>,
    }

    /// A load.
    pub(super) struct Load {
        /// The ticket.
        pub ticket: Option<crate::base::ids::TicketId>,
        /// The responsible person.
        pub responsible_person: Option<Person>,
        /// The pieces.
        pub logs: Vec<Piece> [1..=3],
        /// Whether this is a dry run.
        pub dry: Option<bool>,
    }
}

impl Piece {
    fn check(&self, node: Node<'_>, errors: &mut Errors) {
        if self.r#type.as_deref() == Some("log") && self.pieces.is_some() {
            errors.refuse_field(node, "pieces", Invalid::new("not-for-log", "A log is one piece."));
        }
    }
}

/// Location and code of each error, one per line.
pub(super) fn listed(errors: &[FieldError]) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|error| {
            let location = match &error.at {
                Location::Pointer(pointer) => pointer.clone(),
                Location::Cell { line, column } => format!("{line}:{column}"),
                Location::Query(name) => format!("?{name}"),
                Location::Header(name) => format!("{name}:"),
            };
            format!("{location} {}", error.code)
        })
        .collect();
    lines.join("\n")
}

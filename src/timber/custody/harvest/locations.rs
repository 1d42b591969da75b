//! Where an error is in the request body of a harvest.

use crate::base::error::Location;

/// Locations in the request body, for JSON and for CSV.
#[derive(Clone, Debug)]
pub enum Locations {
    /// A JSON body.
    Json,
    /// A CSV body: the line of each item.
    Csv(Vec<u64>),
}

fn at_pointer(text: &str) -> Location {
    Location::Pointer(text.to_owned())
}

impl Locations {
    /// Location of the whole body.
    #[must_use]
    pub fn whole(&self) -> Location {
        match self {
            Self::Json => at_pointer(""),
            Self::Csv(_) => Location::Cell { line: 1, column: String::new() },
        }
    }

    /// Location of the ticket's id.
    #[must_use]
    pub fn ticket(&self) -> Location {
        match self {
            Self::Json => at_pointer("/felling_ticket_id"),
            Self::Csv(_) => Location::Query("felling_ticket_id".into()),
        }
    }

    /// How the text of an error names the log at `index`.
    #[must_use]
    pub fn item(&self, index: usize) -> String {
        match self {
            Self::Json => format!("item {index}"),
            Self::Csv(lines) => format!("line {}", lines.get(index).copied().unwrap_or_default()),
        }
    }

    /// Location of `field` of the log at `index`.
    #[must_use]
    pub fn of(&self, index: usize, field: &str) -> Location {
        match self {
            Self::Json => Location::Pointer(format!("/logs/{index}/{field}")),
            Self::Csv(lines) => Location::Cell {
                line: lines.get(index).copied().unwrap_or_default(),
                column: field.to_owned(),
            },
        }
    }
}

//! The official of an inspector's decision, and its official record.

use crate::base::input::{Errors, Node, input};
use crate::base::units::{LocalDate, Reference, Text, lost_letters};
use crate::evidence::chain::canonical;
use crate::timber::event::parts::ActPart;
use serde::Serialize;

input! {
    /// An official, by name and post.
    pub struct Official {
        /// Name.
        #[schema(example = "Ермек Сейітов")]
        pub name: Text<100>,
        /// Post.
        #[schema(example = "Мемлекеттік орман инспекторы")]
        pub post: Option<Text<100>>,
    }
    => PartialOfficial::check as PartialOfficial;

    /// An official record (act, protocol).
    pub struct Act {
        /// Number.
        pub number: Reference,
        /// Day.
        pub date: LocalDate,
    }
}

impl Official {
    /// The personal part, as it is hashed.
    #[must_use]
    pub fn part(&self) -> String {
        #[derive(Serialize)]
        struct OfficialPart<'a> {
            v: u8,
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            post: Option<&'a str>,
        }
        let post = self.post.as_ref().map(Text::as_str);
        canonical::text(&OfficialPart { v: 1, name: self.name.as_str(), post })
    }
}

impl Act {
    /// As it is hashed.
    #[must_use]
    pub fn part(&self) -> ActPart {
        ActPart { number: self.number.as_str().to_owned(), date: self.date.day() }
    }
}

impl PartialOfficial {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if let Some(invalid) = self.name.as_ref().and_then(|name| lost_letters(name.as_str())) {
            errors.refuse_field(node, "name", invalid);
            self.name = None;
        }
    }
}

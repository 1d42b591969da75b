//! The macros that declare request types and make domain types readable.

/// Declares request types: the struct (`Clone`, `Debug`), its OpenAPI schema with its docs and
/// without additional properties, and [`Read`](crate::base::input::Read), which finds every error in it.
///
/// - `Option<T>` may be absent or `null`; every other field is `required`.
/// - `Vec<T> [1..=5000]` (or `Option<Vec<T>>`) limits the length of a list, in the schema too.
/// - A field with a keyword as its name is written `r#type`.
/// - Attributes are passed on: `#[schema(example = "...")]` on a field,
///   `#[derive(utoipa::IntoParams)] #[into_params(parameter_in = Query)]` on a query's struct.
/// - `=> Path;` after the struct names a `fn(&Self, Node<'_>, &mut Errors)` for rules about more than
///   one field; it runs if every field could be read.
macro_rules! input {
    ($(
        $(#[$attr:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[$field_attr:meta])*
                $field_vis:vis $field:ident : $type:ty $([$min:tt ..= $max:tt])?
            ),* $(,)?
        }
        $(=> $check:path;)?
    )+) => {$(
        $(#[$attr])*
        #[derive(Clone, Debug, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            $(
                $(#[$field_attr])*
                $(#[schema(min_items = $min, max_items = $max)])?
                $field_vis $field: $type,
            )*
        }

        impl $crate::base::input::Read for $name {
            fn read(
                node: $crate::base::input::Node<'_>,
                errors: &mut $crate::base::input::Errors,
            ) -> ::std::option::Option<Self> {
                const FIELDS: &[&str] = &[$($crate::base::input::field_name(stringify!($field))),*];
                const NAMES: &[&str; FIELDS.len()] = match FIELDS.first_chunk() {
                    Some(names) => names,
                    None => unreachable!(),
                };
                let mut fields = $crate::base::input::Fields::open(node, NAMES, errors)?;
                $(let $field = $crate::base::input::read_field!(fields, errors $(, $min, $max)?);)*
                let value = Self { $($field: $field?),* };
                $($check(&value, node, errors);)?
                Some(value)
            }
        }
    )+};
}

/// One field of `input!`, with bounds or without.
macro_rules! read_field {
    ($fields:ident, $errors:ident) => {
        $fields.read($errors)
    };
    ($fields:ident, $errors:ident, $min:tt, $max:tt) => {
        $fields.read_bounded($min, $max, $errors)
    };
}

/// Makes string domain types readable: each has `parse(&str) -> Result<Self, E>` with `E: Into<Invalid>`.
macro_rules! parse_text {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::base::input::ParseText for $type {
            fn parse_text(text: &str) -> ::std::result::Result<Self, $crate::base::error::Invalid> {
                <$type>::parse(text).map_err(::std::convert::Into::into)
            }
        }

        impl $crate::base::input::Read for $type {
            fn read(
                node: $crate::base::input::Node<'_>,
                errors: &mut $crate::base::input::Errors,
            ) -> ::std::option::Option<Self> {
                $crate::base::input::read_text(node, errors)
            }
        }
    )+};
}

/// Makes domain types that are JSON numbers readable: each has `parse(&str) -> Result<Self, E>` with
/// `E: Into<Invalid>`, which gets plain digits as sent, and must refuse a number that it would round.
macro_rules! parse_number {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::base::input::ParseNumber for $type {
            fn parse_number(digits: &str) -> ::std::result::Result<Self, $crate::base::error::Invalid> {
                <$type>::parse(digits).map_err(::std::convert::Into::into)
            }
        }

        impl $crate::base::input::Read for $type {
            fn read(
                node: $crate::base::input::Node<'_>,
                errors: &mut $crate::base::input::Errors,
            ) -> ::std::option::Option<Self> {
                $crate::base::input::read_number(node, errors)
            }
        }
    )+};
}

pub(crate) use {input, parse_number, parse_text, read_field};

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
/// - `=> Path as Partial;` also declares the struct `Partial`, which has what could be read of each field.
///   `Path` is then a `fn(&mut Partial, Node<'_>, &mut Errors)`, which always runs and takes out the fields
///   it refuses.
macro_rules! input {
    ($(
        $(#[$attr:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[$field_attr:meta])*
                $field_vis:vis $field:ident : $type:ty $([$min:tt ..= $max:tt])?
            ),* $(,)?
        }
        $(=> $check:path $(as $partial:ident)?;)?
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

        $crate::base::input::read_struct! {
            [$($check $(, $partial)?)?] $name { $($field: $type $([$min, $max])?),* }
        }
    )+};
}

/// `Read` for a struct of `input!`. Without a partial struct the value is read completely or not at all; with
/// one, as much of it as possible.
macro_rules! read_struct {
    ([$($check:path)?] $name:ident { $($field:ident : $type:ty $([$min:tt, $max:tt])?),* }) => {
        impl $crate::base::input::Read for $name {
            $crate::base::input::whole!();

            fn read_partial(
                node: $crate::base::input::Node<'_>,
                errors: &mut $crate::base::input::Errors,
            ) -> ::std::option::Option<Self> {
                let mut fields = $crate::base::input::open_fields!(node, errors, $($field),*);
                $(let $field = $crate::base::input::read_field!(fields, errors, $type $(, $min, $max)?);)*
                $(let $field = $field.and_then(<$type as $crate::base::input::Read>::complete);)*
                let value = Self { $($field: $field?),* };
                $($check(&value, node, errors);)?
                Some(value)
            }
        }
    };
    ([$check:path, $partial:ident] $name:ident { $($field:ident : $type:ty $([$min:tt, $max:tt])?),* }) => {
        #[doc = concat!("What could be read of a [`", stringify!($name), "`]: `None` for a field with errors.")]
        #[derive(Clone, Debug)]
        pub struct $partial {
            $(
                #[doc = concat!("`", stringify!($field), "`, if it was read.")]
                pub $field: ::std::option::Option<<$type as $crate::base::input::Read>::Partial>,
            )*
        }

        impl $partial {
            /// Whether every field was read.
            #[must_use]
            pub fn is_complete(&self) -> bool {
                true $(&& self.$field.is_some())*
            }
        }

        impl $crate::base::input::Read for $name {
            type Partial = $partial;

            fn read_partial(
                node: $crate::base::input::Node<'_>,
                errors: &mut $crate::base::input::Errors,
            ) -> ::std::option::Option<$partial> {
                let mut fields = $crate::base::input::open_fields!(node, errors, $($field),*);
                $(let $field = $crate::base::input::read_field!(fields, errors, $type $(, $min, $max)?);)*
                let mut partial = $partial { $($field),* };
                $check(&mut partial, node, errors);
                Some(partial)
            }

            fn complete(partial: $partial) -> ::std::option::Option<Self> {
                Some(Self { $($field: <$type as $crate::base::input::Read>::complete(partial.$field?)?),* })
            }
        }
    };
}

/// Matches the members of `$node` to the names of `$field`. If `$node` is not an object, the enclosing
/// function returns `None`.
macro_rules! open_fields {
    ($node:ident, $errors:ident, $($field:ident),*) => {{
        const FIELDS: &[&str] = &[$($crate::base::input::field_name(stringify!($field))),*];
        const NAMES: &[&str; FIELDS.len()] = match FIELDS.first_chunk() {
            Some(names) => names,
            None => unreachable!(),
        };
        $crate::base::input::Fields::open($node, NAMES, $errors)?
    }};
}

/// One field of `input!`, with bounds or without.
macro_rules! read_field {
    ($fields:ident, $errors:ident, $type:ty) => {
        $fields.read_partial::<$type>($errors)
    };
    ($fields:ident, $errors:ident, $type:ty, $min:tt, $max:tt) => {
        $fields.read_bounded::<$type>($min, $max, $errors)
    };
}

/// The part of `impl Read` for a type that is read completely or not at all.
macro_rules! whole {
    () => {
        type Partial = Self;

        fn complete(partial: Self) -> ::std::option::Option<Self> {
            Some(partial)
        }
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
            $crate::base::input::whole!();

            fn read_partial(
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
            $crate::base::input::whole!();

            fn read_partial(
                node: $crate::base::input::Node<'_>,
                errors: &mut $crate::base::input::Errors,
            ) -> ::std::option::Option<Self> {
                $crate::base::input::read_number(node, errors)
            }
        }
    )+};
}

pub(crate) use {input, open_fields, parse_number, parse_text, read_field, read_struct, whole};

//! Schemas of types that write their own JSON.

/// Gives a type that is serialised directly from stored text the OpenAPI schema of another type, which
/// has the shape of its JSON.
macro_rules! described_by {
    ($described:ty, $shape:ty, $name:literal) => {
        impl utoipa::PartialSchema for $described {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                <$shape as utoipa::PartialSchema>::schema()
            }
        }

        impl utoipa::ToSchema for $described {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                <$shape as utoipa::ToSchema>::schemas(schemas);
            }
        }
    };
}
pub(crate) use described_by;

//! Reference lists of codes: species and regions. Public, the same for every client.

use crate::base::region::{Region, RegionNames};
use crate::http::core::query::NoQuery;
use crate::timber::party::key::Caller;
use crate::timber::wood::species::{Species, SpeciesRow};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// All species.
#[derive(Serialize, ToSchema)]
pub struct SpeciesList {
    /// The species, conifers first.
    items: Vec<&'static SpeciesRow>,
    /// Always null: the list is one page.
    next: Option<String>,
}

/// All regions.
#[derive(Serialize, ToSchema)]
pub struct RegionList {
    /// The regions, by code.
    items: Vec<&'static RegionNames>,
    /// Always null: the list is one page.
    next: Option<String>,
}

/// Species that a ticket or a log can name.
///
/// Each species has its code, its names and its group.
#[utoipa::path(
    get, path = "/v1/species", operation_id = "list_species", tag = "reference",
    responses(
        (status = 200, description = "All species", body = SpeciesList),
    )
)]
pub async fn list_species(_caller: Option<Caller>, _: NoQuery) -> Json<SpeciesList> {
    Json(SpeciesList { items: Species::all().map(Species::row).collect(), next: None })
}

/// Regions of Kazakhstan by ISO 3166-2, with their names.
///
/// Each region has its code and its names in Kazakh, Russian and English.
#[utoipa::path(
    get, path = "/v1/regions", operation_id = "list_regions", tag = "reference",
    responses(
        (status = 200, description = "All regions", body = RegionList),
    )
)]
pub async fn list_regions(_caller: Option<Caller>, _: NoQuery) -> Json<RegionList> {
    Json(RegionList { items: Region::all().map(Region::names).collect(), next: None })
}

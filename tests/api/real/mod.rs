//! Real measurements.

mod harvester;

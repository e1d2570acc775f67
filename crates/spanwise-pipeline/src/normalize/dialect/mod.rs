//! One file per dialect. To add one: write its table, and name it in [`ALL`].

mod general;
mod openinference;
mod otel;
mod otel_older;
mod plain;
mod spanwise;
mod traceloop;

use super::table::Dialect;

/// Every dialect that is understood.
pub static ALL: [&Dialect; 7] = [
    &spanwise::DIALECT,
    &otel::DIALECT,
    &otel_older::DIALECT,
    &openinference::DIALECT,
    &traceloop::DIALECT,
    &plain::DIALECT,
    &general::DIALECT,
];

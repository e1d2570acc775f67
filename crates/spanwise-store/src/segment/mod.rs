//! Immutable segments.

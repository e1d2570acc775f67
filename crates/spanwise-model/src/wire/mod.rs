//! Wire formats: one file each, shared by everything that reads or writes them.

pub mod otlp;

//! Wire formats: one module each, shared by everything that reads or writes them.
//!
//! OTLP is the model itself, so it is read and written without loss. The others are read into and
//! written from the same spans by OpenTelemetry's rules for formats that lack its concepts; what
//! each of them loses is said in its module.

pub mod base64;
pub mod datadog;
mod draft;
mod fields;
mod fit;
pub mod jaeger;
mod json_writer;
mod lift;
mod names;
pub mod otlp;
mod tags;
mod text_form;
mod utf8;
pub mod xray;
pub mod zipkin;

pub use draft::DecodeError;

//! The SDK as an application sees it, up to the bytes that leave.

#![expect(clippy::unwrap_used, reason = "these are tests throughout")]

mod function;
mod genai;
#[cfg(feature = "opentelemetry")]
mod interop;
mod layer;
mod recording;
mod sink;

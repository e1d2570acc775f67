//! What stands on both sides of a gateway under test: the [`mock`] upstream.
//!
//! Benchmarks and the gateway's own tests share them. Both speak from threads of their own, so
//! that a blocked test cannot stop them.

pub mod http1;
pub mod mock;

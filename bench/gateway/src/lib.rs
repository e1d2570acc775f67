//! What stands on both sides of a gateway under test: [`mock`] upstream and span [`sink`].
//!
//! Benchmarks and the gateway's own tests share them. Both speak from threads of their own, so
//! that a blocked test cannot stop them.

pub mod clock;
pub mod http1;
pub mod mock;
pub mod sink;

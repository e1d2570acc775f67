//! The store as a whole: what it keeps, through what, and what it refuses.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed test should stop and say so"
)]

mod batches;
mod crash;
mod damage;
mod durability;
mod limits;
mod running;
mod visibility;

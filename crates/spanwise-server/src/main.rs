//! The binary `spanwise`.

use std::process::ExitCode;

/// jemalloc, as its background thread gives back what a burst took: a server at rest is small again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    spanwise_server::cli::main()
}

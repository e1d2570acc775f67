//! Measures gateways between a mock of model providers and a load generator.
fn main() {}

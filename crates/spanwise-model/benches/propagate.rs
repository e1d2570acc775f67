//! What joining a caller's trace costs, and that the usual request allocates nothing for it.

use divan::{AllocProfiler, Bencher, black_box};
use spanwise_model::propagate::{Baggage, Extracted, Traceparent, inject};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const TRACEPARENT: (&str, &str) =
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

fn main() {
    divan::main();
}

#[divan::bench]
fn extract_traceparent(bencher: Bencher<'_, '_>) {
    let headers = [("host", "shop.test"), ("accept", "*/*"), TRACEPARENT];
    bencher.bench_local(|| Extracted::from_pairs(black_box(&headers)));
}

#[divan::bench]
fn extract_everything(bencher: Bencher<'_, '_>) {
    let state = ("tracestate", "ot=th:8,congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
    let headers = [TRACEPARENT, state, ("baggage", "user.id=17,tier=gold;ttl=3")];
    bencher.bench_local(|| Extracted::from_pairs(black_box(&headers)));
}

#[divan::bench]
fn inject_traceparent(bencher: Bencher<'_, '_>) {
    let context = Traceparent::parse(TRACEPARENT.1.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    bencher.bench_local(|| {
        let mut written = 0;
        inject(black_box(&context), &Baggage::default(), &mut |_, value| written += value.len());
        written
    });
}

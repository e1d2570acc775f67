//! Headers of a request: each line is one value, headers take turns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_model::propagate::{Extracted, inject};

const NAMES: [&str; 4] = ["traceparent", "tracestate", "baggage", "b3"];

fuzz_target!(|text: &[u8]| {
    let names = NAMES.iter().cycle();
    let headers: Vec<_> = names.zip(text.split(|byte| *byte == b'\n')).collect();
    let extracted = Extracted::from_pairs(&headers);
    let Some(parent) = extracted.parent else { return };
    let mut sent = Vec::new();
    inject(&parent, &extracted.baggage, &mut |name, value| sent.push((name, value.to_owned())));
    let again = Extracted::from_pairs(&sent);
    assert_eq!(again.parent.as_ref(), Some(&parent));
    assert_eq!(again.baggage, extracted.baggage);
    assert!(again.problems.is_empty());
});

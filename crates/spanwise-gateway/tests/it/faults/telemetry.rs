//! What becomes of spans must not matter to those who are served.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use spanwise::export::{Batch, Delivered, ExportError, Exporter, Retry};

use super::*;
use crate::house::{House, PATIENCE, Parts};

/// Takes nothing until it may.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>, Arc<AtomicUsize>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

impl Exporter for Gate {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        let is_open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(is_open, |is_open| !*is_open).unwrap());
        self.1.fetch_add(batch.spans().len(), Ordering::Relaxed);
        Ok(Delivered::default())
    }
}

/// How a sink that is down, refuses or restarts is treated is the recorder's part, and tested
/// there; what it costs those who are served is measured by the benchmark.
#[test]
fn fault_35_a_sink_that_hangs_delays_nobody_and_gets_everything_later() {
    let gate = Gate::default();
    let exporter = gate.clone();
    let parts =
        Parts { exporter: Some(Arc::new(move || Box::new(exporter.clone()))), ..Parts::default() };
    let house = House::build("{}", parts);
    for _ in 0..100 {
        assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).status, 200);
    }
    assert_eq!(gate.1.load(Ordering::Relaxed), 0);
    gate.open();
    let until = Instant::now() + PATIENCE;
    while gate.1.load(Ordering::Relaxed) < 300 && Instant::now() < until {
        house.recorder.flush(PATIENCE);
    }
    assert_eq!(gate.1.load(Ordering::Relaxed), 300);
    assert_eq!(house.recorder.metrics().spans_dropped, 0);
}

/// Refuses everything, for good.
struct Wall(Arc<AtomicBool>);

impl Exporter for Wall {
    fn export(&mut self, _: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        self.0.store(true, Ordering::Relaxed);
        Err(ExportError { reason: "too large".to_owned(), retry: Retry::Never })
    }
}

#[test]
fn fault_35_spans_that_nobody_takes_are_counted() {
    let was_asked = Arc::new(AtomicBool::default());
    let asked = Arc::clone(&was_asked);
    let parts = Parts {
        exporter: Some(Arc::new(move || Box::new(Wall(Arc::clone(&asked))))),
        ..Parts::default()
    };
    let mut house = House::build("{}", parts);
    for _ in 0..10 {
        assert_eq!(house.post(CHAT, &ask("openai/gpt-4o", "")).status, 200);
    }
    house.stop();
    house.recorder.flush(PATIENCE);
    assert!(was_asked.load(Ordering::Relaxed));
    assert_eq!(house.recorder.metrics().spans_dropped, 30);
}

#[test]
fn fault_36_a_prompt_of_ten_megabytes_is_cut_in_the_span_and_nowhere_else() {
    let house = House::with(r#"{"tracing":{"content":{"capture":true,"max_bytes":1000}}}"#);
    let prompt = "word ".repeat(2 << 20);
    let body = format!(
        r#"{{"model":"openai/gpt-4o","messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    assert_eq!(house.post(CHAT, &body).status, 200);
    assert_eq!(house.mock.seen()[0].body.len(), body.len() - "openai/".len());
    let spans = house.spans(3);
    let call = the_call(&spans);
    assert!(call.attributes.str("gen_ai.input.messages").unwrap().len() < 2000);
    assert_eq!(call.attributes.get("spanwise.gateway.content_cut"), Some(&Value::Bool(true)));
}

//! An exporter that keeps what it is given.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spanwise::export::{Batch, Delivered, ExportError, Exporter, Retry};
use spanwise::{Recorder, Settings};
use spanwise_model::Span;
use spanwise_model::tree::tree_with_attributes;

/// What arrived, and how the next deliveries go.
#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    spans: Vec<Span>,
    failures: usize,
    panics: usize,
}

impl Sink {
    pub fn settings(&self) -> Settings {
        let sink = self.clone();
        Settings {
            exporters: vec![Arc::new(move || Box::new(sink.clone()))],
            ..Settings::default()
        }
    }

    pub fn recorder(&self) -> Arc<Recorder> {
        Recorder::new(self.settings())
    }

    /// The next deliveries fail, and may be repeated.
    pub fn fail(&self, times: usize) {
        self.0.lock().unwrap().failures = times;
    }

    /// The next deliveries panic.
    pub fn panic(&self, times: usize) {
        self.0.lock().unwrap().panics = times;
    }

    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().spans.clone()
    }

    /// Everything that ended until now, as trees with attributes. Every span takes no time.
    pub fn tree(&self, recorder: &Recorder) -> String {
        assert!(recorder.flush(Duration::from_secs(10)));
        let mut spans = self.spans();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        for (rank, span) in spans.iter_mut().enumerate() {
            span.start_time_unix_nano = rank as u64;
            span.end_time_unix_nano = rank as u64;
        }
        tree_with_attributes(&spans)
    }
}

impl Exporter for Sink {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        let mut state = self.0.lock().unwrap();
        if state.panics > 0 {
            state.panics -= 1;
            drop(state);
            panic!("as asked");
        }
        if state.failures > 0 {
            state.failures -= 1;
            return Err(ExportError { reason: "as asked".to_owned(), retry: Retry::Later });
        }
        state.spans.extend_from_slice(batch.spans());
        Ok(Delivered::default())
    }
}

//! Starting and ending tracing.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use spanwise_model::Value;

use crate::config::Plan;
use crate::{Config, ConfigError, Metrics, Recorder, thread};

/// What [`init`] started last, as long as anybody holds it.
static RUNNING: Mutex<Weak<Running>> = Mutex::new(Weak::new());

/// Tracing that runs. When the last copy of this is dropped, what has ended is delivered, for a
/// few seconds at most, and tracing stops.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> Result<(), spanwise::ConfigError> {
/// let spanwise = spanwise::init(spanwise::Config::new("support-bot").exporters(["none"]))?;
/// spanwise::span("answer").in_scope(|| {
///     spanwise::current().set("question.length", 42);
/// });
/// assert!(spanwise.flush(Duration::from_secs(5)));
/// assert_eq!(spanwise.metrics().spans_exported, 1);
///
/// spanwise.update_config([("trace_sampling_rate", 0.1)])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "tracing stops when this is dropped"]
pub struct Spanwise(Arc<Running>);

#[derive(Debug)]
struct Running {
    recorder: Arc<Recorder>,
    state: Mutex<State>,
    shutdown_timeout: Duration,
}

#[derive(Debug)]
struct State {
    config: Config,
    shown: TraceConfig,
    is_shut_down: bool,
}

/// What is in force, for people and programs to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceConfig {
    /// Whether spans are recorded at all.
    pub enabled: bool,
    /// The application's `service.name`.
    pub app_name: String,
    /// Where the first exporter sends to; empty if it sends nowhere.
    pub endpoint: String,
    /// What the exporters are.
    pub exporters: Vec<String>,
    /// The share of traces that is recorded where no other rule says more.
    pub sampling_rate: f64,
    /// Whether debugging was asked for.
    pub debug: bool,
}

/// Starts tracing: from now on [`span`](crate::span()) and everything that builds on it records.
///
/// A mistake in the options is an error at once; an endpoint that does not answer is none, now or
/// later. A second call while tracing runs changes nothing and returns what runs.
pub fn init(config: Config) -> Result<Spanwise, ConfigError> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = running.upgrade().filter(|running| !running.state().is_shut_down) {
        tracing::warn!("tracing runs already; the new options were ignored");
        return Ok(Spanwise(running));
    }
    let plan = config.plan()?;
    let started = Arc::new(Running::start(config, plan));
    *running = Arc::downgrade(&started);
    Ok(Spanwise(started))
}

impl Running {
    fn start(config: Config, plan: Plan) -> Self {
        let app_name = plan.settings.resource.service().to_owned();
        let shown = TraceConfig {
            enabled: plan.is_enabled,
            app_name,
            endpoint: plan.endpoint,
            exporters: plan.exporters,
            sampling_rate: plan.sampling_rate,
            debug: plan.debug,
        };
        let recorder = Recorder::new(plan.settings);
        if plan.is_enabled {
            thread::set_default(Some(Arc::clone(&recorder)));
        }
        tracing::debug!(?shown, "tracing started");
        let state = Mutex::new(State { config, shown, is_shut_down: false });
        Running { recorder, state, shutdown_timeout: plan.shutdown_timeout }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers what it can, once.
    fn stop(&self, timeout: Duration) -> bool {
        if std::mem::replace(&mut self.state().is_shut_down, true) {
            return true;
        }
        let is_default = thread::default().is_some_and(|own| Arc::ptr_eq(&own, &self.recorder));
        if is_default {
            thread::set_default(None);
        }
        self.recorder.shutdown(timeout)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.stop(self.shutdown_timeout) {
            let metrics = self.recorder.metrics();
            let (lost, waiting) = (metrics.spans_dropped, metrics.queue_size);
            tracing::warn!(lost, waiting, "not all spans were delivered before the end");
        }
    }
}

impl Spanwise {
    /// What records, for those who start spans themselves.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.0.recorder
    }

    /// Whether spans are recorded at all.
    pub fn is_enabled(&self) -> bool {
        self.0.state().shown.enabled
    }

    /// Changes sampling and rules about content. Spans that have ended keep to the old ones.
    /// Either all of the changes are made or, if one is wrong, none.
    pub fn update_config<'n, V: Into<Value>>(
        &self,
        changes: impl IntoIterator<Item = (&'n str, V)>,
    ) -> Result<(), ConfigError> {
        let changes: Vec<_> =
            changes.into_iter().map(|(option, value)| (option, value.into())).collect();
        let mut state = self.0.state();
        let config = state.config.updated(&changes)?;
        let (sampling, content) = (config.sampling()?, config.content_rules()?);
        state.shown.sampling_rate = config.base_rate()?.get();
        let recorder = &self.0.recorder;
        recorder.set_content(content);
        recorder.set_sampling(sampling);
        state.config = config;
        Ok(())
    }

    /// What is in force.
    pub fn config(&self) -> TraceConfig {
        self.0.state().shown.clone()
    }

    /// What was recorded, delivered and lost so far.
    pub fn metrics(&self) -> Metrics {
        self.0.recorder.metrics()
    }

    /// Waits until every span that has ended is delivered, at most this long. `false` if not all
    /// of them were: what is missing is counted as dropped, or still waits.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.0.recorder.flush(timeout)
    }

    /// Delivers what it can within this time and stops. `false` if the time was too short.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.0.stop(timeout)
    }
}

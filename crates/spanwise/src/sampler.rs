//! Which traces are recorded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use spanwise_model::TraceId;
use spanwise_model::propagate::TraceState;
use spanwise_model::sampling::{IntelligentSampling, OtState, Randomness, Rate, Threshold};

use crate::context::{Context, Shared};
use crate::tail::Tail;

/// Decides whether the trace that starts with a local root is recorded.
pub trait Sampler: Send + Sync {
    /// Whether to record. `context` is the span's own. If this panics the base rate decides.
    fn should_sample(&self, context: &Context, name: &str) -> bool;
}

/// How it is decided which traces are recorded. Decisions are taken for local roots; spans below
/// follow, and so do roots whose caller decided.
#[derive(Clone)]
pub enum Sampling {
    /// This share of all traces, chosen by their ids.
    Rate(Rate),
    /// As the sampler says; the rate stands in for it when it fails.
    Custom(Arc<dyn Sampler>, Rate),
    /// By what happened, when the local root has ended. Until then its spans wait.
    Intelligent(Arc<IntelligentSampling>),
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling::Rate(Rate::ALL)
    }
}

/// What the rules in force make of a trace that starts here.
#[derive(Default)]
pub(crate) struct Root {
    pub sampled: bool,
    pub shared: Option<Arc<Shared>>,
}

/// A threshold that no rate has; see [`Rules::threshold`].
pub(crate) const ASK: u64 = u64::MAX - 1;

/// The rules in force.
pub(crate) struct Rules {
    sampling: Sampling,
    /// What every trace that a rate keeps tells other processes about it.
    told: Option<Arc<Shared>>,
}

impl Rules {
    pub fn new(sampling: Sampling) -> Self {
        let told = match &sampling {
            Sampling::Rate(rate) => tell(*rate),
            Sampling::Custom(..) | Sampling::Intelligent(_) => None,
        };
        Rules { sampling, told }
    }

    /// What the randomness of a trace has to reach to be worth a closer look: traces that do not
    /// are not recorded. At zero there is nothing to look at either: every trace is recorded.
    pub fn threshold(&self) -> u64 {
        match &self.sampling {
            Sampling::Rate(rate) => rate.threshold().map_or(u64::MAX, Threshold::get),
            // Whatever the trace's id, the rules have to be asked.
            Sampling::Custom(..) | Sampling::Intelligent(_) => ASK,
        }
    }

    /// Decides, maybe by asking the application's code.
    #[cold]
    pub fn root(&self, context: &Context, name: &str) -> Root {
        match &self.sampling {
            Sampling::Rate(rate) if keeps(*rate, context.trace_id) => {
                Root { sampled: true, shared: self.told.clone() }
            }
            Sampling::Rate(_) => Root::default(),
            Sampling::Custom(sampler, base) => {
                let ask = AssertUnwindSafe(|| sampler.should_sample(context, name));
                let sampled = catch_unwind(ask).unwrap_or_else(|_| {
                    tracing::warn!("the sampler panicked; the base rate decides");
                    keeps(*base, context.trace_id)
                });
                Root { sampled, shared: None }
            }
            Sampling::Intelligent(rules) => {
                let tail = Some(Arc::new(Tail::new(context.span_id, Arc::clone(rules))));
                Root { sampled: true, shared: Some(Arc::new(Shared { tail, ..Shared::default() })) }
            }
        }
    }
}

fn keeps(rate: Rate, trace_id: TraceId) -> bool {
    rate.keeps(Randomness::of_trace(trace_id))
}

/// `ot=th:…`, by which others can tell how many traces one stands for.
fn tell(rate: Rate) -> Option<Arc<Shared>> {
    let mut trace_state = TraceState::default();
    let mut ot = OtState::read(&trace_state);
    ot.threshold = rate.threshold();
    if rate == Rate::ALL || ot.write(&mut trace_state).is_err() {
        return None;
    }
    Some(Arc::new(Shared { trace_state, ..Shared::default() }))
}

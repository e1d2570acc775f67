//! What a recorder is told.

use std::sync::Arc;
use std::time::Duration;

use spanwise_model::Resource;

use crate::content::Content;
use crate::export::Exporter;
use crate::sampler::Sampling;

/// How much one span may carry, in OpenTelemetry's terms. What is beyond is dropped and counted
/// on the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of a span, 128 unless said otherwise.
    pub attributes: usize,
    /// Bytes of one text value; longer ones are cut. Unlimited unless said otherwise.
    pub text_bytes: usize,
    /// Events of a span, 128.
    pub events: usize,
    /// Links of a span, 128.
    pub links: usize,
    /// Attributes of an event or a link, 128.
    pub attributes_of_parts: usize,
    /// Whether the oldest attribute makes way for one too many, as in OpenTelemetry's SDK for
    /// Python. Otherwise the new one is dropped, as its specification says.
    pub drops_oldest: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            attributes: 128,
            text_bytes: usize::MAX,
            events: 128,
            links: 128,
            attributes_of_parts: 128,
            drops_oldest: false,
        }
    }
}

impl Limits {
    /// These limits, as they hold for an event's or a link's attributes.
    pub(crate) fn of_parts(self) -> Self {
        Limits { attributes: self.attributes_of_parts, ..self }
    }
}

/// What makes exporters: called on the recorder's thread, and again in a forked child.
pub type MakeExporter = Arc<dyn Fn() -> Box<dyn Exporter> + Send + Sync>;

/// What a [`Recorder`](crate::Recorder) is made of.
#[derive(Clone)]
pub struct Settings {
    /// Who records.
    pub resource: Resource,
    /// Whether the resource gets the process's id and an id of its own in each process, also
    /// after a fork.
    pub describe_process: bool,
    /// What content may leave.
    pub content: Content,
    /// How much one span may carry.
    pub limits: Limits,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Where spans go. With several, each gets every span.
    pub exporters: Vec<MakeExporter>,
    /// Spans leave at least this often while there are any: half a second unless said otherwise.
    pub export_every: Duration,
    /// Spans that are open for this long are exported as they are, and again when they change, at
    /// most so often: a process that is killed leaves them behind. Only to exporters that
    /// [want them](Exporter::takes_running). Not at all unless said otherwise, as every change of a
    /// span then costs more.
    pub running_every: Option<Duration>,
    /// Memory for spans that wait to leave, 32 MiB. Spans beyond are dropped and counted. With
    /// several exporters, as much again for each that is slower than the others.
    pub queue_bytes: usize,
    /// How long a batch is tried for before it is dropped and counted, a minute.
    pub export_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            resource: Resource::default(),
            describe_process: false,
            content: Content::default(),
            limits: Limits::default(),
            sampling: Sampling::default(),
            exporters: Vec::new(),
            export_every: Duration::from_millis(500),
            running_every: None,
            queue_bytes: 32 << 20,
            export_timeout: Duration::from_mins(1),
        }
    }
}

//! What may leave the process.

use spanwise_model::Span;
use spanwise_model::content::ContentPolicy;
use spanwise_model::redact::Redactor;

/// The rules that every span passes before an exporter sees it.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Which classes of content are recorded.
    pub policy: ContentPolicy,
    /// Replaces what is sensitive, if anything does.
    pub redactor: Option<Redactor>,
}

impl Content {
    /// Whether spans leave as they were recorded.
    pub fn is_everything(&self) -> bool {
        self.redactor.is_none() && self.policy.is_everything()
    }

    /// Takes out of a span what must not leave.
    pub(crate) fn apply(&self, span: &mut Span) {
        self.policy.apply(span);
        if let Some(redactor) = &self.redactor {
            redactor.redact_span(span);
        }
    }
}

impl From<ContentPolicy> for Content {
    fn from(policy: ContentPolicy) -> Self {
        Content { policy, redactor: None }
    }
}

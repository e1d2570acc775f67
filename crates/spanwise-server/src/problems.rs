//! What went wrong on the way in, for the person who wonders where their spans are.
//!
//! Equal problems are one entry with a count, so that a broken client cannot push everything else
//! out of the list. Entries name spans, never what was in them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use spanwise_model::stored::MISSING_END;
use spanwise_model::{Rejection, StoredSpan};

/// How many different problems are remembered per project.
const CAPACITY: usize = 500;

/// How many projects have problems remembered at all; a flood of names must not fill memory.
const MAX_PROJECTS: usize = 1000;

/// The last problems of each project.
#[derive(Debug, Default)]
pub struct Problems(Mutex<HashMap<Arc<str>, Vec<Problem>>>);

/// One sort of problem, with its first and its last time.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What became of the spans: `rejected`, `repaired` or `refused`.
    pub outcome: Outcome,
    /// A stable word for machines, such as `negative_duration`.
    pub kind: String,
    /// What was found, of the latest occurrence.
    pub reason: String,
    /// Which wire format and transport it came by, such as `otlp/http protobuf`.
    pub source: String,
    /// The service, as far as known.
    pub service: String,
    /// Name of the latest span concerned.
    pub span_name: String,
    /// The latest span concerned, where it can be looked at.
    pub span: Option<(String, String)>,
    /// How often.
    pub count: u64,
    /// When first, nanoseconds since 1970.
    pub first_unix_nano: u64,
    /// When last.
    pub last_unix_nano: u64,
}

/// What became of the spans that had a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The span was not taken; its neighbours were.
    Rejected,
    /// The span was taken, with a warning.
    Repaired,
    /// A whole request was not taken.
    Refused,
}

impl Outcome {
    /// `rejected`, `repaired` or `refused`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Rejected => "rejected",
            Outcome::Repaired => "repaired",
            Outcome::Refused => "refused",
        }
    }
}

impl Problem {
    /// A span that was not taken.
    pub fn rejected(rejection: &Rejection, source: &str, now: u64) -> Self {
        Problem {
            span_name: rejection.name.clone(),
            ..Problem::new(Outcome::Rejected, "invalid_span", &rejection.reason, source, now)
        }
    }

    /// The warnings of a span that was taken.
    pub fn repaired<'a>(
        stored: &'a StoredSpan,
        source: &'a str,
    ) -> impl Iterator<Item = Problem> + 'a {
        let span = &stored.span;
        let now = stored.received_unix_nano;
        // A span that is still open is no fault.
        let faults = stored.warnings.iter().filter(|warning| warning.kind != MISSING_END);
        faults.map(move |warning| Problem {
            service: span.resource.service().to_owned(),
            span_name: span.name.to_string(),
            span: Some((span.trace_id.to_string(), span.span_id.to_string())),
            ..Problem::new(Outcome::Repaired, &warning.kind, &warning.message, source, now)
        })
    }

    /// A whole request that was not taken.
    pub fn refused(kind: &str, reason: &str, source: &str, now: u64) -> Self {
        Problem::new(Outcome::Refused, kind, reason, source, now)
    }

    fn new(outcome: Outcome, kind: &str, reason: &str, source: &str, now: u64) -> Self {
        Problem {
            outcome,
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            source: source.to_owned(),
            service: String::new(),
            span_name: String::new(),
            span: None,
            count: 1,
            first_unix_nano: now,
            last_unix_nano: now,
        }
    }

    fn same_sort(&self, other: &Problem) -> bool {
        // The reason of a rejection is its sort; that of a repair may hold numbers.
        self.outcome == other.outcome
            && self.kind == other.kind
            && self.service == other.service
            && self.source == other.source
            && (self.outcome == Outcome::Repaired || self.reason == other.reason)
    }

    /// What its sender can do about it.
    pub fn fix(&self) -> &'static str {
        match (self.outcome, self.kind.as_str()) {
            (Outcome::Rejected, _) if self.reason.contains("trace_id") => {
                "send 16 bytes that are not all zero (32 hex digits in JSON, not base64)"
            }
            (Outcome::Rejected, _) if self.reason.contains("span_id") => {
                "send 8 bytes that are not all zero (16 hex digits in JSON, not base64)"
            }
            (Outcome::Rejected, _) => "compare the span with the OTLP specification",
            (Outcome::Refused, "malformed") => {
                "check that content type, content encoding and body belong together"
            }
            (Outcome::Refused, "too_large") => {
                "send smaller batches (max_export_batch_size), or raise limits.max_body_bytes"
            }
            (Outcome::Refused, "overloaded") => {
                "nothing is lost if the client retries; raise store.max_live_bytes if this lasts"
            }
            (Outcome::Refused, "disk_full") => {
                "free space on the data folder's disk, or set store.retain_bytes"
            }
            (Outcome::Refused, "disk_refused") => {
                "free space on the data folder's disk; check quotas, limits (ulimit -f) and that \
                 the folder can be written"
            }
            (Outcome::Refused, _) => "look at the server's log",
            (_, "negative_duration") => {
                "take start and end from one clock, and the length from a monotonic one"
            }
            (_, "missing_times" | "missing_start" | "missing_event_time") => {
                "set start and end before sending; end spans also when their work fails"
            }
            (_, "implausible_time") => {
                "check the sender's clock, and that times are nanoseconds since 1970"
            }
            (_, "invalid_utf8") => "encode strings as UTF-8, or send them as bytes",
            (_, "base64_id") => {
                "write ids as hex in JSON, as OTLP wants them; base64 is protobuf's"
            }
            (_, "empty_name") => "give the span a short name that says what it is",
            (_, "own_parent") => "leave parent_span_id empty at a root span",
            (_, "duplicate_id") => "give every span an id of its own: 8 random bytes",
            (_, "repeated_key") => "set each attribute once; the last value was kept",
            (_, "empty_key" | "long_key" | "many_attributes") => {
                "keep keys short and few, and put what varies into values"
            }
            (_, "value_too_deep") => "send deeply nested values as a JSON string",
            (_, "invalid_link") => "link to spans by their 16-byte trace id and 8-byte span id",
            _ => "the span was kept as it is shown; correct its sender if that is wrong",
        }
    }
}

impl Problems {
    /// Remembers problems of a project.
    pub fn add(&self, project: &Arc<str>, problems: impl IntoIterator<Item = Problem>) {
        let mut problems = problems.into_iter().peekable();
        if problems.peek().is_none() {
            return;
        }
        let mut projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if projects.len() >= MAX_PROJECTS && !projects.contains_key(project) {
            return;
        }
        let known = projects.entry(Arc::clone(project)).or_default();
        for problem in problems {
            merge(known, problem);
        }
    }

    /// A project's problems, latest first.
    pub fn of(&self, project: &str, limit: usize) -> Vec<Problem> {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut problems = projects.get(project).cloned().unwrap_or_default();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.last_unix_nano));
        problems.truncate(limit);
        problems
    }
}

fn merge(known: &mut Vec<Problem>, problem: Problem) {
    if let Some(same) = known.iter_mut().find(|same| same.same_sort(&problem)) {
        let count = same.count + problem.count;
        let first_unix_nano = same.first_unix_nano;
        *same = Problem { count, first_unix_nano, ..problem };
        return;
    }
    if known.len() >= CAPACITY {
        let oldest = known.iter().enumerate().min_by_key(|(_, problem)| problem.last_unix_nano);
        if let Some((index, _)) = oldest {
            known.swap_remove(index);
        }
    }
    known.push(problem);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_problems_are_counted_and_the_oldest_make_room() {
        let problems = Problems::default();
        let project: Arc<str> = "p".into();
        let refused = |reason: &str, now| Problem::refused("malformed", reason, "otlp", now);
        problems.add(&project, (0..3).map(|now| refused("same", now)));
        let seen = problems.of("p", 10);
        assert_eq!((seen.len(), seen[0].count), (1, 3));
        assert_eq!((seen[0].first_unix_nano, seen[0].last_unix_nano), (0, 2));

        problems.add(&project, (0..CAPACITY as u64).map(|n| refused(&n.to_string(), 10 + n)));
        let seen = problems.of("p", 1000);
        assert_eq!(seen.len(), CAPACITY);
        assert!(seen.iter().all(|problem| problem.reason != "same"));
        assert!(problems.of("other", 10).is_empty());
    }
}

//! Traces that lie in several places, and what they come to at most.
//!
//! What a trace costs as a whole is known for certain when its parts have been put together, which
//! takes a while. Its parts add up to at least that: a span counts in the whole only if it counts
//! in its part. So lists that are sorted by such a number put together the traces at the top only,
//! and still miss none.

use std::collections::HashMap;
use std::sync::Arc;

use spanwise_model::summary::TraceSummary;

use super::super::QueryError;
use super::live::LiveTraces;
use super::{has_project, in_parallel, to_i64};
use crate::Snapshot;
use crate::segment::{Segment, TraceColumn, trace_hash};

/// The traces of a project that lie in several places. Now and then one too many: they are told
/// apart by a hash.
#[derive(Debug, Default)]
pub struct SplitTraces {
    /// For each segment of the snapshot the ordinals of such traces, with their bounds' position.
    sealed: Vec<HashMap<u32, usize>>,
    /// By position in [`LiveTraces::traces`].
    live: HashMap<usize, usize>,
    bounds: Vec<Bound>,
}

/// What the parts of a trace come to together.
#[derive(Clone, Debug, Default)]
struct Bound {
    start: Option<u64>,
    end: u64,
    cost: Option<i64>,
    tokens: Option<i64>,
    /// The latest start of a part.
    last_start: i64,
}

impl SplitTraces {
    /// Finds them by reading the index of traces of every segment.
    pub fn find(
        snapshot: &Snapshot,
        live: &LiveTraces<'_>,
        project: &str,
    ) -> Result<Self, QueryError> {
        let is_concerned = |segment: &Arc<Segment>| has_project(segment.meta(), project);
        let n_segments = snapshot.segments.iter().filter(|segment| is_concerned(segment)).count();
        let n_places = n_segments + usize::from(!live.traces.is_empty());
        if n_places < 2 {
            return Ok(SplitTraces::default());
        }
        let sealed = in_parallel(&snapshot.segments, |segment| {
            Ok(if is_concerned(segment) { segment.trace_hashes()? } else { vec![] })
        })?;
        let live_hashes: Vec<u64> =
            live.traces.iter().map(|trace| trace_hash(project, trace.id)).collect();
        let positions = repeated(sealed.iter().chain([&live_hashes]));
        let mut split = SplitTraces {
            bounds: vec![Bound::default(); positions.len()],
            ..SplitTraces::default()
        };
        for (segment, hashes) in snapshot.segments.iter().zip(sealed) {
            let of_segment = split_among(&positions, &hashes);
            let starts = segment.trace_column(TraceColumn::Start)?;
            let ordinals: Vec<u32> = of_segment.iter().map(|(at, _)| *at as u32).collect();
            let summaries = segment.summaries(&ordinals)?;
            for ((ordinal, position), summary) in of_segment.iter().zip(summaries) {
                split.bounds[*position].add(starts[*ordinal], &summary);
            }
            let numbered = of_segment.into_iter().map(|(at, position)| (at as u32, position));
            split.sealed.push(numbered.collect());
        }
        for (at, position) in split_among(&positions, &live_hashes) {
            let trace = &live.traces[at];
            if let Some(summary) = trace.summary() {
                split.bounds[position].add(trace.start, &summary);
            }
            split.live.insert(at, position);
        }
        Ok(split)
    }

    /// The highest number and the latest start that a live trace may have as a whole; `None` if it
    /// lies nowhere else.
    pub fn live(&self, at: usize, column: TraceColumn) -> Option<(i64, i64)> {
        self.live.get(&at).map(|position| self.bounds[*position].place(column))
    }

    /// The same of a trace in the segment at `segment` of the snapshot.
    pub fn sealed(&self, segment: usize, ordinal: u32, column: TraceColumn) -> Option<(i64, i64)> {
        let position = self.sealed.get(segment)?.get(&ordinal)?;
        Some(self.bounds[*position].place(column))
    }
}

/// The hashes that occur more than once, numbered.
fn repeated<'a>(hashes: impl Iterator<Item = &'a Vec<u64>>) -> HashMap<u64, usize> {
    let mut all: Vec<u64> = hashes.flatten().copied().collect();
    all.sort_unstable();
    let mut positions = HashMap::new();
    for pair in all.windows(2).filter(|pair| pair[0] == pair[1]) {
        let next = positions.len();
        positions.entry(pair[0]).or_insert(next);
    }
    positions
}

/// Which of some traces are among the split ones: their index here, and their position there.
fn split_among(positions: &HashMap<u64, usize>, hashes: &[u64]) -> Vec<(usize, usize)> {
    if positions.is_empty() {
        return vec![];
    }
    let position = |(at, hash)| Some((at, *positions.get(hash)?));
    hashes.iter().enumerate().filter_map(position).collect()
}

impl Bound {
    fn add(&mut self, first_row_start: i64, part: &TraceSummary) {
        let start = part.start_time_unix_nano;
        self.start = Some(self.start.map_or(start, |known| known.min(start)));
        self.end = self.end.max(part.end_time_unix_nano);
        self.last_start = self.last_start.max(first_row_start);
        self.cost = sum(self.cost, part.cost_nano_usd);
        // The whole may count the totals where this part counts input and output, or the other
        // way round.
        let both = match (part.input_tokens, part.output_tokens) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        self.tokens = sum(self.tokens, both.max(part.total_tokens).map(to_i64));
    }

    fn place(&self, column: TraceColumn) -> (i64, i64) {
        let value = match column {
            TraceColumn::Cost => self.cost,
            TraceColumn::Tokens => self.tokens,
            _ => self.start.map(|start| to_i64(self.end.saturating_sub(start))),
        };
        (value.unwrap_or(i64::MIN), self.last_start)
    }
}

fn sum(known: Option<i64>, more: Option<i64>) -> Option<i64> {
    match (known, more) {
        (Some(known), Some(more)) => Some(known.saturating_add(more)),
        (known, more) => known.or(more),
    }
}

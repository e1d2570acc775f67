//! A trace as readable text: for snapshot tests and terminals.
//!
//! Traces are whatever arrives: spans without their parents, loops, chains of 200,000. Nothing
//! here recurses along a trace, and indentation stops growing at some depth.

mod ancestry;
mod label;

use std::collections::HashMap;
use std::fmt::Write;

pub(crate) use ancestry::Ancestry;

use crate::{Span, SpanId, StoredSpan};

/// The deepest indentation, in levels; lines that belong deeper begin with their depth.
const MAX_INDENT: usize = 40;

/// One span in a tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// The span's id.
    pub span_id: SpanId,
    /// The span it belongs under.
    pub parent_span_id: Option<SpanId>,
    /// Orders siblings.
    pub start_time_unix_nano: u64,
    /// The line that stands for it.
    pub label: String,
    /// Further lines below it.
    pub details: Vec<String>,
}

impl From<&Span> for Node {
    fn from(span: &Span) -> Self {
        Node {
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            start_time_unix_nano: span.start_time_unix_nano,
            label: label::of_span(span),
            details: Vec::new(),
        }
    }
}

impl From<&StoredSpan> for Node {
    fn from(stored: &StoredSpan) -> Self {
        Node { label: label::of_stored_span(stored), ..Node::from(&stored.span) }
    }
}

impl Node {
    /// The same node with a line for each attribute of `span`, in their order.
    #[must_use]
    pub fn with_attributes_of(mut self, span: &Span) -> Self {
        self.details.extend(span.attributes.iter().map(label::of_attribute));
        self
    }
}

/// Spans (or stored spans) as an indented tree, siblings in order of their start:
///
/// ```text
/// invoke_agent support (internal, 2.4s)
///   chat gpt-4o (client, 1.2s) error: rate limited
/// parent 00f067aa0ba902b7 is missing:
///   lookup (internal, 12ms)
/// ```
pub fn tree<S>(spans: impl IntoIterator<Item = S>) -> String
where
    Node: From<S>,
{
    draw(spans.into_iter().map(Node::from).collect())
}

/// The same with the attributes of each span below it.
pub fn tree_with_attributes<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    draw(spans.into_iter().map(|span| Node::from(span).with_attributes_of(span)).collect())
}

/// Nodes as an indented tree.
pub fn draw(mut nodes: Vec<Node>) -> String {
    nodes.sort_by_key(|node| node.start_time_unix_nano);
    let ancestry = Ancestry::of(nodes.iter().map(|node| (node.span_id, node.parent_span_id)));
    let mut orphans: HashMap<SpanId, Vec<usize>> = HashMap::new();
    for (position, node) in nodes.iter().enumerate() {
        if let Some(parent) = node.parent_span_id
            && parent != node.span_id
            && ancestry.parent(position).is_none()
        {
            orphans.entry(parent).or_default().push(position);
        }
    }
    let mut drawing = Drawing {
        nodes: &nodes,
        children: ancestry.children(),
        drawn: vec![false; nodes.len()],
        text: String::new(),
    };
    for (position, node) in nodes.iter().enumerate() {
        match node.parent_span_id {
            None => drawing.branch(position, 0),
            Some(parent) => {
                let siblings = orphans.remove(&parent).unwrap_or_default();
                drawing.set_apart(&siblings, &format!("parent {parent} is missing:"));
            }
        }
    }
    // What neither a root nor an orphan leads to goes round in circles.
    for position in 0..nodes.len() {
        if !drawing.drawn[position] {
            drawing.set_apart(&[position], "a loop:");
        }
    }
    drawing.text
}

struct Drawing<'n> {
    nodes: &'n [Node],
    children: Vec<Vec<usize>>,
    drawn: Vec<bool>,
    text: String,
}

impl Drawing<'_> {
    fn set_apart(&mut self, tops: &[usize], heading: &str) {
        if !tops.is_empty() {
            self.line(0, heading);
        }
        for top in tops {
            self.branch(*top, 1);
        }
    }

    /// Draws a span and everything below it.
    fn branch(&mut self, top: usize, depth: usize) {
        let nodes = self.nodes;
        let mut open = vec![(top, depth)];
        while let Some((position, depth)) = open.pop() {
            if std::mem::replace(&mut self.drawn[position], true) {
                continue;
            }
            let node = &nodes[position];
            self.line(depth, &node.label);
            for detail in &node.details {
                self.line(depth + 2, detail);
            }
            open.extend(self.children[position].iter().rev().map(|child| (*child, depth + 1)));
        }
    }

    fn line(&mut self, depth: usize, line: &str) {
        let indent = depth.min(MAX_INDENT) * 2;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{:indent$}", "");
        if depth > MAX_INDENT {
            let _ = write!(self.text, "[{depth}] ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests;

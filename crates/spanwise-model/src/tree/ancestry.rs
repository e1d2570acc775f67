//! Who is whose parent among the spans of a trace, by position.

use std::collections::HashMap;

use crate::SpanId;

/// Parents by position. A parent that is not there, or a span that names itself, counts as none;
/// of several spans with one id the first has the children.
pub(crate) struct Ancestry {
    parents: Vec<Option<usize>>,
}

impl Ancestry {
    /// Ties together spans given by their ids and the ids of their parents.
    pub(crate) fn of(ids: impl Iterator<Item = (SpanId, Option<SpanId>)> + Clone) -> Self {
        let mut positions = HashMap::new();
        for (position, (id, _)) in ids.clone().enumerate() {
            positions.entry(id).or_insert(position);
        }
        let parent = |(id, parent): (SpanId, Option<SpanId>)| {
            parent.filter(|parent| *parent != id).and_then(|parent| positions.get(&parent).copied())
        };
        Ancestry { parents: ids.map(parent).collect() }
    }

    /// The position of the parent.
    pub(crate) fn parent(&self, position: usize) -> Option<usize> {
        self.parents[position]
    }

    /// The positions of the children of each span, in order.
    pub(crate) fn children(&self) -> Vec<Vec<usize>> {
        let mut children = vec![Vec::new(); self.parents.len()];
        for (child, parent) in self.parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(child);
            }
        }
        children
    }

    /// Every position once, children before their parents. Members of a loop, for which there is
    /// no such order, come last.
    pub(crate) fn children_first(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let mut waiting_for = vec![0_usize; self.parents.len()];
        for parent in self.parents.iter().flatten() {
            waiting_for[*parent] += 1;
        }
        let mut order: Vec<usize> =
            (0..self.parents.len()).filter(|position| waiting_for[*position] == 0).collect();
        let mut next = 0;
        while let Some(position) = order.get(next) {
            next += 1;
            if let Some(parent) = self.parents[*position] {
                waiting_for[parent] -= 1;
                if waiting_for[parent] == 0 {
                    order.push(parent);
                }
            }
        }
        order.extend((0..self.parents.len()).filter(|position| waiting_for[*position] > 0));
        order.into_iter()
    }
}

//! What keeps the search for a way back into a group short: marks on nodes, and gaps that no group reaches across.

/// Marks on nodes that are all removed at once.
pub(super) struct Marks {
    on: Vec<u32>,
    round: u32,
}

impl Marks {
    pub fn new(nodes: usize) -> Self {
        Self { on: vec![0; nodes], round: 0 }
    }

    pub fn clear(&mut self) {
        self.round += 1;
    }

    /// Marks a node; returns whether it had no mark.
    pub fn set(&mut self, node: usize) -> bool {
        std::mem::replace(&mut self.on[node], self.round) != self.round
    }
}

/// The gaps between neighbouring nodes that no group spans, as a disjoint-set forest: each gap that is spanned points
/// further on.
pub(super) struct Gaps(Vec<usize>);

impl Gaps {
    pub fn new(nodes: usize) -> Self {
        Self((0..nodes).collect())
    }

    /// The first node from `node` on that no group reaches past.
    pub fn end(&self, mut node: usize) -> usize {
        while self.0[node] != node {
            node = self.0[node];
        }
        node
    }

    /// Records that a group reaches from `first` to `last`.
    pub fn span(&mut self, first: usize, last: usize) {
        let end = self.end(last);
        let mut at = first;
        while at < end {
            let next = if self.0[at] == at { at + 1 } else { self.0[at] };
            self.0[at] = end;
            at = next;
        }
    }
}

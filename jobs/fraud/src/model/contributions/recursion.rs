//! TreeSHAP along the paths of a tree (Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for Tree
//! Ensembles", 2018, arXiv:1802.03888, algorithm 2): a feature that is not known sends a row to both children, in the
//! shares of the rows that the training sent there.
//!
//! It explains any tree and keeps nothing of it, for the price of the square of the depth at every leaf of every row: it
//! is for trees that cannot be prepared, and the twin of the others in tests.

use super::super::flat::Flat;
use super::super::{Child, Tree};

/// Adds to `values` what each feature of a row adds in a tree, which is at this place of the evaluator. `path` is scratch
/// space, empty before and after.
pub(super) fn add(tree: &Tree, index: usize, flat: &Flat, row: &[f64], path: &mut Vec<Element>, values: &mut [f64]) {
    let mut walk = Walk { tree, index, flat, row, path, values };
    walk.descend(tree.root(), 0, Element { feature: None, zero: 1.0, one: 1.0, weight: 0.0 });
}

/// A feature on the path, in the words of the paper.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    /// None for the root, through which everything comes.
    feature: Option<usize>,
    /// Share of the paths without this feature that come through.
    zero: f64,
    /// Share of the paths with this feature that come through: 0 or 1.
    one: f64,
    /// At place i: the share of the sets of i known features, weighted by their permutations.
    weight: f64,
}

struct Walk<'a> {
    tree: &'a Tree,
    index: usize,
    flat: &'a Flat,
    row: &'a [f64],
    /// The path of each split from the root down, one behind the other: a child works on a copy of its parent's.
    path: &'a mut Vec<Element>,
    values: &'a mut [f64],
}

impl Walk<'_> {
    /// Visits a child whose parent's path stands from `parent` to the end.
    fn descend(&mut self, child: Child, parent: usize, step: Element) {
        let start = self.path.len();
        self.path.extend_from_within(parent..start);
        extend(self.path, start, step);
        match child {
            Child::Leaf(leaf) => self.add(self.tree.leaves()[leaf].value, start),
            Child::Split(split) => self.split(split, start),
        }
        self.path.truncate(start);
    }

    fn add(&mut self, value: f64, start: usize) {
        let path = &self.path[start..];
        for (place, element) in path.iter().enumerate() {
            let Some(feature) = element.feature else { continue };
            self.values[feature] += unwound_sum(path, place) * (element.one - element.zero) * value;
        }
    }

    fn split(&mut self, split: usize, start: usize) {
        let node = &self.tree.splits()[split];
        let (mut zero, mut one) = (1.0, 1.0);
        let again = self.path[start..].iter().position(|element| element.feature == Some(node.feature));
        if let Some(place) = again {
            (zero, one) = (self.path[start + place].zero, self.path[start + place].one);
            unwind(self.path, start, place);
        }
        let is_left = self.flat.is_left(self.index, split, self.row);
        let count = f64::from(node.count);
        for (child, is_taken) in [(node.left, is_left), (node.right, !is_left)] {
            let share = f64::from(self.tree.count(child)) / count;
            let one = if is_taken { one } else { 0.0 };
            self.descend(child, start, Element { feature: Some(node.feature), zero: zero * share, one, weight: 0.0 });
        }
    }
}

/// EXTEND of the paper, on the path from `start` to the end.
fn extend(path: &mut Vec<Element>, start: usize, step: Element) {
    let length = path.len() - start;
    path.push(Element { weight: if length == 0 { 1.0 } else { 0.0 }, ..step });
    let path = &mut path[start..];
    let all = (length + 1) as f64;
    for place in (0..length).rev() {
        path[place + 1].weight += step.one * path[place].weight * (place + 1) as f64 / all;
        path[place].weight *= step.zero * (length - place) as f64 / all;
    }
}

/// UNWIND of the paper: the path from `start` as it would be without the element at this place.
fn unwind(path: &mut Vec<Element>, start: usize, place: usize) {
    let path_here = &mut path[start..];
    let last = path_here.len() - 1;
    let all = path_here.len() as f64;
    let Element { zero, one, .. } = path_here[place];
    let mut next = path_here[last].weight;
    for index in (0..last).rev() {
        let weight = path_here[index].weight;
        let behind = (last - index) as f64;
        if one == 0.0 {
            path_here[index].weight = weight * all / (zero * behind);
        } else {
            path_here[index].weight = next * all / ((index + 1) as f64 * one);
            next = weight - path_here[index].weight * zero * behind / all;
        }
    }
    for index in place..last {
        let Element { feature, zero, one, .. } = path_here[index + 1];
        path_here[index] = Element { feature, zero, one, weight: path_here[index].weight };
    }
    path.pop();
}

/// The sum of the weights that UNWIND would leave, without unwinding.
fn unwound_sum(path: &[Element], place: usize) -> f64 {
    let last = path.len() - 1;
    let all = path.len() as f64;
    let Element { zero, one, .. } = path[place];
    let mut next = path[last].weight;
    let mut sum = 0.0;
    for index in (0..last).rev() {
        let behind = (last - index) as f64;
        if one == 0.0 {
            sum += path[index].weight * all / (zero * behind);
        } else {
            let weight = next * all / ((index + 1) as f64 * one);
            sum += weight;
            next = path[index].weight - weight * zero * behind / all;
        }
    }
    sum
}

//! Backreferences: what they mean in JavaScript, in words that backtracking engines share.
//!
//! In JavaScript a reference to a group that did not match matches nothing, successfully, and every round of a repetition
//! forgets what the groups inside matched in the round before. Other engines fail in the first case and remember in the
//! second. Where the place of a group tells which case it is, the reference is spelled accordingly; where it does not, the
//! pattern is refused.

use crate::Refused;
use crate::node::{Node, Tree};

/// Settles every reference of a pattern.
pub(crate) fn resolve(tree: &mut Tree) -> Result<(), Refused> {
    if tree.root.all(&|node| !matches!(node, Node::Back(_))) {
        return Ok(());
    }
    let mut groups = Vec::new();
    collect(&tree.root, &mut Vec::new(), &mut groups);
    settle(&mut tree.root, &mut Vec::new(), &groups)
}

/// One node on the way from the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The child of that number.
    Concat(usize),
    Alternate(usize),
    /// A group, by number if it captures.
    Group(Option<u32>),
    Look {
        ahead: bool,
        positive: bool,
    },
    Repeat {
        optional: bool,
        again: bool,
        /// A round may take nothing.
        empty: bool,
    },
}

type Way = Vec<Step>;

fn step(node: &Node, child: usize) -> Option<Step> {
    Some(match node {
        Node::Concat(_) => Step::Concat(child),
        Node::Alternate(_) => Step::Alternate(child),
        Node::Group(number, _) => Step::Group(*number),
        Node::Look { ahead, positive, .. } => Step::Look { ahead: *ahead, positive: *positive },
        Node::Repeat { node, min, max, .. } => {
            Step::Repeat { optional: *min == 0, again: *max != Some(1), empty: node.can_be_empty() }
        }
        _ => return None,
    })
}

/// The way to every capturing group, in order of their numbers: groups are numbered as they open.
fn collect(node: &Node, way: &mut Way, groups: &mut Vec<Way>) {
    if matches!(node, Node::Group(Some(_), _)) {
        groups.push(way.clone());
    }
    let children: &[Node] = match node {
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes,
        Node::Group(_, node) | Node::Look { node, .. } | Node::Repeat { node, .. } => std::slice::from_ref(node),
        _ => return,
    };
    for (child, inside) in children.iter().enumerate() {
        way.extend(step(node, child));
        collect(inside, way, groups);
        way.pop();
    }
}

fn settle(node: &mut Node, way: &mut Way, groups: &[Way]) -> Result<(), Refused> {
    if let Node::Back(number) = *node {
        *node = meaning(number, way, groups)?;
        return Ok(());
    }
    let steps: Vec<Option<Step>> = match node {
        Node::Concat(nodes) | Node::Alternate(nodes) => (0..nodes.len()).map(|child| step(node, child)).collect(),
        _ => vec![step(node, 0)],
    };
    let children: &mut [Node] = match node {
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes,
        Node::Group(_, node) | Node::Look { node, .. } | Node::Repeat { node, .. } => std::slice::from_mut(node),
        _ => return Ok(()),
    };
    for (inside, step) in children.iter_mut().zip(steps) {
        way.extend(step);
        settle(inside, way, groups)?;
        way.pop();
    }
    Ok(())
}

fn meaning(number: u32, way: &[Step], groups: &[Way]) -> Result<Node, Refused> {
    if way.contains(&Step::Group(Some(number))) {
        // Inside the group itself, which has not matched yet.
        return Ok(Node::Empty);
    }
    let group = &groups[number as usize - 1];
    let shared = way.iter().zip(group).take_while(|(one, other)| one == other).count();
    let behind = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::Look { ahead: false, .. }));
    if behind(way) || behind(group) {
        // Looking back matches from right to left.
        return Err(Refused::Reference);
    }
    let precedes = matches!((group.get(shared), way.get(shared)),
        (Some(Step::Concat(group)), Some(Step::Concat(reference))) if group < reference);
    if !precedes {
        // Further on, or in another alternative: it has not matched in this round.
        return Ok(Node::Empty);
    }
    let (mut maybe, mut rounds) = (false, false);
    for step in &group[shared + 1..] {
        match *step {
            Step::Alternate(_) => maybe = true,
            Step::Look { positive: false, .. } => return Ok(Node::Empty),
            Step::Repeat { optional, again, empty } => {
                if again && empty || rounds && optional {
                    return Err(Refused::Reference);
                }
                maybe |= optional;
                rounds |= again;
                continue;
            }
            _ => continue,
        }
        if rounds {
            // A later round may have passed the group by and forgotten it.
            return Err(Refused::Reference);
        }
    }
    Ok(if maybe { Node::BackIfSet(number) } else { Node::Back(number) })
}

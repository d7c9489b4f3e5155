//! What every match must contain: texts by which most names need never meet most patterns.

use crate::node::Node;
use crate::units::character;

/// Alternative texts kept for one place; beyond, nothing is known of it.
const ALTERNATIVES_MAX: usize = 16;
/// Bytes of such a text; more tell no more.
const BYTES_MAX: usize = 64;

type Texts = Vec<String>;

/// Texts of which every match contains at least one; none if nothing is known.
pub(crate) fn required(node: &Node) -> Vec<Box<[u8]>> {
    let best = known(node).best().unwrap_or_default();
    best.into_iter().map(|text| text.into_bytes().into_boxed_slice()).collect()
}

/// What is known of what a node matches.
#[derive(Default)]
struct Known {
    /// It takes exactly one of these.
    exact: Option<Texts>,
    /// The name contains one of these.
    required: Option<Texts>,
}

impl Known {
    fn exactly(texts: Texts) -> Self {
        Self { exact: Some(texts), required: None }
    }

    /// The texts that tell most.
    fn best(self) -> Option<Texts> {
        better(self.exact, self.required)
    }
}

/// Of two sets the one whose shortest text is longer; a set with an empty text tells nothing.
fn better(one: Option<Texts>, other: Option<Texts>) -> Option<Texts> {
    let worth = |texts: &Option<Texts>| {
        texts.as_ref().and_then(|texts| texts.iter().map(String::len).min().map(|len| (len, usize::MAX - texts.len())))
    };
    let best = if worth(&one) >= worth(&other) { one } else { other };
    best.filter(|texts| texts.iter().all(|text| !text.is_empty()))
}

fn known(node: &Node) -> Known {
    match node {
        Node::Unit(unit) => Known::exactly(vec![character(*unit).to_string()]),
        Node::Class(class) => match class.units(ALTERNATIVES_MAX) {
            Some(units) if !units.is_empty() => {
                Known::exactly(units.into_iter().map(|unit| character(unit).to_string()).collect())
            }
            _ => Known::default(),
        },
        Node::Empty | Node::Start | Node::End | Node::Boundary(_) => Known::exactly(vec![String::new()]),
        Node::Look { positive, node, .. } => {
            Known { exact: Some(vec![String::new()]), required: if *positive { known(node).best() } else { None } }
        }
        Node::Group(_, node) => known(node),
        Node::Concat(nodes) => concat(nodes),
        Node::Alternate(nodes) => alternate(nodes),
        Node::Repeat { node, min, max, .. } => match (min, max) {
            (0, _) => Known::default(),
            (1, Some(1)) => known(node),
            _ => Known { exact: None, required: known(node).best() },
        },
        Node::Back(_) | Node::BackIfSet(_) => Known::default(),
    }
}

fn concat(nodes: &[Node]) -> Known {
    let mut required = None;
    let mut whole = true;
    // What the nodes since the last unknown one take.
    let mut run: Texts = vec![String::new()];
    for node in nodes {
        let part = known(node);
        required = better(part.required, required);
        let longer = part.exact.as_ref().and_then(|texts| product(&run, texts));
        if let Some(longer) = longer {
            run = longer;
            continue;
        }
        whole = false;
        let fresh = part.exact.filter(|texts| texts.len() <= ALTERNATIVES_MAX);
        let ended = std::mem::replace(&mut run, fresh.unwrap_or_else(|| vec![String::new()]));
        required = better(Some(ended), required);
    }
    if whole {
        return Known { exact: Some(run), required };
    }
    Known { exact: None, required: better(Some(run), required) }
}

fn product(one: &Texts, other: &Texts) -> Option<Texts> {
    let fits = one.len() * other.len() <= ALTERNATIVES_MAX;
    let longest = |texts: &Texts| texts.iter().map(String::len).max().unwrap_or(0);
    (fits && longest(one) + longest(other) <= BYTES_MAX)
        .then(|| one.iter().flat_map(|start| other.iter().map(move |end| format!("{start}{end}"))).collect())
}

fn alternate(nodes: &[Node]) -> Known {
    let parts: Vec<Known> = nodes.iter().map(known).collect();
    let exact: Option<Texts> =
        parts.iter().map(|part| part.exact.clone()).collect::<Option<Vec<_>>>().map(|sets| sets.concat());
    let exact = exact.filter(|texts| texts.len() <= ALTERNATIVES_MAX);
    let required = parts.into_iter().map(Known::best).collect::<Option<Vec<_>>>().map(|sets| sets.concat());
    Known { exact, required: required.filter(|texts| texts.len() <= ALTERNATIVES_MAX) }
}

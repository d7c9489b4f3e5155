//! What a path does to a value: the same rules on a tree, with recursion and copies wherever they make it plainer.

use serde_json::Value;

/// How far behind an array's end an index may lie.
pub(crate) const GAP_MAX: usize = 20;

/// One step into a value.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The path language as the upstream server writes it, number syntax left to the pieces the strategy can produce.
pub(crate) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for segment in path.split('.').map(str::trim).filter(|segment| !segment.is_empty()) {
        let mut pieces = segment.split(['[', ']']);
        steps.push(Step::Key(pieces.next().unwrap().to_owned()));
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let number = piece.trim().parse::<f64>().unwrap();
            steps.push(Step::Index(number as usize));
        }
    }
    steps
}

/// Sets, or with `None` deletes. False if an index is too far.
pub(crate) fn model(node: &mut Value, steps: &[Step], new: Option<&Value>) -> bool {
    let (step, rest) = steps.split_first().unwrap();
    if !node.is_object() && !node.is_array() {
        *node = match step {
            Step::Key(_) => Value::Object(serde_json::Map::new()),
            Step::Index(_) => Value::Array(Vec::new()),
        };
    }
    if let Value::Object(members) = node {
        let key = match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        };
        return match (rest.is_empty(), new) {
            (true, None) => {
                members.remove(&key);
                true
            }
            (true, Some(new)) => {
                members.insert(key, new.clone());
                true
            }
            (false, _) => model(members.entry(key).or_insert(Value::Null), rest, new),
        };
    }
    let elements = node.as_array_mut().unwrap();
    let index = match step {
        Step::Index(index) => *index,
        Step::Key(key) => {
            let digits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || key.len() > 1 && key.starts_with('0') {
                return true;
            }
            key.parse().unwrap_or(usize::MAX)
        }
    };
    if index >= elements.len() {
        if rest.is_empty() && new.is_none() {
            return true;
        }
        if index - elements.len() > GAP_MAX {
            return false;
        }
        elements.resize(index + 1, Value::Null);
    }
    if rest.is_empty() {
        elements[index] = new.cloned().unwrap_or(Value::Null);
        return true;
    }
    model(&mut elements[index], rest, new)
}

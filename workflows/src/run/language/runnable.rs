//! What the language has, and no run can do yet.

use super::{Flow, Kind, Problem, Target};

/// The tasks that cannot be run yet, each at its place.
pub fn unsupported(flow: &Flow) -> Vec<Problem> {
    let tasks = flow.lists.values().flat_map(|list| list.iter());
    tasks
        .filter_map(|task| {
            let (key, hint) = match task.kind {
                Kind::Listen(_) => ("listen", "events do not reach runs yet"),
                _ => return None,
            };
            let path = format!("{}/{key}", task.path);
            let shown = path.trim_start_matches('/');
            Some(Problem {
                message: format!("`{shown}` is not supported yet"),
                path,
                target: Target::Key,
                hint: Some(hint.to_owned()),
                offset: 0,
            })
        })
        .collect()
}

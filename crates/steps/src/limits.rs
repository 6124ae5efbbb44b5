//! Limits of the Temporal server on names, ids and messages.
//!
//! If the server refuses an attribute of a command, the workflow task fails again and again. So
//! each attribute is checked before it is sent.

/// Maximum length of a type name, a task queue name and an id, in bytes.
const NAME_LIMIT: usize = 1000;
/// Prefix of the task queues that belong to the Temporal server.
const OWN_QUEUES: &str = "/_sys/";
/// Estimated overhead of each argument of a call, in bytes.
const AROUND_ARGUMENT: usize = 40;
/// Estimated overhead of a call, in bytes.
const AROUND_CALL: usize = 400;

/// Returns the reason if the server would refuse a type name.
///
/// The reason is the end of a message: it follows the name of the field. `None` if the name is
/// valid.
pub(crate) fn refused_name(name: &str) -> Option<String> {
    let bytes = name.len();
    (bytes > NAME_LIMIT).then(|| format!("must have at most {NAME_LIMIT} bytes, not {bytes}"))
}

/// Returns the reason if the server would refuse a task queue name. `None` if the name is valid.
pub(crate) fn refused_queue(name: &str) -> Option<String> {
    let own = name.starts_with(OWN_QUEUES);
    let own =
        own.then(|| format!("is reserved by the server: names must not begin with `{OWN_QUEUES}`"));
    own.or_else(|| refused_name(name))
}

/// Estimated size of a call beside the JSON that the call sends, in bytes.
pub(crate) fn around(arguments: usize) -> usize {
    arguments
        .saturating_mul(AROUND_ARGUMENT)
        .saturating_add(AROUND_CALL)
}

/// Returns an id that the server accepts.
///
/// If `id` is too long, the result is the beginning of `id` and a digest of all of `id`.
pub fn fitting_id(id: String) -> String {
    use sha2::{Digest as _, Sha256};
    if id.len() <= NAME_LIMIT {
        return id;
    }
    let digest = hex::encode(Sha256::digest(id.as_bytes()));
    let end = id.floor_char_boundary(NAME_LIMIT - digest.len() - 1);
    format!("{}~{digest}", &id[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_the_server_takes_them() {
        assert_eq!(refused_queue(&"q".repeat(1000)), None);
        assert!(refused_queue(&"q".repeat(1001)).is_some());
        assert!(refused_name(&"é".repeat(501)).is_some());
        assert_eq!(refused_name("/_sys/x"), None);
        assert!(refused_queue("/_sys/x").is_some());
    }

    #[test]
    fn ids_fit_and_stay_different() {
        assert_eq!(fitting_id("a/1".to_owned()), "a/1");
        let long = |end: &str| fitting_id(format!("{}{end}", "é".repeat(600)));
        for id in [
            long("/1"),
            long("/2"),
            fitting_id(format!("{}/1", long("/1"))),
        ] {
            assert!(id.len() <= 1000, "{id}");
        }
        assert_ne!(long("/1"), long("/2"));
        assert_eq!(long("/1"), long("/1"));
    }
}

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

/// The reason for which the server would refuse a name: the end of a message, which follows the
/// name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedName {
    /// The name has this many bytes.
    #[error("must have at most {NAME_LIMIT} bytes, not {0}")]
    TooLong(usize),
    /// The name belongs to the server.
    #[error("is reserved by the server: names must not begin with `{OWN_QUEUES}`")]
    OfServer,
}

/// Checks a type name.
pub(crate) fn check_name(name: &str) -> Result<(), RefusedName> {
    if name.len() > NAME_LIMIT {
        return Err(RefusedName::TooLong(name.len()));
    }
    Ok(())
}

/// Checks the name of a task queue.
pub(crate) fn check_queue(name: &str) -> Result<(), RefusedName> {
    if name.starts_with(OWN_QUEUES) {
        return Err(RefusedName::OfServer);
    }
    check_name(name)
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
        assert_eq!(check_queue(&"q".repeat(1000)), Ok(()));
        let long = check_queue(&"q".repeat(1001)).unwrap_err();
        assert_eq!(long.to_string(), "must have at most 1000 bytes, not 1001");
        assert!(check_name(&"é".repeat(501)).is_err());
        assert_eq!(check_name("/_sys/x"), Ok(()));
        let own = check_queue("/_sys/x").unwrap_err();
        assert_eq!(
            own.to_string(),
            "is reserved by the server: names must not begin with `/_sys/`"
        );
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

//! Protection of the process's memory and environment, which hold secrets.

use std::io;

/// Keeps other processes of the same user, such as commands of steps, from
/// reading this one's memory and environment, and the kernel from writing a
/// core dump. Programs that this process starts are as readable as ever.
#[cfg(target_os = "linux")]
pub(crate) fn forbid_memory_dumps() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Keeps the kernel from writing a core dump. Other processes of the same user
/// may still read the environment.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forbid_memory_dumps() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_hidden_process_is_not_dumpable() {
        super::forbid_memory_dumps().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}

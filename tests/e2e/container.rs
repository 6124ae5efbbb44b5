//! The worker as Kubernetes runs it: as a user that is only a number, on a root file system to
//! which nobody can write, with the definitions of a `ConfigMap`.

use std::path::Path;
use std::process::Command;

use almanac_tests::{Project, SOON, Scheduler, on_one_scheduler};
use anyhow::{Context, ensure};

use crate::watching::{at, config_map, has};

/// The user of the image, and of the chart.
const USER: u32 = 65532;

/// Enters a mount namespace, as root of it, and runs the rest of the command there. A user other
/// than root needs a user namespace for that.
const ENTER: &str = r#"
[ "$(id -u)" = 0 ] || user="--user --map-root-user"
exec unshare ${user-} --mount --propagation private "$@"
"#;

/// Makes a root file system with the system's programs, a program and a folder, and runs the
/// program there as [`USER`]. It is given: the folder to make it in, the user, the folder of
/// definitions, the program and its arguments.
const CONTAIN: &str = r#"
set -eu
root=$1 user=$2 definitions=$3 program=$4
shift 4

# Makes a place of the new root what it is outside. Only its contents of /proc and /dev may change.
bind() {
    mount --rbind "$1" "$root/$2"
    [ -n "${3-}" ] || mount -o remount,bind,ro,nosuid,nodev "$root/$2"
}

mount -t tmpfs root "$root"
mkdir "$root/usr" "$root/etc" "$root/proc" "$root/dev" "$root/definitions"
touch "$root/dev/null" "$root/program"
for folder in lib lib64 bin; do
    if [ -L "/$folder" ]; then
        ln -s "usr/$folder" "$root/$folder"
    elif [ -d "/$folder" ]; then
        mkdir "$root/$folder"
        bind "/$folder" "$folder"
    fi
done
bind /usr usr
bind /etc etc
bind "$program" program
bind "$definitions" definitions
bind /proc proc writable
bind /dev/null dev/null writable
mount -o remount,bind,ro "$root"
cd "$root"
pivot_root . .
umount -l .

# A user namespace has no other users than the one who made it, who gets another number instead.
if grep -q 4294967295 /proc/self/uid_map; then
    exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all \
        --inh-caps=-all /program "$@"
else
    exec unshare --user --map-user "$user" --map-group "$user" /program "$@"
fi
"#;

on_one_scheduler!(the_worker_runs_as_a_number_on_a_read_only_root);

async fn the_worker_runs_as_a_number_on_a_read_only_root(on: Scheduler) -> anyhow::Result<()> {
    ensure!(
        Command::new("sh")
            .args(["-c", ENTER, "sh", "true"])
            .status()?
            .success(),
        "this machine permits no namespaces, in which the worker runs as in a container; \
         hint: run the tests as root, or permit user namespaces to everyone \
         (sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
    );
    let project = Project::new(on).await?;
    let definitions = project.definitions();
    config_map(&definitions, "2026_1", &[("one.yaml", at(1))])?;
    let root = project.folder().join("root");
    std::fs::create_dir(&root)?;
    let path = |path: &Path| path.display().to_string();
    let mut worker = project
        .worker()
        // What is seen here is seen because of an event.
        .flag("--rescan-interval", "1h")
        .dir("/definitions")
        .launched_by(&[
            "sh",
            "-c",
            ENTER,
            "sh",
            "sh",
            "-c",
            CONTAIN,
            "sh",
            &path(&root),
            &USER.to_string(),
            &path(&definitions),
        ])
        .start()
        .await?;
    has(&project, "one", 1).await?;
    config_map(&definitions, "2026_2", &[("one.yaml", at(2))])?;
    std::fs::remove_dir_all(definitions.join("..2026_1"))?;
    has(&project, "one", 2).await?;

    let process = Path::new("/proc").join(worker.process().pid());
    assert_eq!(user_of(&process)?, USER);
    assert_eq!(writable_mounts(&process)?, Vec::<String>::new());
    let log = worker.log()?;
    for refusal in ["Read-only file system", "Permission denied"] {
        assert!(!log.contains(refusal), "{log}");
    }
    assert_eq!(worker.terminate(SOON)?, 0);
    Ok(())
}

/// User of a process, as its own namespace numbers users.
fn user_of(process: &Path) -> anyhow::Result<u32> {
    let numbers = |text: &str| -> Vec<u32> {
        let words = text.split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let status = std::fs::read_to_string(process.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let users = numbers(line.context("no user")?);
    let [user, rest @ ..] = &*users else {
        anyhow::bail!("no user: {status}");
    };
    ensure!(
        rest.iter().all(|other| other == user),
        "several users: {users:?}"
    );
    let map = std::fs::read_to_string(process.join("uid_map"))?;
    let inside = map.lines().find_map(|line| {
        let &[inside, outside, length] = &*numbers(line) else {
            return None;
        };
        let offset = user.checked_sub(outside)?;
        (offset < length).then(|| inside + offset)
    });
    inside.with_context(|| format!("{user} is not in {map}"))
}

/// Mounts of a process to which it could write, except those of the kernel.
fn writable_mounts(process: &Path) -> anyhow::Result<Vec<String>> {
    let mounts = std::fs::read_to_string(process.join("mounts"))?;
    let mut writable = Vec::new();
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        let (place, _, options) = (words.next(), words.next(), words.next());
        let (place, options) = (place.context("a place")?, options.context("options")?);
        let is_of_kernel = ["/proc", "/dev/null"]
            .iter()
            .any(|it| Path::new(place).starts_with(it));
        if !is_of_kernel && !options.split(',').any(|option| option == "ro") {
            writable.push(mount.to_owned());
        }
    }
    ensure!(
        mounts.contains(" /definitions "),
        "no definitions in {mounts}"
    );
    Ok(writable)
}

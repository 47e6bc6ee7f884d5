//! Where a database's file is, and who may read it.

use std::path::Path;

use session_core::Finding;

/// What is wrong with the place of a file. `wal` is after how many bytes its write-ahead log is to be begun anew, if it has
/// one.
pub fn diagnose(path: &Path, wal: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    check_rights(path, &mut findings);
    check_place(path, wal, &mut findings);
    findings
}

/// Says so if the file is not there, after which nothing else matters.
pub fn missing_file(path: &Path) -> Option<Finding> {
    let error = path.metadata().err()?;
    let file = path.display();
    Some(Finding::fault(
        format!("the file {file} is not there: {error}"),
        "call `create_table` if it never was; otherwise restore it, or restart the application to begin with an empty \
         one, as a store goes on in a file that has lost its name",
    ))
}

#[cfg(unix)]
fn check_rights(path: &Path, findings: &mut Vec<Finding>) {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        findings.push(Finding::warning(
            format!("every user of this machine has access to {} (mode {mode:o})", path.display()),
            format!("chmod o= {0} {0}-wal {0}-shm", path.display()),
        ));
    }
}

#[cfg(not(unix))]
fn check_rights(_path: &Path, _findings: &mut Vec<Finding>) {}

/// Where the file is, and what has become of its log.
fn check_place(path: &Path, wal: Option<u64>, findings: &mut Vec<Finding>) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(kind) = file_system(&mounts, &place).filter(|kind| NETWORKS.contains(kind)) {
        let what = format!(
            "the file is on a network file system ({kind}), whose locks do not hold between machines"
        );
        let remedy = "move it to a local disk, or use a database server";
        findings.push(match wal {
            Some(_) => Finding::fault(what, remedy),
            None => Finding::warning(what, remedy),
        });
    }
    const LARGE: u64 = 64 << 20;
    let log = path.as_os_str().to_owned().into_string().ok().map(|path| format!("{path}-wal"));
    let size = log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len());
    if wal.is_some_and(|limit| size > LARGE.max(limit.saturating_mul(16))) {
        findings.push(Finding::warning(
            format!(
                "the log beside the file has {} MiB: it cannot be begun anew while somebody reads",
                size >> 20
            ),
            "look for a program that keeps a transaction open, or for a backup that does not end",
        ));
    }
}

/// Kinds of file systems that are on another machine, or shared with one. Not 9p and virtiofs, by which sandboxes have their
/// own disk.
const NETWORKS: &[&str] = &[
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.davfs2",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.grpcfuse",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "fuse.vmhgfs-fuse",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "prl_fs",
    "smb3",
    "smbfs",
    "vboxsf",
];

/// The kind of the file system that a file is on, by the kernel's list of mounts (proc(5), `/proc/pid/mountinfo`).
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (place, kind) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then_some((point.len(), kind.split(' ').next()?))
    };
    // A later one of the same place hides the earlier.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_says_where_a_file_is() {
        const MOUNTS: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:26 / /srv rw shared:2 - nfs4 server:/srv rw,vers=4.2\n\
            31 30 8:2 / /srv/local rw - xfs /dev/sdb rw\n\
            32 22 0:27 / /mnt/a\\040b rw - cifs //server/share rw\n";
        for (path, kind) in [
            ("/var/lib/a.db", "ext4"),
            ("/srv/a.db", "nfs4"),
            ("/srv/local/a.db", "xfs"),
            ("/srvice/a.db", "ext4"),
            ("/mnt/a b/a.db", "cifs"),
        ] {
            assert_eq!(file_system(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(file_system("", Path::new("/a")), None);
    }
}

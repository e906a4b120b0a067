//! A file that is given up when the disk is full, so that outcomes can still be recorded.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::shared::Shared;
use crate::store::Health;

const BYTES: usize = if cfg!(test) { 1 << 20 } else { 32 << 20 };
const CHUNK: usize = 1 << 20;

pub struct Ballast {
    path: PathBuf,
    held: bool,
}

impl Ballast {
    /// Writes the file unless it is there.
    pub fn take(folder: &Path) -> Self {
        let path = folder.join("ballast");
        let held = fs::metadata(&path).is_ok_and(|m| m.len() == BYTES as u64) || fill(&path).is_ok();
        Self { path, held }
    }

    /// Frees its space; `false` when it was given up before.
    pub fn release(&mut self) -> bool {
        std::mem::replace(&mut self.held, false) && fs::remove_file(&self.path).is_ok()
    }

    /// A commit went through: takes the space back when there is enough, and only then takes events again.
    pub fn restore(&mut self, shared: &Shared) {
        if self.held || shared.health() == Health::Ok || !room_beside(&self.path) {
            return;
        }
        match fill(&self.path) {
            Ok(()) => {
                self.held = true;
                tracing::info!("there is space again, events are accepted");
                shared.set_health(Health::Ok);
            }
            Err(_) => drop(fs::remove_file(&self.path)),
        }
    }
}

/// Whether twice the ballast is free: else the next commits would need it again at once.
fn room_beside(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let folder = path.parent().unwrap_or(path);
    let Ok(name) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the name ends with a zero byte and the struct is ours; it is read only when the call filled it.
    let stat = unsafe {
        if libc::statvfs(name.as_ptr(), stat.as_mut_ptr()) != 0 {
            return false;
        }
        stat.assume_init()
    };
    stat.f_bavail.saturating_mul(stat.f_frsize) >= 2 * BYTES as u64
}

fn fill(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    // Real bytes, not a hole: a sparse file would free nothing.
    let chunk = vec![0xa5; CHUNK];
    for _ in 0..BYTES / CHUNK {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

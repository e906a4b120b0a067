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
    /// Writes the file unless it is there, or the disk is too small for it.
    pub fn take(folder: &Path) -> Self {
        let path = folder.join("ballast");
        if Room::beside(&path).small() {
            return Self { path, held: false };
        }
        let held = fs::metadata(&path).is_ok_and(|m| m.len() == BYTES as u64) || fill(&path).is_ok();
        Self { path, held }
    }

    /// Frees its space; `false` when it was given up before.
    pub fn release(&mut self) -> bool {
        std::mem::replace(&mut self.held, false) && fs::remove_file(&self.path).is_ok()
    }

    /// How a store is that was just opened: without the ballast it is not known whether anything can be written.
    pub fn health(&self) -> Health {
        if self.held {
            Health::Ok
        } else {
            Health::Full("the disk was full when the store was opened again".to_owned())
        }
    }

    /// A commit went through: takes the space back when there is enough, and only then takes events again.
    pub fn restore(&mut self, shared: &Shared) {
        let health = shared.health();
        if health == Health::Ok {
            return;
        }
        let room = Room::beside(&self.path);
        if !self.held && !room.enough() {
            if let Health::Failed(text) = health
                && room.some()
            {
                tracing::info!("there is a little space again, outcomes are recorded");
                shared.set_health(Health::Full(text));
            }
            return;
        }
        if !self.held && !room.small() {
            if fill(&self.path).is_err() {
                return drop(fs::remove_file(&self.path));
            }
            self.held = true;
        }
        tracing::info!(ballast = self.held, "there is space again, events are accepted");
        shared.set_health(Health::Ok);
    }
}

/// Space on a file system, in bytes.
struct Room {
    free: u64,
    all: u64,
}

impl Room {
    fn beside(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let folder = path.parent().unwrap_or(path);
        // Then trying to write tells.
        let unknown = Self { free: u64::MAX, all: u64::MAX };
        let Ok(name) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return unknown };
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the name ends with a zero byte and the struct is ours; it is read only when the call filled it.
        let stat = unsafe {
            if libc::statvfs(name.as_ptr(), stat.as_mut_ptr()) != 0 {
                return unknown;
            }
            stat.assume_init()
        };
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Self { free: bytes(stat.f_bavail), all: bytes(stat.f_blocks) }
    }

    /// The ballast would take too much of it.
    fn small(&self) -> bool {
        self.all < 4 * BYTES as u64
    }

    /// Beside the ballast there is as much again, or an eighth of the disk: else the next commits would need it at once.
    fn enough(&self) -> bool {
        let ballast = if self.small() { 0 } else { BYTES as u64 };
        self.free >= ballast + (BYTES as u64).min(self.all / 8)
    }

    /// For outcomes.
    fn some(&self) -> bool {
        self.free >= (BYTES as u64 / 8).min(self.all / 32)
    }
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

//! A Python with what NetBox is made of, for comparisons with the real thing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The interpreter of a virtual environment below `target/`, made when it is not there or its list has changed.
pub fn python() -> PathBuf {
    let (folder, list) = (here("target/python"), here("tests/netbox/requirements.txt"));
    let program = folder.join("bin/python");
    let installed = folder.join("requirements.txt");
    let wanted = std::fs::read(&list).expect("the list of packages");
    // Test programs run side by side.
    let lock = File::create(here("target/python.lock")).expect("target/ can be written");
    lock.lock().expect("a lock");
    if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
        return program;
    }
    let made =
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).status().expect("python3 can be run");
    assert!(made.success(), "python3 -m venv works");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    let status = Command::new(&program).args(install).arg(&list).status().expect("pip can be run");
    assert!(status.success(), "the packages of {} can be installed", list.display());
    std::fs::write(&installed, wanted).expect("the environment can be written");
    program
}

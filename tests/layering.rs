//! The rules of the house that a compiler does not check: who imports whom, how long a file may be, what is banned.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have, its tests aside.
const MAX_LINES: usize = 450;
const BANNED_MODULES: [&str; 5] = ["utils", "common", "helpers", "types", "manager"];
const BANNED_MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

#[test]
fn a_file_imports_only_from_its_own_layer_and_lower_ones() {
    let layers = layers();
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let Some(own) = module_of(&file) else { continue };
        let Some(layer) = layers.get(own.as_str()) else {
            wrong.push(format!("{}: module {own} has no layer in the table of src/lib.rs", file.display()));
            continue;
        };
        for (number, imported) in imports(&production_code(&file)) {
            match layers.get(imported.as_str()) {
                Some(other) if other > layer => {
                    wrong.push(format!("{}:{number}: L{layer} {own} imports from L{other} {imported}", file.display()))
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_crate_has_a_layer() {
    let layers = layers();
    let lib = read(Path::new("src/lib.rs"));
    let modules = lib.lines().filter_map(|l| l.strip_prefix("pub mod ").or(l.strip_prefix("mod ")));
    let missing: Vec<_> = modules.map(|m| m.trim_end_matches(';')).filter(|m| !layers.contains_key(*m)).collect();
    assert!(missing.is_empty(), "not in the table of src/lib.rs: {missing:?}");
}

#[test]
fn no_file_is_longer_than_450_lines() {
    let long: Vec<_> = rust_files("src")
        .into_iter()
        .chain(rust_files("benches"))
        .map(|file| (production_code(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "longer than {MAX_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn no_module_is_a_drawer() {
    let drawers: Vec<_> = rust_files("src")
        .into_iter()
        .chain(rust_files("benches"))
        .filter(|file| {
            file.iter().filter_map(|part| part.to_str()).any(|part| {
                let name = part.trim_end_matches(".rs");
                BANNED_MODULES.contains(&name)
            })
        })
        .collect();
    assert!(drawers.is_empty(), "name these by what they are: {drawers:?}");
}

#[test]
fn nothing_is_left_undone_in_the_sources() {
    let mut found = Vec::new();
    for file in rust_files("src") {
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if BANNED_MACROS.iter().any(|banned| code.contains(banned)) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn tests_wait_for_facts_and_do_not_sleep() {
    // Put together here, so that this file does not find itself.
    let call = concat!("sleep", "(");
    let mut found = Vec::new();
    let mut look = |file: &Path, code: &str, offset: usize| {
        // Under a paused clock nobody waits.
        if code.contains("start_paused") || code.contains("time::pause()") {
            return;
        }
        for (number, line) in code.lines().enumerate() {
            if line.split("//").next().unwrap_or_default().contains(call) {
                found.push(format!("{}:{}: {}", file.display(), offset + number + 1, line.trim()));
            }
        }
    };
    for file in rust_files("tests") {
        if !file.starts_with("tests/support") {
            look(&file, &read(&file), 0);
        }
    }
    for file in rust_files("src") {
        let production = production_code(&file);
        let whole = read(&file);
        look(&file, &whole[production.len()..], production.lines().count());
    }
    assert!(found.is_empty(), "wait for a condition with a deadline instead:\n{}", found.join("\n"));
}

/// Module to layer, from the table in the documentation of `src/lib.rs`: ``| L1 | [`config`], … | … |``.
fn layers() -> BTreeMap<String, u8> {
    let mut layers = BTreeMap::from([("main".to_owned(), 6)]);
    for line in read(Path::new("src/lib.rs")).lines() {
        let Some(row) = line.strip_prefix("//! | L") else { continue };
        let mut cells = row.split('|').map(str::trim);
        let layer = cells.next().and_then(|cell| cell.parse().ok()).expect("a layer is a number");
        let names = cells.next().expect("a row has modules");
        for name in names.split(',') {
            layers.insert(name.trim().trim_matches(['[', ']', '`']).to_owned(), layer);
        }
    }
    assert!(layers.len() > 10, "the table of layers in src/lib.rs was not found");
    layers
}

/// The module of the crate a file belongs to: `src/store/mod.rs` is in `store`. `None` for `src/lib.rs`.
fn module_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix("src").ok()?;
    let first = inside.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
    (first != "lib").then_some(first)
}

/// Modules named after `crate::` (in `main.rs`: after the crate's name), with the line each is named on.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for root in ["crate::", "netbox_webhookd::"] {
            for after in line.split(root).skip(1) {
                let names = match after.strip_prefix('{') {
                    Some(group) => group.trim_end_matches([';', '}']).split(',').map(first_word).collect(),
                    None => vec![first_word(after)],
                };
                found.extend(names.into_iter().filter(|n| !n.is_empty()).map(|name| (number + 1, name)));
            }
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// A file up to its test module; empty for a file of tests.
fn production_code(file: &Path) -> String {
    let is_test = |part: &str| matches!(part, "tests" | "tests.rs") || part.ends_with("_tests.rs");
    if file.iter().filter_map(|part| part.to_str()).any(is_test) {
        return String::new();
    }
    let whole = read(file);
    let end = whole.find("#[cfg(test)]\nmod ").unwrap_or(whole.len());
    whole[..end].to_owned()
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

mod call;
mod fixtures;
mod machine;
mod made;
mod mutations;
mod python;
mod secrets;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/netbox/rq")
}

/// The jobs of a folder of fixtures, by name.
fn jobs_in(under: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut paths: Vec<_> =
        fs::read_dir(folder().join(under)).expect("fixtures").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".data.zlib")?.to_owned();
        Some((name, fs::read(&path).expect("a job")))
    })
}

fn packed(pickle: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(pickle).expect("memory");
    encoder.finish().expect("memory")
}

fn unpacked(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ZlibDecoder::new(data).read_to_end(&mut out).expect("zlib");
    out
}

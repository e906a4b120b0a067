#![no_main]

#[path = "../drive.rs"]
#[allow(dead_code, reason = "each target uses one part")]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::template(data));

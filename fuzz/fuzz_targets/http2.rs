#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| adieu_fuzz::properties_h2::http2(data));

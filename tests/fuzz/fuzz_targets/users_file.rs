#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    directory::fuzz_users(data);
});

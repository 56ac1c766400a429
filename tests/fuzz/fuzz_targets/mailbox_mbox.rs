#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    mailbox::maildrop::fuzz_mbox(data);
});

//! SMTP and LMTP as pure state machines: bytes in, replies and questions out.

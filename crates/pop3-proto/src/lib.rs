//! POP3 as pure state machines: bytes in, replies and questions out.

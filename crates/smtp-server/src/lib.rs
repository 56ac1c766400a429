//! Drives SMTP sessions over sockets.

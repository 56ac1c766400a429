//! Typed frames between the processes over Unix sockets.

//! Starts the real programs in a temporary folder and talks to them.

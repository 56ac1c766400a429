//! Answers who is a user, what is an alias, and whether a password is right.

//! Base types of mail: addresses, envelopes, replies, outcomes.

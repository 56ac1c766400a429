//! Users, password hashes, aliases and domains.

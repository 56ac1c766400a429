//! Where a recipient belongs: local, aliased, relayed. Pure decisions over given tables.

//! Owns the queue: makes mail durable, schedules it, leases it to delivery agents.

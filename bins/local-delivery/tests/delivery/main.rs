//! The program itself, between a queue-manager and a directory that the tests play.

#![cfg(test)]

mod cases;
mod site;

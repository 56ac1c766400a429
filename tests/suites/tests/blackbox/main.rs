//! The black-box suites; see the crate's head.

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod dovecot;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod pop3;
#[cfg(test)]
mod smtp;
#[cfg(test)]
mod spine;
#[cfg(test)]
mod supervision;

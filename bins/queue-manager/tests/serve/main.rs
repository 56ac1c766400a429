//! The queue-manager as its neighbours see it, over its socket.

#[cfg(test)]
mod house;

#[cfg(test)]
mod administration;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod expansion;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod reports;

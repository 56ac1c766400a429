//! The right to send to other people's domains.

/// The proof that a client may relay: without one, mail for domains that are not ours is refused.
///
/// There is no way to get one but [`RelayPermit::because`], which is to be called where the ground was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPermit(RelayGround);

/// Why a client may relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayGround {
    /// Its address lies in one of the administrator's networks.
    TrustedNetwork,
}

impl RelayPermit {
    /// To be called only where `ground` was found to hold.
    #[must_use]
    pub const fn because(ground: RelayGround) -> Self {
        Self(ground)
    }

    /// Why.
    #[must_use]
    pub const fn ground(self) -> RelayGround {
        self.0
    }
}

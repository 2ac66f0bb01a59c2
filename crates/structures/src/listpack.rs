//! x
/// x
pub struct ListPack;

//! `/render/image`: an object's image, as large as the client wishes and in the format it takes.

mod accept;
mod answer;
pub(super) mod authenticated;
pub(super) mod public;
pub(super) mod sign;
mod wish;

pub(super) use self::wish::Wish;

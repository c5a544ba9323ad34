//! Whole renderings, of images that the tests draw themselves.

mod colours;
mod crops;
mod formats;
mod hostile;
mod limits;
mod sizes;
mod support;
mod turned;

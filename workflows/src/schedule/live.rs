//! A live schedule as it was described.

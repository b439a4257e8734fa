//! yourturn

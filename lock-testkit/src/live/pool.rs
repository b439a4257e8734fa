//! Servers that are used again, where starting one takes longer than most cases.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

use lock_core::sync::locked;

/// Lends what it was made of.
#[derive(Debug)]
pub struct Pool<T>(Arc<Mutex<Vec<Arc<T>>>>);

impl<T> FromIterator<T> for Pool<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        Self(Arc::new(Mutex::new(all.into_iter().map(Arc::new).collect())))
    }
}

impl<T> Pool<T> {
    /// One that nobody has at present.
    ///
    /// # Errors
    ///
    /// All are lent.
    pub fn lend(&self) -> Result<Lent<T>, String> {
        let it = locked(&self.0).pop().ok_or("more cases at once than servers")?;
        Ok(Lent { it, pool: self.0.clone() })
    }
}

/// One of a [`Pool`], which goes back to it when this is dropped.
#[derive(Debug)]
pub struct Lent<T> {
    it: Arc<T>,
    pool: Arc<Mutex<Vec<Arc<T>>>>,
}

impl<T> Deref for Lent<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.it
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        locked(&self.pool).push(self.it.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_is_lent_again_and_nothing_twice() {
        let pool: Pool<u8> = [1, 2].into_iter().collect();
        let (one, other) = (pool.lend().unwrap(), pool.lend().unwrap());
        assert_ne!(**one, **other);
        pool.lend().unwrap_err();
        let back = **one;
        drop(one);
        assert_eq!(**pool.lend().unwrap(), back);
    }
}
